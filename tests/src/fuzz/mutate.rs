//! New inputs from old ones: a few changes each, of a sequence that is always the same.

use crate::world::Random;

/// Numbers at which parsers go wrong.
const EDGES: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Makes inputs from a corpus.
pub(super) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    words: &'a [&'a str],
    random: Random,
}

impl<'a> Mutator<'a> {
    pub(super) fn new(corpus: &'a [Vec<u8>], words: &'a [&'a str]) -> Mutator<'a> {
        Mutator { corpus, words, random: Random::new(0xf022) }
    }

    pub(super) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any_seed().to_vec();
        for _ in 0..=self.random.below(4) {
            self.change(&mut input);
        }
        input
    }

    fn any_seed(&mut self) -> &'a [u8] {
        &self.corpus[self.random.below(self.corpus.len() as u64) as usize]
    }

    /// A place in `input`, its end included.
    fn place(&mut self, input: &[u8]) -> usize {
        // Most of what matters is in the first bytes.
        let end = if self.random.one_in(2) { input.len().min(128) } else { input.len() };
        self.random.below(end as u64 + 1) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.place(input);
        match self.random.below(8) {
            0 => input.truncate(at),
            1 => self.insert_word(input, at),
            2 => self.splice(input, at),
            3 => self.remove(input, at),
            4 => self.repeat(input, at),
            5 => self.overwrite_number(input, at),
            _ => self.overwrite_byte(input, at),
        }
    }

    fn overwrite_byte(&mut self, input: &mut [u8], at: usize) {
        let random = self.random.number();
        if let Some(byte) = input.get_mut(at) {
            *byte = if random & 0x100 == 0 { random as u8 } else { *byte ^ (1 << (random & 7)) };
        }
    }

    /// A number of 1 to 8 bytes in either order.
    fn overwrite_number(&mut self, input: &mut [u8], at: usize) {
        let width = 1 << self.random.below(4);
        let value = EDGES[self.random.below(EDGES.len() as u64) as usize];
        let bytes = value.to_le_bytes();
        let mut number = bytes[..width].to_vec();
        if self.random.one_in(2) {
            number.reverse();
        }
        if let Some(room) = input.get_mut(at..at + width) {
            room.copy_from_slice(&number);
        }
    }

    fn insert_word(&mut self, input: &mut Vec<u8>, at: usize) {
        if self.words.is_empty() {
            return self.overwrite_number(input, at);
        }
        let word = self.words[self.random.below(self.words.len() as u64) as usize];
        input.splice(at..at, word.bytes());
    }

    /// The end of another seed in the place of this one's.
    fn splice(&mut self, input: &mut Vec<u8>, at: usize) {
        let other = self.any_seed();
        let from = self.place(other);
        input.truncate(at);
        input.extend(&other[from..]);
    }

    fn remove(&mut self, input: &mut Vec<u8>, at: usize) {
        let end = (at + 1 + self.random.below(16) as usize).min(input.len());
        input.drain(at.min(end)..end);
    }

    fn repeat(&mut self, input: &mut Vec<u8>, at: usize) {
        let end = (at + 1 + self.random.below(32) as usize).min(input.len());
        let piece = input[at.min(end)..end].to_vec();
        input.splice(at.min(end)..at.min(end), piece);
    }
}
