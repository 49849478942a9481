//! Questions in blocks, and which exchange belongs to which. Pure.

use std::{collections::BTreeMap, ops::Range};

use tracer::{
    correlate::exchange::{Exchange, ExchangeKind},
    latency::{Layer, charge, charge_turn},
};
use tracer_common::hop::Hop;

/// Some questions one after the other, all delayed or none.
#[derive(Clone, Debug)]
pub struct Block {
    /// From before the first question until after the last answer, ns.
    pub time: Range<u64>,
    /// How many questions.
    pub asked: usize,
    /// Whether they were delayed.
    pub delayed: bool,
    /// Mean time for which they were kept, by the clock of what kept them, ns. Plain ones may have been as well.
    pub kept_ns: f64,
}

/// An exchange: how long it was in each layer.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// By layer, ns.
    pub layers: BTreeMap<Layer, f64>,
    /// Of that, waiting for a processor, ns.
    pub waiting_ns: f64,
    /// Whether it was delayed.
    pub delayed: bool,
    /// For how long it was kept, ns.
    pub kept_ns: f64,
}

/// The exchanges of some blocks, and how many questions have none.
pub fn samples(exchanges: &[Exchange], blocks: &[Block]) -> (Vec<Sample>, usize) {
    let asked: usize = blocks.iter().map(|block| block.asked).sum();
    let found: Vec<Sample> = exchanges.iter().filter_map(|exchange| sample(exchange, blocks)).collect();
    let missing = asked.abs_diff(found.len());
    (found, missing)
}

fn sample(exchange: &Exchange, blocks: &[Block]) -> Option<Sample> {
    let began_ns = exchange.stamps.first().filter(|_| exchange.kind == ExchangeKind::Udp)?.time_ns;
    let block = blocks.iter().find(|block| block.time.contains(&began_ns))?;
    let mut sample = Sample { delayed: block.delayed, kept_ns: block.kept_ns, ..Sample::default() };
    for (index, pair) in exchange.stamps.windows(2).enumerate() {
        let (from, to) = (pair[0].hop, pair[1].hop);
        let turn = index + 1 == exchange.turn;
        let layer = if turn { charge_turn(from, to) } else { charge(from, to) };
        let time_ns = (pair[1].time_ns - pair[0].time_ns) as f64;
        *sample.layers.entry(layer).or_default() += time_ns;
        // A thread that was told to run before the frame came has no `vmm.runnable` of its own.
        if to == Hop::VmmWake && matches!(from, Hop::VmmRunnable | Hop::TapRing) {
            sample.waiting_ns += time_ns;
        }
    }
    Some(sample)
}
