//! What waits: sights of frames until the passages they belong to are over, and packets until it is their turn.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use tracer_common::{frame::Kind, hop::Hop};

use crate::{
    correlate::{Passage, Stamp},
    decode::Event,
};

/// Sights that are kept, 64 bytes each; of more the oldest are forgotten, and their packets have the headers of another
/// hop of the same frame.
const MAX_SIGHTS: usize = 1 << 19;
/// Packets that wait, some 80 bytes each; of more the earliest are written, and may be followed by earlier ones.
const MAX_PENDING: usize = 1 << 18;

/// What was read of a frame at a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) flow: u64,
    pub(super) digest: u64,
    pub(super) len: u32,
    pub(super) payload: u32,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) kind: u8,
    pub(super) tcp_flags: u8,
}

impl Seen {
    fn of(event: &Event, kind: Kind) -> Seen {
        Seen {
            flow: event.flow,
            digest: event.digest,
            len: event.len,
            payload: event.payload(),
            seq: event.seq,
            ack: event.ack,
            kind: kind as u8,
            tcp_flags: event.tcp_flags,
        }
    }

    /// As the frame was first read, for stamps whose sight has been forgotten.
    pub(super) fn of_passage(passage: &Passage) -> Seen {
        Seen {
            flow: passage.flow,
            digest: passage.digest,
            len: passage.len,
            payload: passage.payload,
            seq: passage.seq,
            ack: passage.ack,
            kind: passage.kind.map_or(0, |kind| kind as u8),
            tcp_flags: passage.tcp_flags,
        }
    }

    /// One for tests.
    #[cfg(test)]
    pub(super) fn made(kind: Kind, seq: u32, ack: u32, payload: u32) -> Seen {
        Seen { flow: 2, digest: 1, len: payload + 54, payload, seq, ack, kind: kind as u8, tcp_flags: 0 }
    }

    pub(super) fn kind(&self) -> Kind {
        Kind::from_code(self.kind).unwrap_or(Kind::Truncated)
    }
}

/// Sights of frames, by time, hop and CPU.
#[derive(Default)]
pub(super) struct Sights {
    seen: BTreeMap<(u64, Hop, u16), Seen>,
}

impl Sights {
    pub(super) fn note(&mut self, event: &Event) {
        let Some(kind) = event.kind else { return };
        self.seen.insert((event.time_ns, event.hop, event.cpu), Seen::of(event, kind));
        if self.seen.len() > MAX_SIGHTS {
            self.seen.pop_first();
        }
    }

    /// What was read at this stamp. Where two CPUs had one at the same moment, that of this digest, if it is one of them.
    pub(super) fn at(&self, stamp: &Stamp, digest: u64) -> Option<Seen> {
        let (time_ns, hop) = (stamp.time_ns, stamp.hop);
        let mut first = None;
        for (_, seen) in self.seen.range((time_ns, hop, 0)..=(time_ns, hop, u16::MAX)) {
            if seen.digest == digest {
                return Some(*seen);
            }
            first = first.or(Some(*seen));
        }
        first
    }

    /// Forgets what no passage to come can have passed.
    pub(super) fn forget_before(&mut self, time_ns: u64) {
        while self.seen.first_key_value().is_some_and(|((seen_ns, ..), _)| *seen_ns < time_ns) {
            self.seen.pop_first();
        }
    }
}

/// A packet that waits; the order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// `CLOCK_MONOTONIC`, ns.
    pub(super) time_ns: u64,
    /// The frame's.
    pub(super) id: u64,
    pub(super) hop: Hop,
    pub(super) seen: Seen,
    /// Id of the frame that GRO merged it into.
    pub(super) part_of: Option<u64>,
}

/// Packets that wait.
#[derive(Default)]
pub(super) struct Pending {
    heap: BinaryHeap<Reverse<Waiting>>,
}

impl Pending {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.heap.push(Reverse(waiting));
    }

    /// The earliest one, if it is earlier than `until_ns` or there are too many.
    pub(super) fn pop(&mut self, until_ns: u64) -> Option<Waiting> {
        let first = self.heap.peek()?;
        if first.0.time_ns >= until_ns && until_ns != u64::MAX && self.heap.len() <= MAX_PENDING {
            return None;
        }
        self.heap.pop().map(|Reverse(waiting)| waiting)
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::hop::Hook;

    use super::*;
    use crate::correlate::Rule;

    fn event(time_ns: u64, cpu: u16, digest: u64) -> Event {
        let event = Event::at(time_ns, Hop::NicRx, Hook::NetifRx);
        Event { cpu, digest, kind: Some(Kind::Udp), ..event }
    }

    #[test]
    fn of_two_sights_at_one_moment_each_frame_has_its_own() {
        let mut sights = Sights::default();
        let (one, other) = (event(5, 0, 100), event(5, 1, 200));
        sights.note(&one);
        sights.note(&other);
        let stamp = Stamp::of(&one, Rule::Birth);
        assert_eq!(sights.at(&stamp, 200).unwrap().digest, 200);
        assert_eq!(sights.at(&stamp, 100).unwrap().digest, 100);
        sights.forget_before(6);
        assert_eq!(sights.at(&stamp, 100), None);
    }

    #[test]
    fn memory_does_not_grow_with_events_of_which_nothing_comes() {
        let mut sights = Sights::default();
        for time_ns in 0..MAX_SIGHTS as u64 + 100 {
            sights.note(&event(time_ns, 0, 1));
        }
        assert_eq!(sights.seen.len(), MAX_SIGHTS);
        assert_eq!(sights.seen.first_key_value().unwrap().0.0, 100);
    }
}
