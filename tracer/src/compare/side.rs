//! The recordings of one condition lined up: the figures and samples of one group, whatever its units.

use super::{
    Figures, Units,
    rank::{self, Shift, median},
    samples::{GroupBlocks, Run, SegmentKey},
};
use crate::report::{Group, SegmentRow};

/// Blocks of all recordings of a side together, where the other side has a single one.
const BLOCKS: usize = 32;

/// What of an exchange is compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Total,
    Layer(&'a str),
    Segment(&'a SegmentKey),
}

/// A figure of a group's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Percentile {
    P50,
    P90,
    P99,
}

/// A group of one condition.
pub(super) struct SideGroup<'a> {
    /// Of each recording that has it.
    groups: Vec<(&'a Group, Option<&'a GroupBlocks>)>,
}

impl SegmentKey {
    pub(super) fn of(row: &SegmentRow) -> SegmentKey {
        SegmentKey { way: row.way.clone(), from: row.from.clone(), to: row.to.clone() }
    }

    fn is_of(&self, row: &SegmentRow) -> bool {
        (&self.way, &self.from, &self.to) == (&row.way, &row.from, &row.to)
    }
}

impl<'a> SideGroup<'a> {
    /// The group of this kind and initiator, of all recordings in which it has exchanges.
    pub(super) fn of(runs: &'a [Run], kind: &str, initiator: &str) -> SideGroup<'a> {
        let key = (kind.to_owned(), initiator.to_owned());
        let of_run = |run: &'a Run| {
            let groups = run.report.exchanges.groups.iter();
            let mut groups = groups.filter(|it| it.kind == kind && it.initiator == initiator && it.count > 0);
            groups.next().map(|group| (group, run.groups.get(&key)))
        };
        SideGroup { groups: runs.iter().filter_map(of_run).collect() }
    }

    /// Recordings that have it.
    pub(super) fn runs(&self) -> usize {
        self.groups.len()
    }

    /// Exchanges of all recordings.
    pub(super) fn exchanges(&self) -> u64 {
        self.reports().map(|group| group.count).sum()
    }

    pub(super) fn reports(&self) -> impl Iterator<Item = &'a Group> {
        self.groups.iter().map(|(group, _)| *group)
    }

    /// Segments in the order of the path, each once.
    pub(super) fn segments(&self) -> Vec<&'a SegmentRow> {
        let mut rows: Vec<&SegmentRow> = Vec::new();
        for row in self.reports().flat_map(|group| &group.segments) {
            if !rows.iter().any(|known| SegmentKey::of(known).is_of(row)) {
                rows.push(row);
            }
        }
        rows
    }

    pub(super) fn has_layer(&self, layer: &str) -> bool {
        self.reports().any(|group| group.layers.iter().any(|row| row.layer == layer))
    }

    /// Mean of the recordings' means.
    pub(super) fn mean(&self, subject: Subject<'_>) -> f64 {
        let means = self.run_means(subject);
        means.iter().sum::<f64>() / means.len().max(1) as f64
    }

    fn run_means(&self, subject: Subject<'_>) -> Vec<f64> {
        self.reports().map(|group| mean_of(group, subject)).collect()
    }

    /// What the tests take for independent samples.
    pub(super) fn samples(&self, subject: Subject<'_>, units: Units) -> Vec<f64> {
        if units == Units::Runs {
            return self.run_means(subject);
        }
        let each = (BLOCKS / self.groups.len().max(1)).max(1);
        let blocks = self.groups.iter().filter_map(|(_, blocks)| *blocks);
        blocks.flat_map(|blocks| thinned(&blocks_of(blocks, subject), each)).collect()
    }

    fn percentiles(&self, subject: Subject<'_>, which: Percentile) -> Vec<f64> {
        self.reports().filter_map(|group| percentile_of(group, subject, which)).map(|ns| ns as f64).collect()
    }
}

/// Means of both sides and their shift.
pub(super) fn means(
    base: &SideGroup<'_>,
    other: &SideGroup<'_>,
    subject: Subject<'_>,
    units: Units,
) -> (Figures, Option<Shift>) {
    let shift = rank::shift(&base.samples(subject, units), &other.samples(subject, units));
    (figures(Some(base.mean(subject)), Some(other.mean(subject)), shift), shift)
}

/// A percentile of both sides; its shift only where there are several runs, since a block has too few exchanges.
pub(super) fn percentiles(
    base: &SideGroup<'_>,
    other: &SideGroup<'_>,
    subject: Subject<'_>,
    which: Percentile,
    units: Units,
) -> Figures {
    let (base, other) = (base.percentiles(subject, which), other.percentiles(subject, which));
    let shift = (units == Units::Runs).then(|| rank::shift(&base, &other)).flatten();
    let middle = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        median(&values)
    };
    figures(middle(base), middle(other), shift)
}

fn figures(base_ns: Option<f64>, other_ns: Option<f64>, shift: Option<Shift>) -> Figures {
    Figures {
        base_ns,
        other_ns,
        difference_ns: base_ns.zip(other_ns).map(|(base, other)| other - base),
        shift_ns: shift.map(|it| it.estimate),
        low_ns: shift.map(|it| it.low),
        high_ns: shift.map(|it| it.high),
    }
}

/// Mean time of an exchange; what it did not pass took none.
fn mean_of(group: &Group, subject: Subject<'_>) -> f64 {
    match subject {
        Subject::Total => group.mean_ns.unwrap_or_default(),
        Subject::Layer(name) => {
            group.layers.iter().find(|row| row.layer == name).map_or(0.0, |row| row.mean_ns)
        }
        Subject::Segment(key) => {
            let row = group.segments.iter().find(|row| key.is_of(row));
            row.map_or(0.0, |row| row.mean_ns.unwrap_or_default() * row.count as f64 / group.count as f64)
        }
    }
}

fn percentile_of(group: &Group, subject: Subject<'_>, which: Percentile) -> Option<u64> {
    let choose = |p50, p90, p99| match which {
        Percentile::P50 => p50,
        Percentile::P90 => p90,
        Percentile::P99 => p99,
    };
    match subject {
        Subject::Total => choose(group.p50_ns, group.p90_ns, group.p99_ns),
        Subject::Layer(name) => match group.layers.iter().find(|row| row.layer == name) {
            Some(row) => choose(row.p50_ns, row.p90_ns, row.p99_ns),
            // No exchange passed it.
            None => Some(0),
        },
        Subject::Segment(key) => {
            let row = group.segments.iter().find(|row| key.is_of(row))?;
            choose(row.p50_ns, row.p90_ns, row.p99_ns)
        }
    }
}

/// The blocks' means; what no exchange of any block passed took none.
fn blocks_of(blocks: &GroupBlocks, subject: Subject<'_>) -> Vec<f64> {
    let found = match subject {
        Subject::Total => Some(&blocks.totals),
        Subject::Layer(name) => blocks.layers.get(name),
        Subject::Segment(key) => blocks.segments.get(key),
    };
    found.cloned().unwrap_or_else(|| vec![0.0; blocks.totals.len()])
}

/// At most so many means: neighbours as one where there are more. Blocks are of equal length.
fn thinned(means: &[f64], most: usize) -> Vec<f64> {
    let together = means.len().div_ceil(most).max(1);
    means.chunks_exact(together).map(|part| part.iter().sum::<f64>() / together as f64).collect()
}
