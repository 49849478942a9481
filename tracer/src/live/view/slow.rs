//! The slowest exchanges of half a second: by their total, and by their time in each layer.

use tracer_common::hop::Hop;

use crate::{
    correlate::exchange::{Exchange, ExchangeKind, Initiator},
    latency::{LAYERS, Layer, spans_of},
};

/// How many are kept, for each order.
const KEPT: usize = 8;
const ORDERS: usize = LAYERS + 1;

/// What the slowest are the slowest in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In all.
    #[default]
    Total,
    /// In one layer.
    Layer(Layer),
}

impl Order {
    /// The one that follows.
    pub fn next(self) -> Order {
        let next = match self {
            Order::Total => 0,
            Order::Layer(layer) => layer as usize + 1,
        };
        Layer::ALL.get(next).map_or(Order::Total, |layer| Order::Layer(*layer))
    }

    /// The name on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Order::Total => "total",
            Order::Layer(layer) => layer.name(),
        }
    }

    fn number(self) -> usize {
        match self {
            Order::Total => 0,
            Order::Layer(layer) => layer as usize + 1,
        }
    }

    fn of(self, slow: &Slow) -> u64 {
        match self {
            Order::Total => slow.total_ns,
            Order::Layer(layer) => slow.layers_ns[layer as usize],
        }
    }
}

/// An exchange, as far as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// When its answer was seen last, `CLOCK_MONOTONIC`, ns.
    pub end_ns: u64,
    /// What kind.
    pub kind: ExchangeKind,
    /// Who asked.
    pub initiator: Initiator,
    /// The question's flow.
    pub flow: u64,
    /// From its first hop to its last, ns.
    pub total_ns: u64,
    /// Time by layer, by the layer's number, ns.
    pub layers_ns: [u64; LAYERS],
    /// The two hops with the longest time between them.
    pub longest: Option<(Hop, Hop)>,
    /// How long that was, ns.
    pub longest_ns: u64,
}

impl Slow {
    /// Of an exchange whose question is of this flow.
    pub(super) fn of(exchange: &Exchange, flow: u64) -> Slow {
        let mut slow = Slow {
            end_ns: exchange.stamps.last().map_or(0, |stamp| stamp.time_ns),
            kind: exchange.kind,
            initiator: exchange.initiator,
            flow,
            total_ns: exchange.total_ns(),
            layers_ns: [0; LAYERS],
            longest: None,
            longest_ns: 0,
        };
        for (span, pair) in spans_of(exchange) {
            let time_ns = pair[1].time_ns.saturating_sub(pair[0].time_ns);
            slow.layers_ns[span.layer() as usize] += time_ns;
            if time_ns > slow.longest_ns {
                (slow.longest, slow.longest_ns) = (Some((span.from, span.to)), time_ns);
            }
        }
        slow
    }
}

/// The slowest, in each order.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest([Vec<Slow>; ORDERS]);

impl Slowest {
    /// Takes an exchange, if it is one of them.
    pub(super) fn enter(&mut self, slow: &Slow) {
        let layers = Layer::ALL.into_iter().map(Order::Layer);
        for order in [Order::Total].into_iter().chain(layers) {
            let kept = &mut self.0[order.number()];
            if order.of(slow) == 0 {
                continue;
            }
            if kept.len() < KEPT {
                kept.push(*slow);
            } else if let Some(least) = kept.iter_mut().min_by_key(|kept| order.of(kept))
                && order.of(least) < order.of(slow)
            {
                *least = *slow;
            }
        }
    }

    /// The slowest of several half seconds, the slowest first.
    pub(super) fn of<'a>(order: Order, several: impl Iterator<Item = &'a Slowest>) -> Vec<Slow> {
        let mut all: Vec<Slow> = several.flat_map(|slowest| &slowest.0[order.number()]).copied().collect();
        all.sort_by_key(|slow| (std::cmp::Reverse(order.of(slow)), slow.end_ns));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(total_ns: u64, wire_ns: u64) -> Slow {
        let mut layers_ns = [0; LAYERS];
        layers_ns[Layer::WirePeer as usize] = wire_ns;
        layers_ns[Layer::Vmm as usize] = total_ns - wire_ns;
        Slow {
            end_ns: total_ns,
            kind: ExchangeKind::Echo,
            initiator: Initiator::Guest,
            flow: 2,
            total_ns,
            layers_ns,
            longest: None,
            longest_ns: 0,
        }
    }

    #[test]
    fn each_order_has_its_own_slowest() {
        let mut slowest = Slowest::default();
        (1..=100).for_each(|number| slowest.enter(&slow(1000 + number, 101 - number)));
        let first = |order| Slowest::of(order, [&slowest].into_iter())[0].total_ns;
        assert_eq!(first(Order::Total), 1100);
        assert_eq!(first(Order::Layer(Layer::WirePeer)), 1001);
        assert_eq!(first(Order::Layer(Layer::Vmm)), 1100);
        assert_eq!(Slowest::of(Order::Total, [&slowest].into_iter()).len(), KEPT);
        assert!(Slowest::of(Order::Layer(Layer::Host), [&slowest].into_iter()).is_empty());
    }

    #[test]
    fn the_orders_go_round() {
        let mut order = Order::Total;
        for layer in Layer::ALL {
            order = order.next();
            assert_eq!(order, Order::Layer(layer));
        }
        assert_eq!(order.next(), Order::Total);
    }
}
