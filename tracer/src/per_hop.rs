//! A value for each hop.

use std::ops::{Index, IndexMut};

use tracer_common::hop::{HOP_SLOTS, Hop};

/// A value for each hop, indexed by `Hop as usize`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerHop<T>([T; HOP_SLOTS]);

impl<T: Copy + Default> Default for PerHop<T> {
    fn default() -> Self {
        PerHop([T::default(); HOP_SLOTS])
    }
}

impl<T> PerHop<T> {
    /// The values, in the order of the hops' codes.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

/// Counts by hop and a code below `CODES`, found by place: for what is counted at each hop of each frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopCounts<const CODES: usize>(Vec<u64>);

impl<const CODES: usize> Default for HopCounts<CODES> {
    fn default() -> Self {
        HopCounts(vec![0; HOP_SLOTS * CODES])
    }
}

impl<const CODES: usize> HopCounts<CODES> {
    /// Counts one more.
    pub fn count(&mut self, hop: Hop, code: usize) {
        if code < CODES {
            self.0[hop as usize * CODES + code] += 1;
        }
    }

    /// How many; none for a code that is too large.
    pub fn of(&self, hop: Hop, code: usize) -> u64 {
        if code < CODES { self.0[hop as usize * CODES + code] } else { 0 }
    }
}

impl<T> Index<usize> for PerHop<T> {
    type Output = T;

    fn index(&self, hop: usize) -> &T {
        &self.0[hop]
    }
}

impl<T> IndexMut<usize> for PerHop<T> {
    fn index_mut(&mut self, hop: usize) -> &mut T {
        &mut self.0[hop]
    }
}
