//! Puts the events of several CPUs into the order of their time.
//!
//! A program takes its time stamp before it reserves its record, so a record may stand behind one of another
//! CPU that is younger. By how much is bounded by how long a program can be interrupted.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::decode::Event;

/// How far, in event time, a record may lag behind the youngest one before it.
pub const SLACK_NS: u64 = 5_000_000;

/// Orders events by time, those of equal time as they came.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
    newest_ns: u64,
    released_ns: u64,
    /// Events that came after a younger one had been released; they go out at once, out of order.
    pub late: u64,
}

#[derive(Debug)]
struct Waiting {
    key: (u64, u64),
    event: Event,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Reorder {
    /// Takes an event in.
    pub fn push(&mut self, event: Event) {
        self.late += u64::from(event.time_ns < self.released_ns);
        self.newest_ns = self.newest_ns.max(event.time_ns);
        self.waiting.push(Reverse(Waiting { key: (event.time_ns, self.arrived), event }));
        self.arrived += 1;
    }

    /// The next event that nothing can come before any more.
    pub fn pop(&mut self) -> Option<Event> {
        let oldest = self.waiting.peek()?.0.key.0;
        if oldest + SLACK_NS > self.newest_ns { None } else { self.pop_any() }
    }

    /// The next event, when no more will be pushed.
    pub fn pop_any(&mut self) -> Option<Event> {
        let next = self.waiting.pop()?.0;
        self.released_ns = self.released_ns.max(next.event.time_ns);
        Some(next.event)
    }
}
