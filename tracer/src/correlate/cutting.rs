//! Super-frames that the kernel cuts into segments: `skb_gso_segment`, called by `validate_xmit_skb` between qdisc and
//! driver, and before that by a device or a tunnel that needs segments (net/core/dev.c, net/ipv4/ip_output.c). The
//! super-frame's `sk_buff` is freed, and its segments, which are new ones, are handed on at once, in their order.
//!
//! Each segment is a branch of the super-frame's passage: it shares the way so far, and has the rest of it, and its
//! latency, to itself. Which one it is, is told by
//! - TCP: its bytes lie inside the super-frame's;
//! - UDP over IPv4: the IP identification, which counts up from the super-frame's (`inet_gso_segment`,
//!   net/ipv4/af_inet.c);
//! - UDP over IPv6: its order, and its size, which is that of a segment or of the rest.
//!
//! Segments of one super-frame come before those of the next one of the flow. Where two of a UDP flow wait that say the
//! same, the first one has the segment, and both are in doubt.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use super::{Correlator, End, Passage, STACK_WITHIN_NS, open::Open};
use crate::decode::Event;

/// What is known of a super-frame's segments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cut {
    /// Bytes of its payload up to the end of the last segment seen.
    next: u32,
    /// Segments seen.
    segments: u32,
    /// One of them was seen before the driver.
    early: bool,
}

/// Super-frames that were cut, by flow: slot and number of their passages, in the order of their cutting.
#[derive(Debug, Default)]
pub(super) struct Cutting {
    by_flow: FxHashMap<u64, VecDeque<(usize, u64)>>,
    /// All of them with the time of their cutting, the first one first; some are over.
    ages: VecDeque<(u64, usize, u64)>,
    /// How many were given up for want of room.
    pub(super) evicted: u64,
}

/// Super-frames of a flow whose segments are to come. They come at once: more do not wait.
const MOST: usize = 1024;

impl Cutting {
    fn push(&mut self, flow: u64, entry: (usize, u64)) -> Option<(usize, u64)> {
        let waiting = self.by_flow.entry(flow).or_default();
        waiting.push_back(entry);
        let crowded = waiting.len() > MOST;
        self.evicted += u64::from(crowded);
        waiting.front().copied().filter(|_| crowded)
    }

    /// Says that a passage is over.
    pub(super) fn forget(&mut self, flow: u64, entry: (usize, u64)) {
        let Some(waiting) = self.by_flow.get_mut(&flow) else { return };
        if let Some(at) = waiting.iter().position(|known| *known == entry) {
            waiting.remove(at);
        }
        if waiting.is_empty() {
            self.by_flow.remove(&flow);
        }
    }
}

/// Whether a passage can be cut into segments: what no qdisc or driver has handed on yet, and holds more than one. Before
/// that was told, any TCP with payload may be one, if it was freed where only cutting frees.
pub(super) fn can_be_cut(passage: &Passage, told: bool) -> bool {
    let in_stack = Hop::TapRx.stage()..=Hop::NicQueue.stage();
    let stream = matches!(passage.kind, Some(Kind::Tcp | Kind::Udp));
    let larger = passage.gso_size > 0 && passage.payload > u32::from(passage.gso_size);
    let unknown = !told && passage.kind == Some(Kind::Tcp) && passage.last_hop() == Hop::NicQueue;
    stream && passage.payload > 0 && in_stack.contains(&passage.stage()) && (larger || unknown)
}

/// Whether the timestamps agree, which all segments share. At a tap they are not read.
fn has_timestamps(whole: &Passage, event: &Event) -> bool {
    whole.timestamps == 0 || whole.timestamps == event.stamps
}

impl Cut {
    /// Where in the super-frame's payload a segment lies, if it can be one of it.
    fn offset(&self, whole: &Passage, event: &Event) -> Option<u32> {
        let size = u32::from(whole.gso_size);
        let payload = event.payload();
        let offset = match whole.kind {
            Some(Kind::Tcp) if event.ack == whole.ack && has_timestamps(whole, event) => {
                event.seq.wrapping_sub(whole.seq)
            }
            Some(Kind::Tcp) => return None,
            // The identification has 16 bits.
            _ if whole.seq != 0 => u32::from(event.seq.wrapping_sub(whole.seq) as u16).saturating_mul(size),
            _ => self.next,
        };
        // As many bytes as the whole: no part of it, but the same sent again.
        let inside = offset >= self.next && offset < whole.payload && payload < whole.payload;
        let rest = whole.payload.wrapping_sub(offset);
        let fits = whole.kind == Some(Kind::Tcp) || payload == size.min(rest);
        (inside && fits).then_some(offset)
    }
}

impl Open {
    /// Where in this super-frame a segment lies, if it is one of it.
    fn holds(&self, event: &Event) -> Option<u32> {
        let at_device = match self.passage.stage() {
            // Behind a queue it can only be at that queue's device.
            stage if stage == Hop::NicQueue.stage() => event.device == self.queued_at(),
            _ => true,
        };
        let same_kind = event.kind == self.passage.kind && at_device;
        self.cut.as_ref().filter(|_| same_kind)?.offset(&self.passage, event)
    }

    /// Slot of the device whose queue it is in.
    fn queued_at(&self) -> Option<u8> {
        match self.passage.to {
            super::Side::Guest(slot) | super::Side::Wire(slot) => Some(slot),
            super::Side::Host => None,
        }
    }
}

/// Whether a segment can be seen first at a hop.
pub(super) fn may_be_segment(event: &Event) -> bool {
    let hop =
        matches!(event.hop, Hop::BridgeOut | Hop::NicQueue | Hop::NicXmit | Hop::TapQueue | Hop::TapRing);
    hop && matches!(event.kind, Some(Kind::Tcp | Kind::Udp))
}

impl Correlator {
    /// A super-frame was freed: its segments are to come. If none do, it ended as `end` says.
    pub(super) fn cut(&mut self, slot: usize, end: End) {
        let Some(open) = self.open.get_mut(slot) else { return };
        (open.cut, open.ended) = (Some(Cut::default()), Some(end));
        let (flow, number) = (open.passage.flow_to, open.number);
        self.open.detach(slot);
        if self.cutting.ages.len() > 2 * self.limits.open {
            self.cutting.ages.retain(|&(_, slot, number)| self.open.is(slot, number));
        }
        self.cutting.ages.push_back((self.now_ns, slot, number));
        if let Some((slot, number)) = self.cutting.push(flow, (slot, number)) {
            self.close_cut(slot, number);
        }
    }

    /// Gives up those whose segments should all have come.
    pub(super) fn expire_cut(&mut self) {
        let before_ns = self.now_ns.saturating_sub(STACK_WITHIN_NS);
        while let Some((_, slot, number)) = self.cutting.ages.pop_front_if(|(cut_ns, ..)| *cut_ns < before_ns)
        {
            self.close_cut(slot, number);
        }
    }

    fn close_cut(&mut self, slot: usize, number: u64) {
        let Some(open) = self.open.get_mut(slot).filter(|open| open.number == number) else { return };
        if let Some(cut) = open.cut.filter(|cut| cut.segments > 0) {
            (open.ended, open.passage.segments) = (Some(End::Cut), cut.segments);
            open.passage.cut_early = cut.early;
        }
        self.close(slot, End::Unfinished);
    }

    /// A segment of a super-frame shows up.
    pub(super) fn segment(&mut self, event: &Event) -> bool {
        let Some(waiting) = self.cutting.by_flow.get(&event.flow) else { return false };
        let holds = |&(slot, number): &(usize, u64)| {
            let open = self.open.get(slot).filter(|open| open.number == number)?;
            open.holds(event).map(|offset| (slot, number, offset))
        };
        // Of two that hold the same bytes of TCP the later one was sent again: its segments follow its cutting at once.
        let mut holding = waiting.iter().filter_map(holds);
        let found = if event.kind == Some(Kind::Tcp) { holding.next_back() } else { holding.next() };
        let Some((slot, number, offset)) = found else { return false };
        let doubted = event.kind == Some(Kind::Udp) && holding.next().is_some();
        // Those before it are over.
        let over: Vec<_> = waiting.iter().copied().take_while(|entry| *entry != (slot, number)).collect();
        let Some(open) = self.open.get_mut(slot) else { return false };
        open.passage.ambiguous |= doubted;
        let early = open.cut.is_some_and(|cut| cut.early) || event.hop.stage() < Hop::NicXmit.stage();
        let mut segment = self.spare.take();
        segment.segment(&open.passage, event);
        segment.cut_early = early;
        // Where its own queue was not seen, they tell where it went.
        open.passage.to = segment.to;
        let end = offset.saturating_add(event.payload());
        let whole = end >= open.passage.payload;
        open.cut = open.cut.map(|cut| Cut { next: end, segments: cut.segments + 1, early });
        self.open.insert(Open::new(segment));
        self.release.begin(event.time_ns);
        if event.kind == Some(Kind::Udp) {
            over.into_iter().for_each(|(slot, number)| self.close_cut(slot, number));
        }
        if whole {
            self.close_cut(slot, number);
        }
        true
    }
}
