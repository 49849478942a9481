//! A value for each hop.

use std::ops::{Index, IndexMut};

use tracer_common::hop::HOP_SLOTS;

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
