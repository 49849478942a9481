//! Slices that overlap, on tracks where none may: each goes to the first lane that is free at its beginning.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// Slices that are put in order before they get a lane, some 100 bytes each. Exchanges come in the order of their answers:
/// one that took long comes behind others that began later.
const MAX_WAITING: usize = 1 << 16;

/// Which track: VM's number and the row in it.
pub(super) type Row = (usize, usize);

/// A slice that waits for its lane; the order is that of beginnings, the longer of two first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slice<T> {
    pub(super) start_ns: u64,
    pub(super) end_ns: Reverse<u64>,
    pub(super) row: Row,
    pub(super) what: T,
}

/// Slices on their way to their lanes.
pub(super) struct Lanes<T> {
    waiting: BinaryHeap<Reverse<Slice<T>>>,
    /// When each lane of a row is free again, ns.
    free_ns: BTreeMap<Row, Vec<u64>>,
}

impl<T: Ord> Lanes<T> {
    pub(super) fn new() -> Lanes<T> {
        Lanes { waiting: BinaryHeap::new(), free_ns: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, slice: Slice<T>) {
        self.waiting.push(Reverse(slice));
    }

    /// The earliest slice and its lane, where too many wait; at the end, every one.
    pub(super) fn pop(&mut self, end: bool) -> Option<(Slice<T>, usize)> {
        if !end && self.waiting.len() <= MAX_WAITING {
            return None;
        }
        let Reverse(slice) = self.waiting.pop()?;
        let lanes = self.free_ns.entry(slice.row).or_default();
        let lane = lanes.iter().position(|&free_ns| free_ns <= slice.start_ns).unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(free_ns) => *free_ns = slice.end_ns.0,
            None => lanes.push(slice.end_ns.0),
        }
        Some((slice, lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_one_lane_do_not_overlap_and_no_lane_is_opened_in_vain() {
        let mut lanes = Lanes::new();
        for (start_ns, end_ns) in [(5, 9), (0, 10), (9, 12), (10, 11), (10, 10), (20, 30)] {
            lanes.push(Slice { start_ns, end_ns: Reverse(end_ns), row: (0, 0), what: () });
        }
        let mut placed = Vec::new();
        while let Some((slice, lane)) = lanes.pop(true) {
            placed.push((slice.start_ns, slice.end_ns.0, lane));
        }
        assert_eq!(placed, [(0, 10, 0), (5, 9, 1), (9, 12, 1), (10, 11, 0), (10, 10, 2), (20, 30, 0)]);
    }

    #[test]
    fn what_comes_too_late_for_its_place_still_overlaps_nothing() {
        let mut lanes = Lanes::new();
        let slice = |start_ns, end_ns| Slice { start_ns, end_ns: Reverse(end_ns), row: (0, 0), what: () };
        lanes.push(slice(100, 200));
        assert_eq!(lanes.pop(true).unwrap().1, 0);
        lanes.push(slice(50, 150));
        assert_eq!(lanes.pop(true).unwrap().1, 1);
    }
}
