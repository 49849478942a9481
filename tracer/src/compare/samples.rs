//! What a comparison needs of one recording: its report, and the times of its exchanges in blocks.
//!
//! Exchanges follow one another, and what slows one slows its neighbours: they are no independent samples. Means of
//! contiguous blocks come closer to it, the longer the blocks. A recording is cut into 16 to 31 blocks of 5, 10, 20, …
//! exchanges each: when there are 32, each two become one, so that memory does not grow with the recording.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use tracer_common::hop::Hop;

use crate::{
    analysis::{Observer, analyse_with},
    correlate::{
        Limits,
        exchange::{Exchange, ExchangeKind, Initiator},
    },
    latency::{LAYERS, Layer, Span, spans_of},
    record::{ReadError, RecordReader},
    report::Report,
};

/// Exchanges in the shortest block.
pub const SHORTEST: u64 = 5;
/// Blocks at which each two become one.
const MOST: usize = 32;

/// One recording, as far as a comparison needs it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is called in the comparison: its file's name.
    pub name: String,
    /// Its report.
    pub report: Report,
    /// By kind and initiator, as the report names them.
    pub(super) groups: BTreeMap<(String, String), GroupBlocks>,
}

impl Run {
    /// Reads a recording to its end.
    ///
    /// # Errors
    /// The recording cannot be read, or was damaged. One that was cut off is no error: the comparison says so.
    pub fn read(name: &str, reader: &mut RecordReader, limits: Limits) -> Result<Run, ReadError> {
        let header = reader.header().clone();
        let mut sampler = Sampler::default();
        let report = analyse_with(reader, limits, &mut sampler)?;
        Ok(sampler.run(name, report, |hop| header.hop_name(hop)))
    }
}

/// Way and hops of a segment, by name: hops of the user's have no other identity across recordings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SegmentKey {
    pub way: String,
    pub from: String,
    pub to: String,
}

/// The blocks of one kind and initiator.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupBlocks {
    /// Mean exchange of each block, ns.
    pub totals: Vec<f64>,
    /// Likewise by layer.
    pub layers: BTreeMap<&'static str, Vec<f64>>,
    /// Likewise by segment: its part of the mean exchange.
    pub segments: BTreeMap<SegmentKey, Vec<f64>>,
}

/// Watches an analysis and keeps what a comparison needs.
#[derive(Clone, Debug, Default)]
pub struct Sampler {
    groups: BTreeMap<(ExchangeKind, Initiator), Blocks>,
}

impl Observer for Sampler {
    fn exchange(&mut self, exchange: &Exchange) {
        self.groups.entry((exchange.kind, exchange.initiator)).or_default().enter(exchange);
    }
}

impl Sampler {
    /// What has been seen, with the report of the same analysis and the names of its hops.
    pub fn run(self, name: &str, report: Report, hop_name: impl Fn(Hop) -> String) -> Run {
        let named = |((kind, initiator), blocks): ((ExchangeKind, Initiator), Blocks)| {
            ((kind.name().to_owned(), initiator.name().to_owned()), blocks.means(&hop_name))
        };
        Run { name: name.to_owned(), report, groups: self.groups.into_iter().map(named).collect() }
    }
}

/// Times of the exchanges of one block, summed up, ns.
#[derive(Clone, Debug, Default)]
struct Block {
    count: u64,
    total: u128,
    layers: [u128; LAYERS],
    spans: FxHashMap<Span, u128>,
}

impl Block {
    fn enter(&mut self, exchange: &Exchange) {
        self.count += 1;
        self.total += u128::from(exchange.total_ns());
        for (span, pair) in spans_of(exchange) {
            let time = u128::from(pair[1].time_ns.saturating_sub(pair[0].time_ns));
            self.layers[span.layer() as usize] += time;
            *self.spans.entry(span).or_default() += time;
        }
    }

    fn absorb(&mut self, next: Block) {
        self.count += next.count;
        self.total += next.total;
        for (sum, more) in self.layers.iter_mut().zip(next.layers) {
            *sum += more;
        }
        for (span, more) in next.spans {
            *self.spans.entry(span).or_default() += more;
        }
    }
}

/// Contiguous blocks of equal length.
#[derive(Clone, Debug)]
struct Blocks {
    length: u64,
    whole: Vec<Block>,
    open: Block,
}

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks { length: SHORTEST, whole: Vec::new(), open: Block::default() }
    }
}

impl Blocks {
    fn enter(&mut self, exchange: &Exchange) {
        self.open.enter(exchange);
        if self.open.count < self.length {
            return;
        }
        self.whole.push(std::mem::take(&mut self.open));
        if self.whole.len() == MOST {
            self.whole = join(std::mem::take(&mut self.whole), 2);
            self.length *= 2;
        }
    }

    /// The mean of each whole block. The exchanges behind the last one fill none and are in no block.
    fn means(&self, hop_name: &impl Fn(Hop) -> String) -> GroupBlocks {
        let each = |sum: &dyn Fn(&Block) -> u128| -> Vec<f64> {
            self.whole.iter().map(|block| sum(block) as f64 / block.count as f64).collect()
        };
        let mut means = GroupBlocks { totals: each(&|block| block.total), ..GroupBlocks::default() };
        for layer in Layer::ALL {
            means.layers.insert(layer.name(), each(&|block| block.layers[layer as usize]));
        }
        for span in self.whole.iter().flat_map(|block| block.spans.keys()) {
            let key = SegmentKey {
                way: span.way.name().to_owned(),
                from: hop_name(span.from),
                to: hop_name(span.to),
            };
            let times = || each(&|block| block.spans.get(span).copied().unwrap_or_default());
            means.segments.entry(key).or_insert_with(times);
        }
        means
    }
}

/// Each `number` blocks as one; what is left at the end becomes none.
fn join(blocks: Vec<Block>, number: usize) -> Vec<Block> {
    let mut joined = Vec::with_capacity(blocks.len() / number);
    let mut blocks = blocks.into_iter();
    while let Some(mut first) = blocks.next() {
        blocks.by_ref().take(number - 1).for_each(|next| first.absorb(next));
        joined.push(first);
    }
    joined
}
