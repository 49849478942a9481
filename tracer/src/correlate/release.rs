//! Releases closed passages in the order of their beginning, so that a question comes before its answer even
//! when the answer was seen to its end first.

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashSet;

use crate::correlate::passage::Passage;

/// How long, in event time, an open passage may hold back those that began after it.
const MAX_HOLD_NS: u64 = 1_000_000_000;

/// Closed passages that wait for older ones to close.
#[derive(Debug, Default)]
pub struct Release {
    /// Passages that have begun, oldest first: number and time.
    begun: VecDeque<(u64, u64)>,
    closed: FxHashSet<u64>,
    waiting: BTreeMap<u64, Passage>,
}

impl Release {
    /// Says that the passage `number` has begun; numbers rise.
    pub fn begin(&mut self, number: u64, time_ns: u64) {
        self.begun.push_back((number, time_ns));
    }

    /// Takes a passage that has closed.
    pub fn close(&mut self, number: u64, passage: Passage) {
        self.closed.insert(number);
        self.waiting.insert(number, passage);
    }

    /// Says that the passage `number` has become part of another.
    pub fn skip(&mut self, number: u64) {
        self.closed.insert(number);
    }

    /// The next passage that no older open one holds back at `now_ns`.
    pub fn pop(&mut self, now_ns: u64) -> Option<Passage> {
        while let Some(&(number, time_ns)) = self.begun.front() {
            if !self.closed.remove(&number) && time_ns + MAX_HOLD_NS > now_ns {
                break;
            }
            self.begun.pop_front();
        }
        let first = *self.waiting.keys().next()?;
        let held = self.begun.front().is_some_and(|&(number, _)| number < first);
        if held { None } else { self.pop_any() }
    }

    /// The next passage, when no more will close.
    pub fn pop_any(&mut self) -> Option<Passage> {
        self.waiting.pop_first().map(|(_, passage)| passage)
    }
}
