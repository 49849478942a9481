//! The passages that are open, by slot, by `sk_buff` address and by `skb->head`.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
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
    pub(super) passage: Box<Passage>,
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
    /// Its addresses, as long as they stand for it.
    skb: Option<u64>,
    heads: Heads,
}

/// Most frames have one.
type Heads = SmallVec<[u64; 2]>;

impl Open {
    pub(super) fn new(passage: Box<Passage>) -> Open {
        let skb = passage.skb;
        Open {
            number: 0,
            passage,
            reader: 0,
            passed_over: false,
            branches: 0,
            cut: None,
            ended: None,
            skb: Some(skb),
            heads: Heads::new(),
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
    slots: Vec<Slot>,
    free: Vec<usize>,
    skbs: FxHashMap<u64, usize>,
    heads: FxHashMap<u64, usize>,
    /// The oldest, the youngest, and the oldest that has not been looked at since it should have left the stack.
    oldest: Option<usize>,
    youngest: Option<usize>,
    entered: Option<usize>,
    numbers: u64,
}

/// A place for an open passage, with its neighbours by age.
#[derive(Debug)]
struct Slot {
    open: Option<Open>,
    began_ns: u64,
    older: Option<usize>,
    younger: Option<usize>,
}

impl OpenTable {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a passage in; gives its slot and its number, the next.
    pub(super) fn insert(&mut self, mut open: Open) -> (usize, u64) {
        self.numbers += 1;
        open.number = self.numbers;
        let (skb, head) = (open.passage.skb, open.passage.head);
        let began_ns = open.passage.start_ns();
        let place = Slot { open: Some(open), began_ns, older: self.youngest, younger: None };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = place;
                slot
            }
            None => {
                self.slots.push(place);
                self.slots.len() - 1
            }
        };
        match self.youngest.replace(slot) {
            Some(older) => self.slots[older].younger = Some(slot),
            None => self.oldest = Some(slot),
        }
        self.entered.get_or_insert(slot);
        self.skbs.insert(skb, slot);
        self.note_head(slot, head);
        (slot, self.numbers)
    }

    /// Records the buffer of a passage, unless another open passage has it: the first is the original.
    pub(super) fn note_head(&mut self, slot: usize, head: u64) {
        if head == 0 || self.get(slot).is_none_or(|open| open.heads.contains(&head)) {
            return;
        }
        if *self.heads.entry(head).or_insert(slot) == slot
            && let Some(open) = self.get_mut(slot)
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
        self.slots.get(slot)?.open.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Open> {
        self.slots.get_mut(slot)?.open.as_mut()
    }

    /// Whether the passage `number` is the one in `slot`.
    pub(super) fn is(&self, slot: usize, number: u64) -> bool {
        self.get(slot).is_some_and(|open| open.number == number)
    }

    /// Lets a passage stay open without its addresses, which may be used again.
    pub(super) fn detach(&mut self, slot: usize) {
        let Some(open) = self.get_mut(slot) else { return };
        let (skb, heads) = (open.skb.take(), std::mem::take(&mut open.heads));
        self.forget(slot, skb, &heads);
    }

    fn forget(&mut self, slot: usize, skb: Option<u64>, heads: &[u64]) {
        skb.iter().for_each(|skb| forget(&mut self.skbs, slot, *skb));
        heads.iter().for_each(|head| forget(&mut self.heads, slot, *head));
    }

    /// Slot and beginning of the oldest open passage.
    pub(super) fn oldest(&self) -> Option<(usize, u64)> {
        let slot = self.oldest?;
        Some((slot, self.slots[slot].began_ns))
    }

    /// Slot of a passage that began before `before_ns` and has been queued nowhere. Each passage is looked at once.
    pub(super) fn lingering(&mut self, before_ns: u64) -> Option<usize> {
        while let Some(slot) = self.entered {
            if self.slots[slot].began_ns >= before_ns {
                return None;
            }
            let in_stack = self.get(slot)?.passage.stage() < Hop::NicQueue.stage();
            self.entered = self.slots[slot].younger;
            if in_stack {
                return Some(slot);
            }
        }
        None
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Open> {
        let place = self.slots.get_mut(slot)?;
        let open = place.open.take()?;
        let (older, younger) = (place.older, place.younger);
        match older {
            Some(older) => self.slots[older].younger = younger,
            None => self.oldest = younger,
        }
        match younger {
            Some(younger) => self.slots[younger].older = older,
            None => self.youngest = older,
        }
        if self.entered == Some(slot) {
            self.entered = younger;
        }
        self.free.push(slot);
        self.forget(slot, open.skb, &open.heads);
        Some(open)
    }
}

/// Takes an address out of a table, unless it has become another passage's.
fn forget(table: &mut FxHashMap<u64, usize>, slot: usize, address: u64) {
    if let Entry::Occupied(entry) = table.entry(address)
        && *entry.get() == slot
    {
        entry.remove();
    }
}
