//! The passages that are open, by slot, by `sk_buff` address and by `skb->head`.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use crate::{
    correlate::{
        cutting::Cut,
        passage::{End, Passage},
    },
    decode::Event,
};

/// How long after its last hop a frame may come by with other content in the same place of its flow: a header
/// that was pulled in or grew. Later it is rather the same sent again at a recycled address.
const SAME_PLACE_NS: u64 = 500_000;

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
    /// Of a super-frame that was cut up: what is known of its segments.
    pub(super) cut: Option<Cut>,
    /// How it ended, if GRO did not take it.
    pub(super) ended: Option<End>,
    skbs: Vec<u64>,
    heads: Vec<u64>,
}

impl Open {
    pub(super) fn new(passage: Passage) -> Open {
        let skb = passage.skb;
        Open {
            number: 0,
            passage,
            reader: 0,
            passed_over: false,
            branches: 0,
            cut: None,
            ended: None,
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
            && event.flow == passage.flow_to
            && (event.seq, event.ack) == (passage.seq, passage.ack)
            && (event.kind == Some(Kind::Tcp) || event.payload() == passage.payload || self.grew(event));
        if !self.is_same(event) {
            if !same_place {
                return false;
            }
            let numbered = matches!(event.kind, Some(Kind::Tcp | Kind::EchoRequest | Kind::EchoReply));
            self.passage.ambiguous |= !numbered && !self.grew(event);
        }
        true
    }

    /// Whether it shows up as a super-frame that holds more than what was seen of it: GRO has merged others into it.
    pub(super) fn grew(&self, event: &Event) -> bool {
        let stream = matches!(event.kind, Some(Kind::Tcp | Kind::Udp));
        let told = event.gso_size > 0 || event.kind == Some(Kind::Tcp);
        stream && told && event.payload() > self.passage.payload
    }

    /// Whether a buffer is the frame's, as far as it is known.
    pub(super) fn has_buffer(&self, head: u64) -> bool {
        head == 0 || self.passage.head == 0 || self.passage.head == head
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
