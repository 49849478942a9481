//! Where the bytes of a frame come from, and how they are looked at: in words as they lie in memory, with how many
//! of them are real. No protocol is known here.

/// Words of header that one look at a frame takes.
pub const WINDOW_WORDS: usize = 20;
/// The same in bytes.
pub const WINDOW_BYTES: usize = WINDOW_WORDS * 4;

/// A look at some bytes of a frame: words as they lie in memory, and how many bytes of them are real.
pub struct Window {
    /// Bytes in memory order.
    pub words: [u32; WINDOW_WORDS],
    /// How many of these bytes belong to the frame's readable part; the rest is noise.
    pub available: u32,
}

/// Ten words in which a layer 4 header starts, and how many of their bytes are real.
pub(super) struct Layer4 {
    words: [u32; 10],
    pub(super) available: u32,
}

impl Window {
    /// The word at `index`, host byte order.
    #[inline(always)]
    pub(super) fn be32(&self, index: usize) -> u32 {
        u32::from_be(self.words[index])
    }

    #[inline(always)]
    pub(super) fn layer4<const FIRST_WORD: usize>(&self) -> Layer4 {
        let mut words = [0; 10];
        words.copy_from_slice(&self.words[FIRST_WORD..FIRST_WORD + 10]);
        Layer4 { words, available: self.available.saturating_sub(FIRST_WORD as u32 * 4) }
    }
}

impl Layer4 {
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
}

/// Where a frame's bytes come from: kernel memory in a BPF program, a slice in userspace.
pub trait Bytes {
    /// The window at `offset` bytes behind the start of the Ethernet header. Reading past the end gives fewer
    /// available bytes, down to none.
    fn window(&self, offset: u32) -> Window;

    /// The value itself. In the kernel its verifier then knows nothing of it: it follows a value that it knows in each of
    /// its ways through a loop, and one that it does not know in one.
    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        value
    }
}

/// A frame that lies in a slice, from its Ethernet header on: for tests and for captures.
pub struct Slice<'a>(pub &'a [u8]);

impl Bytes for Slice<'_> {
    fn window(&self, offset: u32) -> Window {
        let rest = self.0.get(offset as usize..).unwrap_or(&[]);
        let mut words = [0; WINDOW_WORDS];
        for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_ne_bytes(padded);
        }
        Window { words, available: rest.len().min(WINDOW_BYTES) as u32 }
    }
}
