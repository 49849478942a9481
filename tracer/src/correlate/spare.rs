//! Memory of passages that are over, for those to come: making and giving up memory for each would take longer than all
//! that is done with it.

use std::mem;

use super::passage::{Passage, Stamp};

/// Few passages have more. Memory for more is not kept: sooner or later all would have it.
const USUAL_HOPS: usize = 16;

/// What is kept, within a bound.
#[derive(Debug)]
pub(super) struct Spare {
    most: usize,
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    passages: Vec<Box<Passage>>,
    stamps: Vec<Vec<Stamp>>,
}

impl Spare {
    /// Keeps the memory of at most `most` passages.
    pub(super) fn new(most: usize) -> Spare {
        Spare { most, passages: Vec::new(), stamps: Vec::new() }
    }

    /// A passage without hops, and with room for them. The rest is its last owner's: `Passage::begin`, `copy` or
    /// `segment` must follow.
    pub(super) fn take(&mut self) -> Box<Passage> {
        let mut passage = self.passages.pop().unwrap_or_default();
        if passage.stamps.capacity() == 0 {
            passage.stamps = self.stamps.pop().unwrap_or_else(|| Vec::with_capacity(USUAL_HOPS));
        }
        passage
    }

    /// Takes back a passage, and its memory with that of the stamps merged into it.
    pub(super) fn give(&mut self, mut passage: Box<Passage>) {
        let room = self.most.saturating_sub(self.stamps.len());
        let merged = mem::take(&mut passage.merged).into_iter();
        self.stamps.extend(merged.map(emptied).filter(|stamps| stamps.capacity() > 0).take(room));
        passage.stamps = emptied(mem::take(&mut passage.stamps));
        if self.passages.len() < self.most {
            self.passages.push(passage);
        }
    }

    /// The same, but for its stamps, which are given.
    pub(super) fn give_but_stamps(&mut self, mut passage: Box<Passage>) -> Vec<Stamp> {
        let stamps = mem::take(&mut passage.stamps);
        self.give(passage);
        stamps
    }
}

/// Empty, with room for the usual number, or with none.
fn emptied(mut stamps: Vec<Stamp>) -> Vec<Stamp> {
    stamps.clear();
    if stamps.capacity() > USUAL_HOPS { Vec::new() } else { stamps }
}
