//! The book of times: by segment over all passages, and by layer and segment for each group of exchanges.

use std::{cmp::Ordering, collections::BTreeMap};

use tracer_common::hop::Hop;

use crate::{
    correlate::{
        Passage, Side, Stamp,
        exchange::{Exchange, ExchangeKind, Initiator},
    },
    latency::{LAYERS, Layer, PerSpan, Stats, charge, charge_turn},
};

/// Which way a frame goes through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From a guest to the wire or to the host, or from the host to the wire.
    Transmit,
    /// From the wire or the host to a guest, or from the wire to the host.
    Receive,
    /// From a guest to another one on this host.
    Between,
    /// Neither: the step from a question's passage to its answer's.
    Turn,
}

impl Way {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Transmit => "transmit",
            Way::Receive => "receive",
            Way::Between => "between",
            Way::Turn => "turn",
        }
    }

    /// The way of a passage.
    pub fn of(passage: &Passage) -> Way {
        match (passage.from, passage.to) {
            (Side::Guest(_), Side::Guest(_)) => Way::Between,
            (Side::Guest(_), _) | (Side::Host, Side::Wire(_)) => Way::Transmit,
            _ => Way::Receive,
        }
    }

    /// The ways of a question and of its answer.
    fn of_exchange(initiator: Initiator) -> (Way, Way) {
        match initiator {
            Initiator::Guest | Initiator::GuestToHost | Initiator::HostToPeer => {
                (Way::Transmit, Way::Receive)
            }
            Initiator::Peer | Initiator::Host | Initiator::PeerToHost => (Way::Receive, Way::Transmit),
            Initiator::GuestToGuest => (Way::Between, Way::Between),
        }
    }
}

/// Two neighbouring hops on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which way the frame went.
    pub way: Way,
    /// Earlier hop.
    pub from: Hop,
    /// Later hop.
    pub to: Hop,
}

impl Span {
    /// What it is charged to.
    pub fn layer(&self) -> Layer {
        match self.way {
            Way::Turn => charge_turn(self.from, self.to),
            Way::Transmit | Way::Receive | Way::Between => charge(self.from, self.to),
        }
    }
}

/// Times of the exchanges of one kind and one initiator.
#[derive(Clone, Debug, Default)]
pub struct GroupBook {
    /// Totals.
    pub totals: Stats,
    spans: PerSpan<Entry>,
    /// Time of an exchange in each layer, by the layer's number; none for layers that no exchange had time in.
    layers: [Option<Box<LayerTimes>>; LAYERS],
}

/// Time of exchanges in one layer, all its spans together.
#[derive(Clone, Debug, Default)]
pub struct LayerTimes {
    /// Of those exchanges that passed it.
    stats: Stats,
}

impl LayerTimes {
    /// Exact sum, ns.
    pub fn sum_ns(&self) -> u128 {
        self.stats.sum_ns()
    }

    /// The time in this layer that `percent` of `exchanges` do not exceed, ns; an exchange that did not pass it has 0.
    pub fn percentile_ns(&self, percent: f64, exchanges: u64) -> Option<u64> {
        if exchanges == 0 {
            return None;
        }
        let elsewhere = exchanges.saturating_sub(self.stats.count()) as f64;
        let rank = percent / 100.0 * exchanges as f64 - elsewhere;
        if rank <= 0.0 {
            return Some(0);
        }
        self.stats.percentile_ns(100.0 * rank / self.stats.count() as f64)
    }

    /// The longest, ns.
    pub fn max_ns(&self) -> Option<u64> {
        self.stats.max_ns()
    }
}

/// Times of a span in a group's exchanges.
#[derive(Clone, Debug, Default)]
struct Entry {
    stats: Stats,
    /// Its places in the exchanges, summed up, and how many: for the order of rows.
    places: u64,
    count: u64,
}

/// All times.
#[derive(Clone, Debug, Default)]
pub struct LatencyBook {
    /// By segment, over all passages and turns.
    pub segments: PerSpan<Stats>,
    /// By group.
    pub groups: BTreeMap<(ExchangeKind, Initiator), GroupBook>,
    /// Totals of all exchanges.
    pub totals: Stats,
}

impl LatencyBook {
    /// Enters a passage.
    pub fn passage(&mut self, passage: &Passage) {
        each_span(passage, |span, from_ns, to_ns| self.segments.entry(span).record(from_ns, to_ns));
    }

    /// Enters an exchange, whose passages have been entered before.
    pub fn exchange(&mut self, exchange: &Exchange) {
        let (Some(first), Some(last)) = (exchange.stamps.first(), exchange.stamps.last()) else { return };
        self.totals.record(first.time_ns, last.time_ns);
        let group = self.groups.entry((exchange.kind, exchange.initiator)).or_default();
        group.totals.record(first.time_ns, last.time_ns);
        let mut layers = [None; LAYERS];
        for (index, (span, pair)) in spans_of(exchange).enumerate() {
            group.enter(span, index, pair);
            *layers[span.layer() as usize].get_or_insert(0) +=
                pair[1].time_ns.saturating_sub(pair[0].time_ns);
            if span.way == Way::Turn {
                self.segments.entry(span).record(pair[0].time_ns, pair[1].time_ns);
            }
        }
        for (times, time_ns) in group.layers.iter_mut().zip(layers) {
            let Some(time_ns) = time_ns else { continue };
            times.get_or_insert_default().stats.record(0, time_ns);
        }
    }
}

/// Shows the spans of a passage, each with its beginning and end, ns: of a branch what is its own, of a super-frame also
/// the ways of the frames merged into it.
pub fn each_span(passage: &Passage, mut each: impl FnMut(Span, u64, u64)) {
    let way = Way::of(passage);
    let mut step = |from: &Stamp, to: &Stamp| {
        each(Span { way, from: from.hop, to: to.hop }, from.time_ns, to.time_ns);
    };
    let own = &passage.stamps[passage.shared.saturating_sub(1)..];
    own.windows(2).for_each(|pair| step(&pair[0], &pair[1]));
    for merged in &passage.merged {
        let Some(last) = merged.last() else { continue };
        merged.windows(2).for_each(|pair| step(&pair[0], &pair[1]));
        let together = passage.stamps.iter().find(|stamp| stamp.hop.stage() > last.hop.stage());
        together.into_iter().for_each(|stamp| step(last, stamp));
    }
}

/// The spans of an exchange in order, each with the stamps at its ends.
pub fn spans_of(exchange: &Exchange) -> impl Iterator<Item = (Span, &[Stamp])> {
    let (asking, answering) = Way::of_exchange(exchange.initiator);
    exchange.stamps.windows(2).enumerate().map(move |(index, pair)| {
        let way = match (index + 1).cmp(&exchange.turn) {
            Ordering::Less => asking,
            Ordering::Equal => Way::Turn,
            Ordering::Greater => answering,
        };
        (Span { way, from: pair[0].hop, to: pair[1].hop }, pair)
    })
}

impl GroupBook {
    fn enter(&mut self, span: Span, index: usize, pair: &[Stamp]) {
        let entry = self.spans.entry(span);
        entry.stats.record(pair[0].time_ns, pair[1].time_ns);
        entry.places += index as u64;
        entry.count += 1;
    }

    /// Spans in the order of the way.
    pub fn ordered(&self) -> Vec<(Span, &Stats)> {
        let mut rows = self.spans.sorted();
        let place = |entry: &Entry| entry.places as f64 / entry.count as f64;
        rows.sort_by(|(_, left), (_, right)| place(left).total_cmp(&place(right)));
        rows.into_iter().map(|(span, entry)| (span, &entry.stats)).collect()
    }

    /// Time by layer, in the order of [`Layer`].
    pub fn layers(&self) -> impl Iterator<Item = (Layer, &LayerTimes)> {
        let times = Layer::ALL.into_iter().zip(&self.layers);
        times.filter_map(|(layer, times)| Some((layer, times.as_deref()?)))
    }
}
