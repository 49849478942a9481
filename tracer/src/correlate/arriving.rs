//! Frames between a NIC's driver and GRO. GRO merges the TCP segments of a poll into super-frames: the first
//! one's `sk_buff` goes on, with the bytes of all; the others vanish, most of them unseen, and their addresses
//! come back at once. So each of them stays open until the super-frame that holds its bytes shows up.

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use super::{Correlator, End, open::Open, passage::Passage};
use crate::decode::Event;

/// TCP segments that GRO may have taken, by flow: slot and number of their passages.
pub(super) type Arriving = FxHashMap<u64, Vec<(usize, u64)>>;

/// Whether GRO may merge what has been seen of this frame.
fn may_merge(passage: &Passage) -> bool {
    passage.last_hop() == Hop::NicRx && passage.kind == Some(Kind::Tcp) && passage.payload > 0
}

impl Correlator {
    /// Notes a passage that has just begun.
    pub(super) fn note_arrival(&mut self, slot: usize, number: u64, flow: u64) {
        if !self.open.get(slot).is_some_and(|open| may_merge(&open.passage)) {
            return;
        }
        if self.arriving.len() > self.limits.open {
            self.arriving.clear();
        }
        self.arriving.entry(flow).or_default().push((slot, number));
    }

    /// The address or buffer of a passage is another frame's now, or was freed: that ends it, unless GRO may have
    /// merged it; then what comes out of GRO tells.
    pub(super) fn vacate(&mut self, slot: usize, end: End) {
        match self.open.get_mut(slot) {
            Some(open) if may_merge(&open.passage) => {
                open.ended.get_or_insert(end);
                self.open.detach(slot);
            }
            _ => self.close(slot, end),
        }
    }

    /// A frame comes out of GRO: if it grew, it stands for all those of its flow whose bytes it holds.
    pub(super) fn merge(&mut self, slot: usize, event: &Event) {
        if self.open.get(slot).is_none_or(|open| open.passage.payload >= event.payload()) {
            return;
        }
        let Some(mut waiting) = self.arriving.remove(&event.flow) else { return };
        let is_waiting = |open: &Open| may_merge(&open.passage);
        waiting.retain(|&(other, number)| {
            self.open.is(other, number) && self.open.get(other).is_some_and(is_waiting)
        });
        let inside = |passage: &Passage| passage.seq.wrapping_sub(event.seq) < event.payload();
        let (merged, rest): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|&(other, _)| self.open.get(other).is_some_and(|open| inside(&open.passage)));
        for &(other, number) in &merged {
            self.open.remove(other);
            self.release.skip(number);
        }
        if !rest.is_empty() {
            self.arriving.insert(event.flow, rest);
        }
        if let Some(open) = self.open.get_mut(slot) {
            (open.passage.len, open.passage.payload) = (event.len, event.payload());
            open.passage.parts.arrived += merged.len() as u64;
        }
    }
}
