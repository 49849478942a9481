//! An endless recording that costs next to nothing to make: a few worlds ([`crate::world`]) are built once, and then
//! played one after another, over and over. Each time it is played a world's times go on from the last one's, its
//! frames say something new, and its TCP streams and pings go on where they were; flows come back after some rounds,
//! as ports do. Addresses are those of the world: what was freed last is taken first, and what was never seen to be
//! freed is taken by the next world's frames.
//!
//! Worlds know no GRO; [`bursts`] add it.

mod bursts;

use std::collections::HashMap;

use tracer::{correlate::Options, decode::Event};
use tracer_common::frame::Kind;

use crate::world::{Machine, Random, Recipe};

/// How many worlds there are.
const WORLDS: u64 = 6;
/// Conversations in each.
const TALKS: usize = 200;
/// So many rounds of all worlds have flows of their own, before the first ones come back.
const GENERATIONS: u64 = 4;
/// Flows of a world are numbers below this.
const FLOWS: u64 = 1 << 41;
/// By how much an event is delivered late, ns, at most, and how many of a million are later than that: a program takes
/// some hundred ns from its stamp to its record, but it can be interrupted, and a virtual CPU can be stopped.
const LAGS: [(u64, u64); 4] = [(300, 60_000), (5_000, 2_000), (200_000, 10), (4_500_000, 0)];
/// Time between two worlds, ns.
const PAUSE_NS: u64 = 10_000;

/// VMs of the host.
pub const VMS: usize = 2;
/// What runs the guests.
pub const MACHINE: Machine = Machine::Kvm { vhost: true, queues: 2 };
/// What a correlator of this stream must know.
pub const OPTIONS: Options =
    Options { waits_for_vcpu: true, irqs: true, xdp: false, no_socket: None, segments_told: true };

/// The events, without end.
pub struct Stream {
    worlds: Vec<Vec<Step>>,
    /// Which world, which of its steps.
    at: (usize, usize),
    round: u64,
    shift: Shift,
    newest_ns: u64,
}

/// An event of a world, and by how much its numbers go on each time its flow comes back.
struct Step {
    event: Event,
    seq: u32,
    ack: u32,
}

/// What is different each time a world is played.
#[derive(Clone, Copy, Default)]
struct Shift {
    time_ns: u64,
    digest: u64,
    flow: u64,
    /// How often the flows have come back.
    returns: u32,
}

impl Stream {
    /// Always the same.
    pub fn new() -> Stream {
        let worlds = (0..WORLDS).map(|seed| steps(events(seed))).collect();
        let mut stream = Stream { worlds, at: (0, 0), round: 0, shift: Shift::default(), newest_ns: 0 };
        stream.next_world();
        stream
    }

    fn next_world(&mut self) {
        let plays = self.round * WORLDS + self.at.0 as u64;
        self.shift = Shift {
            time_ns: self.newest_ns + PAUSE_NS,
            digest: plays.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            flow: (plays % (WORLDS * GENERATIONS)) * FLOWS,
            returns: (plays / (WORLDS * GENERATIONS)) as u32,
        };
    }
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new()
    }
}

impl Iterator for Stream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.at.1 == self.worlds[self.at.0].len() {
            self.at = ((self.at.0 + 1) % self.worlds.len(), 0);
            self.round += u64::from(self.at.0 == 0);
            self.next_world();
        }
        let step = &self.worlds[self.at.0][self.at.1];
        self.at.1 += 1;
        let event = step.shifted(&self.shift);
        self.newest_ns = self.newest_ns.max(event.time_ns);
        Some(event)
    }
}

impl Step {
    fn shifted(&self, shift: &Shift) -> Event {
        let mut event = self.event;
        event.time_ns += shift.time_ns;
        if event.kind.is_some() {
            event.digest = event.digest.wrapping_add(shift.digest);
            event.flow += shift.flow;
            event.seq = event.seq.wrapping_add(self.seq.wrapping_mul(shift.returns));
            event.ack = event.ack.wrapping_add(self.ack.wrapping_mul(shift.returns));
        }
        event
    }
}

/// A world with its bursts, in the order of delivery.
fn events(seed: u64) -> Vec<Event> {
    let recipe = Recipe {
        seed,
        vms: VMS,
        machine: MACHINE,
        routed: false,
        user: false,
        talks: TALKS,
        nat: false,
        xdp: None,
        bridge: true,
        vcpu: true,
        drops: 3,
        tap_cuts: false,
        duplicates: 2,
        lag_ns: 0,
    };
    let mut random = Random::new(seed ^ 0x6120);
    let mut events = recipe.build().events;
    events.extend(bursts::over(&events, &mut random));
    let mut delivered: Vec<_> =
        events.into_iter().map(|event| (event.time_ns + lag(&mut random), event)).collect();
    delivered.sort_by_key(|(delivered_ns, _)| *delivered_ns);
    delivered.into_iter().map(|(_, event)| event).collect()
}

fn lag(random: &mut Random) -> u64 {
    let fate = random.below(1_000_000);
    let most = LAGS.iter().find(|(_, later)| fate >= *later).map_or(0, |(most_ns, _)| *most_ns);
    random.below(most)
}

/// Finds by how much each flow's numbers go on: by what it sent.
fn steps(events: Vec<Event>) -> Vec<Step> {
    let mut sent: HashMap<u64, (u32, u32)> = HashMap::new();
    for event in events.iter().filter(|event| event.kind.is_some()) {
        let (from, to) = sent.entry(numbers(event)).or_insert((event.seq, event.seq));
        (*from, *to) = ((*from).min(event.seq), (*to).max(event.seq + event.payload() + 1));
    }
    let by = |flow: u64| sent.get(&flow).map_or(0, |(from, to)| to - from);
    // What says nothing has no flow, and is not shifted.
    let step = |event: Event| Step {
        event,
        seq: by(numbers(&event)),
        ack: if event.kind == Some(Kind::Tcp) { by(event.flow ^ 1) } else { 0 },
    };
    events.into_iter().map(step).collect()
}

/// The flow whose numbers an event's are: a ping's answer says those of its question.
fn numbers(event: &Event) -> u64 {
    match event.kind {
        Some(Kind::EchoRequest | Kind::EchoReply) => event.flow & !1,
        _ => event.flow,
    }
}
