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

#[cfg(test)]
mod tests {
    use tracer::correlate::{Rule, Stamp, exchange::Initiator};
    use tracer_common::hop::Hook;

    use super::*;

    /// A question to a guest and its answer, from `began_ns`: each hop a microsecond behind the one before.
    fn exchange(kind: ExchangeKind, began_ns: u64) -> Exchange {
        let asked = [Hop::NicRx, Hop::NicStack, Hop::TapRing, Hop::VmmRunnable, Hop::VmmWake, Hop::VcpuEnter];
        let answered = [Hop::VmmKick, Hop::TapWrite, Hop::NicQueue];
        let stamp = |(number, hop): (usize, Hop)| Stamp {
            hop,
            time_ns: began_ns + 1000 * number as u64,
            hook: Hook::Xdp,
            rule: Rule::Pointer,
        };
        let hops = [asked.as_slice(), &answered].concat();
        let stamps = hops.into_iter().enumerate().map(stamp).collect();
        Exchange { kind, initiator: Initiator::Peer, stamps, turn: asked.len() }
    }

    fn block(start_ns: u64, delayed: bool) -> Block {
        Block { time: start_ns..start_ns + 50_000, asked: 1, delayed, kept_ns: f64::from(u8::from(delayed)) }
    }

    #[test]
    fn an_exchange_belongs_to_the_block_in_whose_time_it_began() {
        let exchanges =
            [10_000, 120_000, 70_000, 260_000].map(|began_ns| exchange(ExchangeKind::Udp, began_ns));
        let echo = exchange(ExchangeKind::Echo, 20_000);
        let all = [exchanges.as_slice(), &[echo]].concat();
        let (found, missing) = samples(&all, &[block(0, false), block(50_000, true), block(100_000, false)]);
        let delayed: Vec<_> = found.iter().map(|sample| (sample.delayed, sample.kept_ns)).collect();
        assert_eq!((delayed, missing), (vec![(false, 0.0), (false, 0.0), (true, 1.0)], 0));
        assert_eq!(samples(&all, &[block(200_000, true)]).1, 1);
    }

    #[test]
    fn time_goes_to_layers_and_waiting_is_part_of_the_vmms() {
        let (found, _) = samples(&[exchange(ExchangeKind::Udp, 0)], &[block(0, false)]);
        let expected =
            [(Layer::Guest, 1000.0), (Layer::Vmm, 4000.0), (Layer::Vmnet, 2000.0), (Layer::Nic, 1000.0)];
        assert_eq!(found[0].layers, expected.into());
        assert_eq!(found[0].waiting_ns, 1000.0);
    }
}
