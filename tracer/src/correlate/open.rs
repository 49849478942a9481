//! The passages that are open, by slot, by `sk_buff` address and by `skb->head`.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use crate::{
    correlate::passage::{End, Passage},
    decode::Event,
};

/// How long after its last hop a frame may come by with other content in the same place of its flow: a header
/// that was pulled in or grew. Later it is rather the same sent again at a recycled address.
const SAME_PLACE_NS: u64 = 500_000;

/// A super-frame's byte range, once it has been cut up.
#[derive(Debug)]
pub(super) struct Segments {
    /// Sequence number behind its last byte.
    end: u32,
    /// Address of its last segment, once seen.
    last: u64,
}

impl Segments {
    pub(super) fn of(passage: &Passage) -> Segments {
        Segments { end: passage.seq.wrapping_add(passage.payload), last: 0 }
    }
}

/// An open passage and what only matters while it is.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) passage: Passage,
    /// Thread that read it out of the tap.
    pub(super) reader: u32,
    /// Whether, since it was announced, a vCPU was entered for what another thread announced.
    pub(super) passed_over: bool,
    /// Copies that went other ways.
    pub(super) branches: u32,
    pub(super) segments: Option<Segments>,
    /// How it ended, if GRO did not take it.
    pub(super) ended: Option<End>,
    /// Flow as last seen, which behind a NAT is not the guest's.
    pub(super) wire_flow: u64,
    skbs: Vec<u64>,
    heads: Vec<u64>,
}

impl Open {
    pub(super) fn new(passage: Passage) -> Open {
        let (skb, wire_flow) = (passage.skb, passage.flow);
        Open {
            number: 0,
            passage,
            reader: 0,
            passed_over: false,
            branches: 0,
            segments: None,
            ended: None,
            wire_flow,
            skbs: vec![skb],
            heads: Vec::new(),
        }
    }

    /// Whether an event says the same as this frame. What was not read contradicts nothing.
    pub(super) fn is_same(&self, event: &Event) -> bool {
        let unread = |kind: Option<Kind>| matches!(kind, None | Some(Kind::Truncated));
        unread(event.kind) || unread(self.passage.kind) || event.digest == self.passage.digest
    }

    /// Whether an event of this frame's address can be of this frame: it says the same, or, where a header grew
    /// or payload was pulled in between, it has the same place in the same flow. A flow without sequence numbers
    /// has no places: there the passage is in doubt.
    pub(super) fn fits(&mut self, event: &Event) -> bool {
        let passage = &self.passage;
        let last_ns = passage.stamps.last().map_or(0, |stamp| stamp.time_ns);
        // Nothing touches a frame before the bridge takes it.
        let same_place = event.hop != Hop::BridgeIn
            && event.time_ns < last_ns + SAME_PLACE_NS
            && event.kind == passage.kind
            && (event.flow, event.seq, event.ack) == (passage.flow, passage.seq, passage.ack)
            && (event.kind == Some(Kind::Tcp) || event.payload() == passage.payload);
        if !self.is_same(event) {
            if !same_place {
                return false;
            }
            let numbered = matches!(event.kind, Some(Kind::Tcp | Kind::EchoRequest | Kind::EchoReply));
            self.passage.ambiguous |= !numbered;
        }
        if event.kind.is_some() {
            self.wire_flow = event.flow;
        }
        true
    }

    /// Whether a buffer is the frame's, as far as it is known.
    pub(super) fn has_buffer(&self, head: u64) -> bool {
        head == 0 || self.passage.head == 0 || self.passage.head == head
    }

    /// Whether the frame can be cut into segments: TCP with more payload than one segment holds.
    pub(super) fn is_super_frame(&self) -> bool {
        self.passage.kind == Some(Kind::Tcp) && self.passage.payload > 0
    }

    /// Whether a segment's bytes lie inside this super-frame.
    pub(super) fn holds(&self, event: &Event) -> bool {
        let offset = event.seq.wrapping_sub(self.passage.seq);
        // As many bytes as the whole: no part of it, but the same sent again.
        self.segments.is_some() && offset < self.passage.payload && event.payload() < self.passage.payload
    }

    pub(super) fn took_segment(&mut self, event: &Event) {
        if let Some(segments) = &mut self.segments
            && event.seq.wrapping_add(event.payload()) == segments.end
        {
            segments.last = event.skb;
        }
    }

    /// Whether `skb` ends the frame: it is the frame, or its last segment.
    pub(super) fn is_last_segment(&self, skb: u64) -> bool {
        self.segments.as_ref().is_none_or(|segments| segments.last == skb)
    }
}

/// All open passages.
#[derive(Debug, Default)]
pub(super) struct OpenTable {
    slots: Vec<Option<Open>>,
    free: Vec<usize>,
    skbs: FxHashMap<u64, usize>,
    heads: FxHashMap<u64, usize>,
    /// Slot, number, time of the beginning; those closed meanwhile are skipped when they come to the front.
    ages: VecDeque<(usize, u64, u64)>,
    /// The same, of those that have not been looked at since they should have left the stack.
    entered: VecDeque<(usize, u64, u64)>,
    numbers: u64,
}

impl OpenTable {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a passage in; gives its slot and its number, the next.
    pub(super) fn insert(&mut self, mut open: Open) -> (usize, u64) {
        self.numbers += 1;
        open.number = self.numbers;
        let (skb, head, began_ns) = (open.passage.skb, open.passage.head, open.passage.start_ns());
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.ages.push_back((slot, open.number, began_ns));
        self.entered.push_back((slot, open.number, began_ns));
        self.slots[slot] = Some(open);
        self.skbs.insert(skb, slot);
        self.note_head(slot, head);
        (slot, self.numbers)
    }

    /// Records the buffer of a passage, unless another open passage has it: the first is the original.
    pub(super) fn note_head(&mut self, slot: usize, head: u64) {
        if head == 0 || *self.heads.entry(head).or_insert(slot) != slot {
            return;
        }
        if let Some(open) = self.get_mut(slot)
            && !open.heads.contains(&head)
        {
            open.heads.push(head);
        }
    }

    pub(super) fn by_skb(&self, skb: u64) -> Option<usize> {
        self.skbs.get(&skb).copied()
    }

    pub(super) fn by_head(&self, head: u64) -> Option<usize> {
        self.heads.get(&head).copied().filter(|_| head != 0)
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Open> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Open> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Whether the passage `number` is the one in `slot`.
    pub(super) fn is(&self, slot: usize, number: u64) -> bool {
        self.get(slot).is_some_and(|open| open.number == number)
    }

    /// Lets a further `sk_buff` stand for the passage.
    pub(super) fn alias(&mut self, slot: usize, skb: u64) {
        self.skbs.insert(skb, slot);
        if let Some(open) = self.get_mut(slot) {
            open.skbs.push(skb);
        }
    }

    /// An `sk_buff` stands for its passage no more; its address may be used again.
    pub(super) fn forget_alias(&mut self, skb: u64) {
        let Some(slot) = self.skbs.remove(&skb) else { return };
        if let Some(open) = self.get_mut(slot) {
            open.skbs.retain(|&known| known != skb);
        }
    }

    /// Lets a passage stay open without its addresses, which may be used again.
    pub(super) fn detach(&mut self, slot: usize) {
        let Some(open) = self.get_mut(slot) else { return };
        let (skbs, heads) = (std::mem::take(&mut open.skbs), std::mem::take(&mut open.heads));
        self.forget(slot, &skbs, &heads);
    }

    fn forget(&mut self, slot: usize, skbs: &[u64], heads: &[u64]) {
        for skb in skbs {
            if self.skbs.get(skb) == Some(&slot) {
                self.skbs.remove(skb);
            }
        }
        for head in heads {
            if self.heads.get(head) == Some(&slot) {
                self.heads.remove(head);
            }
        }
    }

    /// Slot and beginning of the oldest open passage.
    pub(super) fn oldest(&mut self) -> Option<(usize, u64)> {
        while let Some(&(slot, number, began_ns)) = self.ages.front() {
            if self.is(slot, number) {
                return Some((slot, began_ns));
            }
            self.ages.pop_front();
        }
        None
    }

    /// Slot of a passage that began before `before_ns` and has been queued nowhere. Each passage is looked at once.
    pub(super) fn lingering(&mut self, before_ns: u64) -> Option<usize> {
        while let Some((slot, number, _)) =
            self.entered.pop_front_if(|(_, _, began_ns)| *began_ns < before_ns)
        {
            let in_stack = |open: &Open| open.passage.stage() < Hop::NicQueue.stage();
            if self.is(slot, number) && self.get(slot).is_some_and(in_stack) {
                return Some(slot);
            }
        }
        None
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Open> {
        let open = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.forget(slot, &open.skbs, &open.heads);
        Some(open)
    }
}
