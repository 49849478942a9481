//! Two conditions compared, each by one recording or by several: how long exchanges take in each layer and segment,
//! by how much that has shifted, and whether the shift is more than chance and more than a trifle.
//!
//! `samples` keeps what is needed of a recording, `side` lines up the recordings of a condition, `rank` is the
//! arithmetic of ranks, `judge` decides what is found, `doubts` what the measurement itself casts doubt on, `limit`
//! holds a comparison against bounds of the user's. What comes out is the plain data below: what `export` writes and
//! what `--format json` shows (schema `vmhop.diff/1`, docs/diff.md). All times are ns.
//!
//! Not in here: reading files, and how it all looks.

pub mod cells;
mod doubts;
pub(crate) mod judge;
pub mod limit;
mod lines;
pub mod rank;
mod samples;
mod side;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::{
    judge::Verdict,
    limit::{Limit, LimitRow, Threshold},
    lines::compare,
    samples::{Run, SHORTEST, Sampler},
};
use crate::report::WarningRow;

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "vmhop.diff/1";

/// What to compare by.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the conditions are called; empty: `BASE` and `OTHER`.
    pub names: [String; 2],
    /// Shifts up to here are not called found: a time, or a share of the mean exchange of the side where it is longer.
    /// By default 5 % of it where runs are compared, 15 % where blocks are.
    pub ignore_below: Option<Threshold>,
}

/// Two conditions compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// What it is compared with.
    pub base: SideRow,
    /// What is compared.
    pub other: SideRow,
    /// What the tests take for independent samples.
    pub units: Units,
    /// Shifts up to here are not called found.
    pub ignore_below: Threshold,
    /// What to know before drawing conclusions; the gravest first.
    pub warnings: Vec<WarningRow>,
    /// Groups of exchanges that both sides have.
    pub groups: Vec<GroupDiff>,
    /// Groups that only one side has.
    pub one_sided: Vec<OneSided>,
    /// Bounds that it was held against.
    pub limits: Vec<LimitRow>,
}

impl Comparison {
    /// Whether a bound is exceeded, or could not be checked.
    pub fn exceeds(&self) -> bool {
        self.limits.iter().any(LimitRow::fails)
    }
}

/// What a test takes for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Units {
    /// Each recording, by its mean: both sides have several.
    Runs,
    /// Contiguous blocks of exchanges, by their means: one side has a single recording.
    Blocks,
}

impl Units {
    /// The word for one.
    pub const fn name(self) -> &'static str {
        match self {
            Units::Runs => "run",
            Units::Blocks => "block",
        }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideRow {
    /// What it is called.
    pub name: String,
    /// Its recordings, in the order given.
    pub runs: Vec<RunRow>,
}

/// One recording of a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// What it is called.
    pub name: String,
    /// Wall clock at its start, RFC 3339.
    pub started: String,
    /// The machine's name.
    pub host: String,
    /// Its kernel's release.
    pub kernel: String,
    /// Exchanges, over all groups.
    pub exchanges: u64,
}

/// The exchanges of one kind and one initiator, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupDiff {
    /// `echo`, `tcp`, `udp`.
    pub kind: String,
    /// `guest`, `peer`, …: who sent the question.
    pub initiator: String,
    /// Exchanges of BASE and of OTHER.
    pub exchanges: [u64; 2],
    /// Units of BASE and of OTHER that are tested: runs or blocks.
    pub units: [usize; 2],
    /// Confidence of the intervals, 0 to 1: below 0.95 where there are too few units for that.
    pub confidence: f64,
    /// The smallest p that so many units can have.
    pub smallest_p: f64,
    /// Shifts up to here are not called found, ns.
    pub margin_ns: f64,
    /// The whole exchange.
    pub total: Row,
    /// Its layers; their means add up to the whole's, and so do the differences.
    pub layers: Vec<Row>,
    /// What no layer was charged with: part of the mean difference, ns.
    pub residual_ns: f64,
    /// Segments that both sides have, in the order of the path.
    pub segments: Vec<SegmentDiff>,
    /// Segments that only one side has: another hook, another path, or a hop that was missed.
    pub one_sided: Vec<OneSidedSegment>,
}

impl GroupDiff {
    /// As in `echo, asked by peer`.
    pub fn title(&self) -> String {
        format!("{}, asked by {}", self.kind, self.initiator)
    }
}

/// A whole, a layer or a segment, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `total`, or the layer's or segment's name.
    pub name: String,
    /// Mean time of an exchange in it. Of several runs the mean of their means.
    pub mean: Figures,
    /// Median; of several runs the median of theirs, as with the following.
    pub p50: Figures,
    /// 90th percentile.
    pub p90: Figures,
    /// 99th percentile.
    pub p99: Figures,
    /// Mann–Whitney p of the shift of means.
    pub p: Option<f64>,
    /// The same adjusted for the number of rows tested together (Holm); absent where it is not tested.
    pub adjusted_p: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// Why to doubt it: losses and the like at its hops.
    pub doubts: Vec<String>,
}

/// One figure of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// BASE's.
    pub base_ns: Option<f64>,
    /// OTHER's.
    pub other_ns: Option<f64>,
    /// OTHER's less BASE's.
    pub difference_ns: Option<f64>,
    /// Hodges–Lehmann shift over the units; absent where there are no units for it.
    pub shift_ns: Option<f64>,
    /// Lower end of its interval.
    pub low_ns: Option<f64>,
    /// Upper end of its interval.
    pub high_ns: Option<f64>,
}

/// A segment, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentDiff {
    /// `transmit`, `receive`, `between` guests, or `turn`.
    pub way: String,
    /// Earlier hop.
    pub from: String,
    /// Later hop.
    pub to: String,
    /// What it is charged to.
    pub layer: String,
    /// Its figures: the means are its part of the mean exchange, the percentiles those of its own times.
    pub row: Row,
}

/// A group that only one side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneSided {
    /// Its kind.
    pub kind: String,
    /// Who asked.
    pub initiator: String,
    /// The side that has it.
    pub side: String,
    /// How many exchanges.
    pub exchanges: u64,
}

/// A segment that only one side has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneSidedSegment {
    /// Which way.
    pub way: String,
    /// Earlier hop.
    pub from: String,
    /// Later hop.
    pub to: String,
    /// What it is charged to.
    pub layer: String,
    /// The side that has it.
    pub side: String,
    /// Its part of that side's mean exchange, ns.
    pub mean_ns: f64,
}
