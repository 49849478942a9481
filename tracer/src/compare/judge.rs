//! What is found: more than chance, and more than a trifle.
//!
//! **More than chance.** Layers of a group are tested together, so that each p is adjusted for their number
//! (S. Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6, 1979).
//! Segments are tested only inside layers that were found, and together: a layer in which nothing is found cannot
//! have its segments cost the others their power. The whole exchange is a question of its own.
//!
//! **More than a trifle.** With enough exchanges any two recordings differ by something: a daemon woke, a CPU was
//! warmer. A shift is found only if its whole interval lies beyond a margin, a share of the mean exchange: of the
//! side where it is longer, so that it does not matter which side is called BASE. Runs carry their own spread from run to
//! run. Blocks of one recording know nothing of it, so their margin is three times as wide: with it, none of 132 pairs
//! of single recordings of one condition on a noisy host of two CPUs differed; with two times, 4 did (docs/diff.md). A
//! row that is a small part of the exchange has a quarter of its own mean instead, but no less than runs have.

use serde::{Deserialize, Serialize};

use super::{
    Row, Threshold, Units,
    rank::{CONFIDENCE, smallest_p},
};

/// Share of the mean exchange, of the side where it is longer, that is a trifle where runs are compared.
pub const OF_RUNS: f64 = 0.05;
/// The same where blocks of single recordings are compared.
pub const OF_BLOCKS: f64 = 0.15;
/// The same of a row's own mean, where blocks are compared: what lasts as long as a recording slows a layer by a share of
/// it, so that a layer that is a small part of the exchange needs no margin as wide as the whole one's.
pub const OF_ROW: f64 = 0.25;
/// Adjusted p below which a shift is more than chance.
pub const LEVEL: f64 = 0.05;

/// What follows from a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There is a shift beyond the margin.
    Found,
    /// There may be a shift, but none beyond the margin was shown.
    Negligible,
    /// No shift was shown.
    NotFound,
    /// So few units could not show a shift of any size.
    TooFew,
    /// A segment of a layer that was not found.
    NotTested,
}

impl Verdict {
    /// In a word or two.
    pub const fn words(self) -> &'static str {
        match self {
            Verdict::Found => "found",
            Verdict::Negligible => "negligible",
            Verdict::NotFound => "none found",
            Verdict::TooFew => "too few",
            Verdict::NotTested => "not tested",
        }
    }
}

/// What the tests of a group have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bench {
    /// Units on each side.
    pub units: [usize; 2],
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Half the region of what is a trifle, ns.
    pub margin_ns: f64,
    /// Whether that is the default of blocks, which is narrower for small rows.
    pub by_row: bool,
}

impl Bench {
    /// The smallest p there can be.
    pub(super) fn smallest_p(&self) -> f64 {
        smallest_p(self.units[0], self.units[1])
    }

    /// Whether so many rows together can be found at all, one of them at least.
    pub(super) fn can_find(&self, rows: usize) -> bool {
        self.smallest_p() * (rows as f64) < LEVEL && self.confidence >= CONFIDENCE
    }

    /// Half the region of what is a trifle in a row, ns.
    fn margin_of(&self, row: &Row) -> f64 {
        if !self.by_row {
            return self.margin_ns;
        }
        let own = row.mean.base_ns.unwrap_or_default().max(row.mean.other_ns.unwrap_or_default());
        (self.margin_ns * OF_RUNS / OF_BLOCKS).max(own * OF_ROW).min(self.margin_ns)
    }

    /// Tests rows together.
    pub(super) fn judge(&self, rows: &mut [&mut Row]) {
        let values: Vec<f64> = rows.iter().map(|row| row.p.unwrap_or(1.0)).collect();
        let can_find = self.can_find(rows.len());
        for (row, adjusted) in rows.iter_mut().zip(holm(&values)) {
            row.adjusted_p = row.p.map(|_| adjusted);
            let margin_ns = self.margin_of(row);
            row.verdict = match (row.mean.low_ns, row.mean.high_ns) {
                _ if !can_find => Verdict::TooFew,
                _ if adjusted >= LEVEL => Verdict::NotFound,
                (Some(low), Some(high)) if low > margin_ns || high < -margin_ns => Verdict::Found,
                _ => Verdict::Negligible,
            };
        }
    }
}

/// The margin where the user names none.
pub(super) fn default_margin(units: Units) -> Threshold {
    Threshold::Share(match units {
        Units::Runs => OF_RUNS,
        Units::Blocks => OF_BLOCKS,
    })
}

/// Whether a margin is the default of blocks.
pub(super) fn is_by_row(units: Units, margin: Threshold) -> bool {
    units == Units::Blocks && margin == default_margin(units)
}

/// How many units a side must have so that one of so many rows can be found.
pub(super) fn needed(rows: usize) -> usize {
    let enough = |units: usize| smallest_p(units, units) * (rows.max(1) as f64) < LEVEL;
    (2..).find(|units| enough(*units)).unwrap_or(usize::MAX)
}

/// Each p adjusted for their number.
fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut adjusted = vec![1.0; values.len()];
    let mut least: f64 = 0.0;
    for (before, &at) in order.iter().enumerate() {
        least = least.max(values[at] * (values.len() - before) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_p_is_held_against_all_the_next_against_one_less() {
        // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R.
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    #[test]
    fn more_rows_need_more_units() {
        // 2 / C(8,4) = 0.029, 2 / C(10,5) = 0.0079, 2 / C(12,6) = 0.00216.
        assert_eq!([1, 2, 6, 7, 23, 24].map(needed), [4, 5, 5, 6, 6, 7]);
    }
}
