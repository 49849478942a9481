//! Where the bytes of a frame come from, and how they are looked at: in words as they lie in memory, with how many
//! of them are real. No protocol is known here.

/// A look at some bytes of a frame: words as they lie in memory, and how many bytes from there on are real.
pub struct Window<const WORDS: usize = 20> {
    /// Bytes in memory order.
    pub words: [u32; WORDS],
    /// How many bytes from the first on belong to the frame's readable part, perhaps more than these; what lies behind is
    /// noise.
    pub available: u32,
}

/// The words in which a layer 4 header starts.
pub(super) type Layer4 = Window<10>;

impl<const WORDS: usize> Window<WORDS> {
    /// The word at `index`, host byte order.
    #[inline(always)]
    pub(super) fn be32(&self, index: usize) -> u32 {
        u32::from_be(self.words[index])
    }

    /// Two words from `index` on as one; 0 where the frame ends before.
    #[inline(always)]
    pub(super) fn pair(&self, index: usize) -> u64 {
        if self.available < index as u32 * 4 + 8 {
            return 0;
        }
        ((self.be32(index) as u64) << 32) | self.be32(index + 1) as u64
    }

    /// The window itself, of whose length the verifier [knows nothing](Bytes::forget).
    #[inline(always)]
    pub(super) fn forgotten(self, bytes: &impl Bytes) -> Self {
        Self { available: bytes.forget(self.available.into()) as u32, ..self }
    }
}

impl Window {
    /// What starts at its word `FIRST_WORD`.
    #[inline(always)]
    pub(super) fn layer4<const FIRST_WORD: usize>(&self) -> Layer4 {
        let mut words = [0; 10];
        words.copy_from_slice(&self.words[FIRST_WORD..FIRST_WORD + 10]);
        Layer4 { words, available: self.available.saturating_sub(FIRST_WORD as u32 * 4) }
    }
}

/// Where a frame's bytes come from: kernel memory in a BPF program, a slice in userspace.
pub trait Bytes {
    /// The window at `offset` bytes behind the start of the Ethernet header. Reading past the end gives fewer
    /// available bytes, down to none.
    fn window<const WORDS: usize>(&self, offset: u32) -> Window<WORDS>;

    /// The value itself. In the kernel its verifier then knows nothing of it: it follows the rest of a program once for
    /// each value that it knows and that decides a branch, and once for all that it does not know.
    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value
    }
}

/// A frame that lies in a slice, from its Ethernet header on: for tests and for captures.
pub struct Slice<'a>(pub &'a [u8]);

impl Bytes for Slice<'_> {
    fn window<const WORDS: usize>(&self, offset: u32) -> Window<WORDS> {
        let rest = self.0.get(offset as usize..).unwrap_or(&[]);
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_ne_bytes(padded);
        }
        Window { words, available: rest.len() as u32 }
    }
}
