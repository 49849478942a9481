//! The book of times: by segment over all passages, and by layer and segment for each group of exchanges.

use std::collections::BTreeMap;

use tracer_common::hop::Hop;

use crate::{
    correlate::{
        Passage, Stamp,
        exchange::{Exchange, ExchangeKind, Initiator},
    },
    latency::{Layer, Stats, charge, charge_turn, is_inward},
};

/// Two neighbouring hops. `turn` is the step from a question's passage to its answer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Earlier hop.
    pub from: Hop,
    /// Later hop.
    pub to: Hop,
    /// Whether it lies between two passages.
    pub turn: bool,
}

impl Span {
    /// Whether it lies on the way into a guest.
    pub fn is_inward(&self) -> bool {
        let arrives = matches!(self.from, Hop::NicHw | Hop::NicIrq | Hop::NicRx | Hop::NicStack);
        arrives || is_inward(self.from) || is_inward(self.to)
    }

    /// What it is charged to.
    pub fn layer(&self) -> Layer {
        if self.turn { charge_turn(self.from, self.to) } else { charge(self.from, self.to) }
    }
}

/// Times of the exchanges of one kind and one initiator.
#[derive(Clone, Debug, Default)]
pub struct GroupBook {
    /// Totals.
    pub totals: Stats,
    /// By span.
    pub spans: BTreeMap<Span, Stats>,
    /// Mean place of each span in its exchange: sum and count, for the order of rows.
    places: BTreeMap<Span, (u64, u64)>,
}

/// All times.
#[derive(Clone, Debug, Default)]
pub struct LatencyBook {
    /// By segment, over all passages and turns.
    pub segments: BTreeMap<Span, Stats>,
    /// By group.
    pub groups: BTreeMap<(ExchangeKind, Initiator), GroupBook>,
    /// Totals of all exchanges.
    pub totals: Stats,
}

impl LatencyBook {
    /// Enters a passage.
    pub fn passage(&mut self, passage: &Passage) {
        // A branch shares its parent's hops; only what is its own counts.
        let first_own =
            if passage.branch { passage.stamps.len().saturating_sub(own_hops(passage) + 1) } else { 0 };
        for pair in passage.stamps[first_own..].windows(2) {
            let span = Span { from: pair[0].hop, to: pair[1].hop, turn: false };
            self.segments.entry(span).or_default().record(pair[0].time_ns, pair[1].time_ns);
        }
    }

    /// Enters an exchange, whose passages have been entered before.
    pub fn exchange(&mut self, exchange: &Exchange) {
        let (Some(first), Some(last)) = (exchange.stamps.first(), exchange.stamps.last()) else { return };
        self.totals.record(first.time_ns, last.time_ns);
        let group = self.groups.entry((exchange.kind, exchange.initiator)).or_default();
        group.totals.record(first.time_ns, last.time_ns);
        for (index, pair) in exchange.stamps.windows(2).enumerate() {
            let turn = index + 1 == exchange.turn;
            let span = Span { from: pair[0].hop, to: pair[1].hop, turn };
            group.enter(span, index, pair);
            if turn {
                self.segments.entry(span).or_default().record(pair[0].time_ns, pair[1].time_ns);
            }
        }
    }
}

/// How many of a branch's stamps are its own: from the hop on where it left its parent.
fn own_hops(passage: &Passage) -> usize {
    use crate::correlate::Rule;
    passage.stamps.iter().rev().take_while(|stamp| stamp.rule != Rule::Head).count() + 1
}

impl GroupBook {
    fn enter(&mut self, span: Span, index: usize, pair: &[Stamp]) {
        self.spans.entry(span).or_default().record(pair[0].time_ns, pair[1].time_ns);
        let (sum, count) = self.places.entry(span).or_default();
        *sum += index as u64;
        *count += 1;
    }

    /// Spans in the order of the way.
    pub fn ordered(&self) -> Vec<(Span, &Stats)> {
        let mut rows: Vec<_> = self.spans.iter().map(|(span, stats)| (*span, stats)).collect();
        let place =
            |span: &Span| self.places.get(span).map_or(0.0, |(sum, count)| *sum as f64 / *count as f64);
        rows.sort_by(|(left, _), (right, _)| place(left).total_cmp(&place(right)).then(left.cmp(right)));
        rows
    }

    /// Sum of time by layer, ns, in the order of [`Layer`].
    pub fn layer_sums(&self) -> BTreeMap<Layer, u128> {
        let mut sums = BTreeMap::new();
        for (span, stats) in &self.spans {
            *sums.entry(span.layer()).or_default() += stats.sum_ns();
        }
        sums
    }
}
