//! The coverage that the book of losses says, against the truth: of the events that frames on whole ways had at a hop,
//! how many were left. Of what is no conversation nothing tells that it entered.

use std::collections::BTreeMap;

use tracer::{
    correlate::Passage,
    loss::{LossBook, TapFacts},
    per_hop::PerHop,
};
use tracer_common::{frame::Kind, hop::Hop};

use super::{Journey, Place, World, tap};

/// Hops whose coverage is compared: those that every frame of a way must pass.
const HOPS: &[Hop] = &[
    Hop::TapRx,
    Hop::NicRx,
    Hop::NicStack,
    Hop::NicQueue,
    Hop::NicXmit,
    Hop::NicDone,
    Hop::TapQueue,
    Hop::TapRing,
    Hop::VmmRead,
    Hop::VmmReadEnd,
];

/// Counts at a hop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Events that were left, by the truth, and all that there were.
    pub left: u64,
    /// See `left`.
    pub all: u64,
    /// Passages that the book found there, and those that it expected.
    pub found: u64,
    /// See `found`.
    pub expected: u64,
}

impl Counts {
    /// The share that was left, and the share that the book says.
    pub fn shares(&self) -> (f64, f64) {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        (share(self.left, self.all), share(self.found, self.expected))
    }
}

/// Adds what a world has, and what its passages make of it.
pub fn add(world: &World, passages: &[Passage], counts: &mut BTreeMap<u8, Counts>) {
    let mut served = PerHop::default();
    HOPS.iter().for_each(|hop| served[*hop as usize] = true);
    let facts = |vm: usize| (tap(vm), TapFacts { behind: None, served: served.clone() });
    let mut book = LossBook::new((0..2).map(facts).collect());
    let talk = |passage: &&Passage| passage.kind != Some(Kind::Arp);
    passages.iter().filter(talk).for_each(|passage| book.passage(passage));
    book.settle();
    for &hop in HOPS {
        let counts = counts.entry(hop as u8).or_default();
        counts.found += book.found[hop as usize];
        counts.expected += book.expected[hop as usize];
    }
    for (hop, time_ns) in passed(world) {
        let counts = counts.entry(hop as u8).or_default();
        counts.all += 1;
        counts.left += u64::from(!world.removed.contains(&time_ns));
    }
}

/// What frames between guests and the wire, or two guests, passed when.
fn passed(world: &World) -> Vec<(Hop, u64)> {
    let mut passed = Vec::new();
    let told = |journey: &&Journey| journey.content.kind != Kind::Arp && !journey.flooded;
    for journey in world.journeys.iter().filter(told).filter(|journey| is_whole(journey.way)) {
        let mut times = journey.expected.clone();
        times.sort_unstable();
        times.dedup();
        let freed = |time_ns: &u64| match world.hops[time_ns] {
            // An skb's end ends its copy into the guest, or its transmission.
            Hop::SkbFree if matches!(journey.way.1, Place::Guest(_)) => Hop::VmmReadEnd,
            Hop::SkbFree => Hop::NicDone,
            hop => hop,
        };
        passed.extend(
            times.iter().map(|time_ns| (freed(time_ns), *time_ns)).filter(|(hop, _)| HOPS.contains(hop)),
        );
    }
    passed
}

fn is_whole((from, to): (Place, Place)) -> bool {
    from != Place::Host && to != Place::Host
}
