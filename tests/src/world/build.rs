//! From a recipe to the events of a world: the conversations in the order of their time, then addresses for the
//! frames, then the order of delivery.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use tracer::decode::Event;
use tracer_common::hop::{Hook, Hop};

use super::{Content, Journey, Place, Random, Recipe, World, talk::Talk, tells};

/// Where a frame's memory is from, until when. `sk_buff` and buffer live by themselves.
#[derive(Clone, Copy, Debug)]
struct Life {
    from_ns: u64,
    to_ns: u64,
}

/// An event whose addresses are still numbers of lives.
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) skb: Option<usize>,
    pub(super) head: Option<usize>,
}

/// A world in the making.
pub(super) struct Builder {
    pub(super) recipe: Recipe,
    pub(super) random: Random,
    pub(super) drafts: Vec<Draft>,
    pub(super) owners: HashMap<u64, Vec<usize>>,
    pub(super) journeys: Vec<Journey>,
    pub(super) troubled: HashSet<u64>,
    pub(super) frames: usize,
    /// By VM: until when its I/O thread is busy.
    pub(super) busy_ns: [u64; 2],
    /// Of guests on KVM.
    pub(super) kvm: super::kvm::Workers,
    /// By flow: when its last frame came over the wire, since wires keep the order of a flow.
    pub(super) arrived_ns: HashMap<u64, u64>,
    /// By flow: when the segments of its last super-frame had been handed on, since queues keep their order.
    pub(super) cut_ns: HashMap<u64, u64>,
    /// By CPU: until when it takes frames in.
    pub(super) polled_ns: [u64; 2],
    times: HashSet<u64>,
    skbs: Vec<Life>,
    heads: Vec<Life>,
    due: BinaryHeap<Reverse<(u64, usize, usize)>>,
    pub(super) talks: Vec<Talk>,
}

impl Recipe {
    /// The world of this recipe.
    pub fn build(self) -> World {
        let mut builder = Builder::new(self);
        for number in 0..self.talks {
            let talk = Talk::random(&mut builder, number);
            builder.talks.push(talk);
            let start_ns = builder.random.below(20_000_000);
            builder.schedule(start_ns, number, 0);
        }
        while let Some(Reverse((now_ns, number, word))) = builder.due.pop() {
            let mut talk = builder.talks[number];
            talk.step(&mut builder, number, now_ns, word);
            builder.talks[number] = talk;
        }
        builder.finish()
    }
}

impl Builder {
    fn new(recipe: Recipe) -> Builder {
        Builder {
            recipe,
            random: Random::new(recipe.seed),
            drafts: Vec::new(),
            owners: HashMap::new(),
            journeys: Vec::new(),
            troubled: HashSet::new(),
            frames: 0,
            busy_ns: [0; 2],
            kvm: super::kvm::Workers::default(),
            arrived_ns: HashMap::new(),
            cut_ns: HashMap::new(),
            polled_ns: [0; 2],
            times: HashSet::new(),
            skbs: Vec::new(),
            heads: Vec::new(),
            due: BinaryHeap::new(),
            talks: Vec::new(),
        }
    }

    /// Has a conversation go on at a time; `word` is for itself.
    pub(super) fn schedule(&mut self, at_ns: u64, talk: usize, word: usize) {
        self.due.push(Reverse((at_ns, talk, word)));
    }

    /// New memory for an `sk_buff` and its buffer; lives end with their last event.
    pub(super) fn allocate(&mut self) -> (usize, usize) {
        let unborn = Life { from_ns: u64::MAX, to_ns: 0 };
        self.heads.push(unborn);
        (self.clone_of(), self.heads.len() - 1)
    }

    /// A new `sk_buff` alone.
    pub(super) fn clone_of(&mut self) -> usize {
        self.skbs.push(Life { from_ns: u64::MAX, to_ns: 0 });
        self.skbs.len() - 1
    }

    /// A new journey.
    pub(super) fn journey(
        &mut self,
        content: Content,
        way: (Place, Place),
        frame: usize,
        answers: Option<usize>,
    ) -> usize {
        self.journeys.push(Journey {
            content,
            way,
            frame,
            flooded: false,
            dropped: false,
            expected: Vec::new(),
            told: Vec::new(),
            began_ns: u64::MAX,
            answers,
        });
        self.journeys.len() - 1
    }

    /// A time from `at_ns` on that no event has.
    fn unique(&mut self, mut at_ns: u64) -> u64 {
        while !self.times.insert(at_ns) {
            at_ns += 1;
        }
        at_ns
    }

    /// Adds an event of a thread or CPU.
    pub(super) fn thread(&mut self, at_ns: u64, hop: Hop, tid: u32, device: Option<u8>) -> u64 {
        let time_ns = self.unique(at_ns);
        let event = Event { time_ns, hop, tid, device, ..blank() };
        self.drafts.push(Draft { event, skb: None, head: None });
        time_ns
    }

    /// Adds an event of a frame; `memory` is its `sk_buff` and buffer.
    pub(super) fn frame(
        &mut self,
        at_ns: u64,
        hop: Hop,
        device: u8,
        memory: (usize, usize),
        content: &Content,
        owners: &[usize],
    ) -> u64 {
        let time_ns = self.unique(at_ns);
        let (skb, head) = memory;
        for life in [&mut self.skbs[skb], &mut self.heads[head]] {
            life.from_ns = life.from_ns.min(time_ns);
            life.to_ns = life.to_ns.max(time_ns);
        }
        let mut event = Event { time_ns, hop, device: Some(device), ..blank() };
        if tells(hop) {
            self.tell(&mut event, content, device);
        }
        event.cpu = super::way::cpu_of(content);
        self.drafts.push(Draft {
            event,
            skb: Some(skb),
            head: (tells(hop) || super::has_buffer_only(hop)).then_some(head),
        });
        if super::has_buffer_only(hop) {
            self.owners.insert(time_ns, owners.to_vec());
        } else {
            self.own(time_ns, hop, owners, tells(hop));
        }
        time_ns
    }

    /// Adds an XDP program's sight of a frame.
    pub(super) fn sight(&mut self, at_ns: u64, hop: Hop, device: u8, content: &Content, owner: usize) -> u64 {
        let time_ns = self.unique(at_ns);
        let mut event = Event { time_ns, hop, device: Some(device), hook: Hook::Xdp, ..blank() };
        self.tell(&mut event, content, device);
        self.drafts.push(Draft { event, skb: None, head: None });
        self.own(time_ns, hop, &[owner], true);
        time_ns
    }

    fn tell(&self, event: &mut Event, content: &Content, device: u8) {
        let behind_nat = self.recipe.nat && device == super::NIC;
        event.kind = Some(content.kind);
        event.flow = content.flow + if behind_nat { 1 << 40 } else { 0 };
        event.digest = content.digest;
        (event.seq, event.ack, event.tcp_flags) = (content.seq, content.ack, content.flags);
        event.overhead = 54;
        event.len = content.payload + 54;
        event.gso_size = if content.is_super_frame() { content.segment as u16 } else { 0 };
    }

    fn own(&mut self, time_ns: u64, hop: Hop, owners: &[usize], told: bool) {
        self.owners.insert(time_ns, owners.to_vec());
        for &owner in owners {
            let journey = &mut self.journeys[owner];
            // No passage begins where IP hands on: the host's own frames come along there too.
            if hop != Hop::IpOut {
                journey.began_ns = journey.began_ns.min(time_ns);
            }
            if told {
                journey.told.push(time_ns);
            }
        }
    }

    /// Says that an event must be found in its journeys' passages.
    pub(super) fn expect(&mut self, time_ns: u64, owners: &[usize]) {
        for &owner in owners {
            self.journeys[owner].expected.push(time_ns);
        }
    }

    /// Whether fate drops a frame here.
    pub(super) fn drops(&mut self) -> bool {
        let drops = self.recipe.drops;
        self.random.below(1000) < drops
    }

    /// A random VM, peer or host.
    pub(super) fn place(&mut self) -> Place {
        let vm = self.random.below(self.recipe.vms as u64) as usize;
        match self.random.below(8) {
            0 => Place::Host,
            1..=3 => Place::Peer,
            _ => Place::Guest(vm),
        }
    }

    fn finish(mut self) -> World {
        self.settle();
        let skbs = addresses(&self.skbs, 0xffff_8880_0000_0000);
        let heads = addresses(&self.heads, 0xffff_8881_0000_0000);
        for draft in &mut self.drafts {
            draft.event.skb = draft.skb.map_or(0, |life| skbs[life]);
            draft.event.head = draft.head.map_or(0, |life| heads[life]);
        }
        super::way::own_threads(&mut self);
        let (lag_ns, random) = (self.recipe.lag_ns, &mut self.random);
        let mut events: Vec<_> = self
            .drafts
            .iter()
            .map(|draft| (draft.event.time_ns + random.below(lag_ns + 1), draft.event))
            .collect();
        events.sort_by_key(|(delivered_ns, _)| *delivered_ns);
        World {
            events: events.into_iter().map(|(_, event)| event).collect(),
            owners: self.owners,
            hops: self.drafts.iter().map(|draft| (draft.event.time_ns, draft.event.hop)).collect(),
            said: self
                .drafts
                .iter()
                .map(|draft| (draft.event.time_ns, (draft.event.seq, draft.event.payload())))
                .collect(),
            addresses: self.drafts.iter().map(|draft| (draft.event.time_ns, draft.event.skb)).collect(),
            journeys: self.journeys,
            troubled: self.troubled,
            removed: HashSet::new(),
            recipe: self.recipe,
        }
    }
}

/// Addresses for lives: the one that was freed last is taken first, as the kernel's allocator does.
fn addresses(lives: &[Life], base: u64) -> Vec<u64> {
    let mut order: Vec<_> = (0..lives.len()).filter(|&life| lives[life].from_ns != u64::MAX).collect();
    order.sort_by_key(|&life| lives[life].from_ns);
    let mut found = vec![0; lives.len()];
    let mut living: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let (mut free, mut next) = (Vec::new(), base);
    for life in order {
        while let Some(&Reverse((to_ns, address))) = living.peek()
            && to_ns < lives[life].from_ns
        {
            living.pop();
            free.push(address);
        }
        found[life] = free.pop().unwrap_or_else(|| {
            next += 0x100;
            next
        });
        living.push(Reverse((lives[life].to_ns, found[life])));
    }
    found
}

fn blank() -> Event {
    Event::at(0, Hop::SkbFree, Hook::NetifReceiveSkb)
}
