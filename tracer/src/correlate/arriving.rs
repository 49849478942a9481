//! Frames that GRO may merge. It merges the segments of a poll into super-frames: the first one's `sk_buff` goes on, with
//! the bytes of all; the others vanish, most of them unseen, and their addresses come back at once. So each of them
//! stays open until the super-frame that holds its bytes shows up.
//!
//! GRO runs at the NIC (`napi_gro_receive`), and for what comes out of a tunnel again at the tunnel's device
//! (`gro_cells_receive`, net/core/gro_cells.c), behind `nic.stack`. A super-frame holds what came after its first frame: of
//! TCP by its byte range, of UDP, which has none, by its order, as many as their bytes fill.

use std::{collections::VecDeque, mem};

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use super::{Correlator, End, open::Open, passage::Passage};
use crate::decode::Event;

/// Where frames can be merged: device and flow.
type Place = (u8, u64);
/// Frames of one place: slot and number of their passages.
type Waiting = VecDeque<(usize, u64)>;

/// Frames of a flow that GRO may hold: it takes those of a poll, a few hundred at most.
const MOST: usize = 1024;
/// Empty lists that are kept.
const MOST_SPARE: usize = 16;

/// Frames that GRO may have taken.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    /// In the order of their arrival.
    by_place: FxHashMap<Place, Waiting>,
    /// Empty, for places to come.
    spare: Vec<Waiting>,
    /// Empty between calls: those that have been found to be merged.
    merged: Vec<(usize, u64)>,
    /// How many were given up for want of room: what they are merged into does not find them.
    pub(super) evicted: u64,
}

impl Arriving {
    /// Nothing waits at a place any more.
    fn leave(&mut self, place: Place) {
        let empty = self.by_place.remove(&place);
        if self.spare.len() < MOST_SPARE {
            self.spare.extend(empty);
        }
    }
}

/// Whether GRO may merge what has been seen of this frame.
fn may_merge(passage: &Passage) -> bool {
    let before_gro = match passage.last_hop() {
        Hop::NicRx => true,
        Hop::NicStack => passage.tunnelled,
        _ => false,
    };
    before_gro && matches!(passage.kind, Some(Kind::Tcp | Kind::Udp)) && passage.payload > 0
}

fn place(passage: &Passage) -> Option<Place> {
    match passage.from {
        super::Side::Wire(slot) => Some((slot, passage.flow)),
        super::Side::Guest(_) | super::Side::Host => None,
    }
}

impl Correlator {
    /// Notes a passage that has just begun.
    pub(super) fn note_arrival(&mut self, slot: usize, number: u64) {
        let Some(open) = self.open.get(slot).filter(|open| may_merge(&open.passage)) else { return };
        let Some(place) = place(&open.passage) else { return };
        let waits = |&(slot, number): &(usize, u64)| is_waiting(self.open.get(slot), number);
        if self.arriving.by_place.len() > 2 * self.limits.open {
            self.arriving.by_place.retain(|_, waiting| {
                waiting.retain(waits);
                !waiting.is_empty()
            });
        }
        let spare = &mut self.arriving.spare;
        let waiting = self.arriving.by_place.entry(place).or_insert_with(|| spare.pop().unwrap_or_default());
        // Those in front have gone on or ended: frames of a flow keep their order.
        while waiting.pop_front_if(|entry| !waits(entry)).is_some() {}
        waiting.push_back((slot, number));
        if waiting.len() > 2 * MOST {
            waiting.retain(waits);
            self.arriving.evicted += waiting.drain(..waiting.len().saturating_sub(MOST)).count() as u64;
        }
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

    /// A frame that has grown stands for all those of its flow whose bytes it holds.
    pub(super) fn merge(&mut self, slot: usize, event: &Event) {
        let Some(open) = self.open.get_mut(slot) else { return };
        let (own, number) = (open.passage.payload, open.number);
        let place = place(&open.passage);
        (open.passage.len, open.passage.payload, open.passage.grew) = (event.len, event.payload(), true);
        open.passage.digest = event.digest;
        let Some(place) = place else { return };
        let Some(waiting) = self.arriving.by_place.get_mut(&place) else { return };
        let (mut merged, mut filled) = (mem::take(&mut self.arriving.merged), own);
        waiting.retain(|entry| {
            let Some(open) = self.open.get(entry.0).filter(|_| entry.1 != number) else { return false };
            if !is_waiting(Some(open), entry.1) {
                return false;
            }
            let inside = is_inside(open, number, event, &mut filled);
            merged.extend(inside.then_some(*entry));
            !inside
        });
        if waiting.is_empty() {
            self.arriving.leave(place);
        }
        for (other, other_number) in merged.drain(..) {
            let Some(gone) = self.open.remove(other) else { continue };
            if gone.cut.is_some() {
                self.cutting.forget(gone.passage.flow_to, (other, other_number));
            }
            self.release.skip(other_number);
            let stamps = self.spare.give_but_stamps(gone.passage);
            if let Some(open) = self.open.get_mut(slot) {
                open.passage.merged.push(stamps);
            }
        }
        self.arriving.merged = merged;
    }
}

/// Whether an entry still is a frame that GRO may merge.
fn is_waiting(open: Option<&Open>, number: u64) -> bool {
    open.is_some_and(|open| open.number == number && may_merge(&open.passage))
}

/// Whether a waiting frame is inside the super-frame that the passage `whole` has become, of which `filled` bytes are
/// known to be whose.
fn is_inside(waiting: &Open, whole: u64, event: &Event, filled: &mut u32) -> bool {
    let passage = &waiting.passage;
    if passage.kind != event.kind {
        return false;
    }
    if waiting.number < whole {
        return false;
    }
    let offset = match event.kind {
        // GRO appends what follows; the same bytes once more are of a frame that was sent twice.
        Some(Kind::Tcp) => passage.seq.wrapping_sub(event.seq),
        _ => *filled,
    };
    let end = offset.saturating_add(passage.payload);
    let inside = offset >= *filled && end <= event.payload();
    if inside {
        *filled = end;
    }
    inside
}
