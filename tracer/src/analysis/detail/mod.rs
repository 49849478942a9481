//! What a picture of the exchanges needs beyond the report: when they were how slow, whole distributions, and a few
//! exchanges hop by hop. Memory is bounded whatever the recording's length: a heat map of fixed size, histograms, and
//! a fixed number of exchanges for each group.

mod chosen;
mod heat;

use std::collections::BTreeMap;

use tracer_common::hop::Hop;

pub use self::{
    chosen::{Chosen, SAMPLE, SLOWEST},
    heat::{COLUMNS, HeatMap, ROWS_PER_DECADE},
};
use super::Observer;
use crate::{
    correlate::{
        Stamp,
        exchange::{Exchange, ExchangeKind, Initiator},
    },
    decode::Event,
    latency::{GroupBook, LatencyBook, Layer, Span, Way, spans_of},
    recording::Header,
};

/// Observes an analysis, and keeps what pictures need, by group.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Names of the user's hops, by number.
    user_hops: Vec<String>,
    /// The first event so far, ns.
    first_ns: Option<u64>,
    /// The same books that the report is made of, for the same figures.
    latency: LatencyBook,
    groups: BTreeMap<(ExchangeKind, Initiator), Kept>,
}

/// What is kept of a group.
#[derive(Clone, Debug, Default)]
struct Kept {
    heat: HeatMap,
    chosen: Chosen,
}

/// A group's details.
#[derive(Clone, Debug)]
pub struct Detail<'a> {
    /// Exchanges by their time in the recording and their total.
    pub heat: &'a HeatMap,
    /// Distributions: of the totals, and of the time in each layer.
    pub book: &'a GroupBook,
    /// The exchange of the sample whose total is nearest to the median.
    pub near_median: Option<OneExchange>,
    /// The slowest exchanges, the slowest first.
    pub slowest: Vec<OneExchange>,
    /// Exchanges in the sample that `near_median` was taken from.
    pub sampled: usize,
}

/// One exchange, hop by hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneExchange {
    /// When it began, ns since the recording's first event.
    pub at_ns: u64,
    /// From first to last hop, ns.
    pub total_ns: u64,
    /// Its segments in order.
    pub segments: Vec<Piece>,
}

/// A segment of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which way the frame went.
    pub way: Way,
    /// Earlier hop.
    pub from: String,
    /// Later hop.
    pub to: String,
    /// What it is charged to.
    pub layer: Layer,
    /// Since the exchange's first hop, ns.
    pub start_ns: u64,
    /// How long, ns; 0 where the later hop was stamped before the earlier one.
    pub length_ns: u64,
}

impl Details {
    /// Nothing seen yet of a recording with this header.
    pub fn new(header: &Header) -> Details {
        Details { user_hops: header.user_hops.clone(), ..Details::default() }
    }

    /// Details of the group of this kind and initiator, by their names in the report.
    pub fn of(&self, kind: &str, initiator: &str) -> Option<Detail<'_>> {
        let named =
            |(known, who): &&(ExchangeKind, Initiator)| known.name() == kind && who.name() == initiator;
        let key = self.groups.keys().find(named)?;
        let (kept, book) = (self.groups.get(key)?, self.latency.groups.get(key)?);
        let median = book.totals.percentile_ns(50.0)?;
        Some(Detail {
            heat: &kept.heat,
            book,
            near_median: kept.chosen.nearest(median).map(|exchange| self.whole(exchange)),
            slowest: kept.chosen.slowest().into_iter().map(|exchange| self.whole(exchange)).collect(),
            sampled: kept.chosen.sampled(),
        })
    }

    /// An exchange with the names of its hops, in times of its own.
    fn whole(&self, exchange: &Exchange) -> OneExchange {
        let start_ns = exchange.stamps.first().map_or(0, |stamp| stamp.time_ns);
        let hop_name = |hop: Hop| {
            let user = hop.user_number().and_then(|number| self.user_hops.get(number));
            user.map_or_else(|| hop.name().to_owned(), Clone::clone)
        };
        let piece = |(span, pair): (Span, &[Stamp])| Piece {
            way: span.way,
            from: hop_name(span.from),
            to: hop_name(span.to),
            layer: span.layer(),
            start_ns: pair[0].time_ns.saturating_sub(start_ns),
            length_ns: pair[1].time_ns.saturating_sub(pair[0].time_ns),
        };
        OneExchange {
            at_ns: start_ns.saturating_sub(self.first_ns.unwrap_or(start_ns)),
            total_ns: exchange.total_ns(),
            segments: spans_of(exchange).map(piece).collect(),
        }
    }
}

impl Observer for Details {
    fn event(&mut self, event: &Event) {
        let first = self.first_ns.get_or_insert(event.time_ns);
        *first = event.time_ns.min(*first);
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.latency.exchange(exchange);
        let Some(start) = exchange.stamps.first() else { return };
        let at_ns = start.time_ns.saturating_sub(self.first_ns.unwrap_or(start.time_ns));
        let kept = self.groups.entry((exchange.kind, exchange.initiator)).or_default();
        kept.heat.record(at_ns, exchange.total_ns());
        kept.chosen.offer(exchange);
    }
}
