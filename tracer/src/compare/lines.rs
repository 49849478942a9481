//! Lays a comparison out: groups, their layers and segments, and the warnings of the whole.

use std::collections::BTreeSet;

use super::{
    Comparison, GroupDiff, OneSided, OneSidedSegment, Options, Row, RunRow, SCHEMA, SegmentDiff, SideRow,
    Units, Verdict,
    doubts::{self, Doubts, Named},
    judge::{Bench, default_margin, is_by_row, needed},
    samples::{Run, SHORTEST, SegmentKey},
    side::{self, Percentile, SideGroup, Subject},
};
use crate::{
    export::numbers::counted,
    latency::Layer,
    report::{SegmentRow, WarningRow},
};

/// Compares `other` with `base`.
pub fn compare(base: &[Run], other: &[Run], options: &Options) -> Comparison {
    let name = |at: usize, default: &'static str| match &*options.names[at] {
        "" => default.to_owned(),
        given => given.to_owned(),
    };
    let names = [name(0, "BASE"), name(1, "OTHER")];
    let units = if base.len().min(other.len()) >= 2 { Units::Runs } else { Units::Blocks };
    let both = Both {
        base: Named { name: &names[0], runs: base },
        other: Named { name: &names[1], runs: other },
        units,
        margin: options.ignore_below.unwrap_or_else(|| default_margin(units)),
    };
    let doubts = Doubts::of(both.base, both.other);
    let (groups, one_sided) = both.groups(&doubts);
    Comparison {
        schema: SCHEMA.to_owned(),
        warnings: both.warnings(&groups, &one_sided, &doubts),
        base: side_row(both.base),
        other: side_row(both.other),
        units,
        ignore_below: both.margin,
        groups,
        one_sided,
        limits: Vec::new(),
    }
}

fn side_row(side: Named<'_>) -> SideRow {
    let row = |run: &Run| RunRow {
        name: run.name.clone(),
        started: run.report.recording.started.clone(),
        host: run.report.host.name.clone(),
        kernel: run.report.host.kernel.clone(),
        exchanges: run.report.exchanges.count,
    };
    SideRow { name: side.name.to_owned(), runs: side.runs.iter().map(row).collect() }
}

/// Both conditions.
struct Both<'a> {
    base: Named<'a>,
    other: Named<'a>,
    units: Units,
    margin: super::Threshold,
}

/// One group of both conditions.
struct Pair<'a> {
    base: SideGroup<'a>,
    other: SideGroup<'a>,
    names: [&'a str; 2],
    units: Units,
}

impl<'a> Both<'a> {
    fn groups(&self, doubts: &Doubts) -> (Vec<GroupDiff>, Vec<OneSided>) {
        let of_runs = |runs: &'a [Run]| {
            let groups = runs.iter().flat_map(|run| &run.report.exchanges.groups);
            groups.filter(|group| group.count > 0).map(|group| (&*group.kind, &*group.initiator))
        };
        let keys: BTreeSet<(&str, &str)> = of_runs(self.base.runs).chain(of_runs(self.other.runs)).collect();
        let (mut groups, mut one_sided) = (Vec::new(), Vec::new());
        for (kind, initiator) in keys {
            let pair = Pair {
                base: SideGroup::of(self.base.runs, kind, initiator),
                other: SideGroup::of(self.other.runs, kind, initiator),
                names: [self.base.name, self.other.name],
                units: self.units,
            };
            let only = |side: &str, exchanges: u64| OneSided {
                kind: kind.to_owned(),
                initiator: initiator.to_owned(),
                side: side.to_owned(),
                exchanges,
            };
            match (pair.base.runs(), pair.other.runs()) {
                (_, 0) => one_sided.push(only(self.base.name, pair.base.exchanges())),
                (0, _) => one_sided.push(only(self.other.name, pair.other.exchanges())),
                _ => groups.push(pair.compare(kind, initiator, self.margin, doubts)),
            }
        }
        (groups, one_sided)
    }

    fn warnings(&self, groups: &[GroupDiff], one_sided: &[OneSided], doubts: &Doubts) -> Vec<WarningRow> {
        let mut found: Vec<String> = Vec::new();
        if groups.is_empty() {
            found.push("nothing to compare: there is no kind of exchange that both sides have".to_owned());
        }
        if self.units == Units::Blocks {
            found.push(single_runs(self.base, self.other));
        }
        found.extend(groups.iter().filter_map(|group| self.too_few(group)));
        for group in groups {
            let unlike = group.total.doubts.iter().filter(|doubt| !doubts.of_total().contains(doubt));
            found.extend(unlike.map(|doubt| format!("{}: {doubt}", group.title())));
        }
        found.extend(one_sided.iter().map(|group| {
            let exchanges = counted(group.exchanges, "exchange");
            format!("{}, asked by {}: {exchanges}, and only in {}", group.kind, group.initiator, group.side)
        }));
        let mut warnings: Vec<WarningRow> =
            found.into_iter().map(|text| WarningRow { grave: true, text }).collect();
        warnings.extend(doubts.warnings());
        warnings
    }

    /// Why nothing could be found in a group, whatever its figures are.
    fn too_few(&self, group: &GroupDiff) -> Option<String> {
        let rows = group.layers.len();
        if group.layers.iter().all(|row| row.verdict != Verdict::TooFew) {
            return None;
        }
        let needed = needed(rows) as u64;
        let [base, other] = group.units.map(|units| units as u64);
        let unit = self.units.name();
        let remedy = match self.units {
            Units::Runs => format!("record at least {needed} runs of each condition"),
            Units::Blocks => format!(
                "record several runs, or at least {} exchanges in one: a {unit} has {SHORTEST}",
                needed * SHORTEST
            ),
        };
        Some(format!(
            "{}: {} against {} are too few for any claim on {}: the smallest p they can have is {:.2}; {remedy}",
            group.title(),
            counted(base, unit),
            other,
            counted(rows as u64, "layer"),
            group.smallest_p,
        ))
    }
}

/// What single recordings cannot tell.
fn single_runs(base: Named<'_>, other: Named<'_>) -> String {
    let same = |(left, right): (&Run, &Run)| {
        let (left, right) = (&left.report.recording, &right.report.recording);
        (&left.started, left.events, left.duration_ns) == (&right.started, right.events, right.duration_ns)
    };
    if base.runs.iter().zip(other.runs).any(same) {
        return "both sides are the same recording".to_owned();
    }
    let single = if base.runs.len() == 1 && other.runs.len() == 1 { "each side is" } else { "one side is" };
    format!(
        "{single} a single recording: whatever varies from run to run is not known, and any shift may be that; \
         blocks of exchanges are tested in place of runs; record several runs of each condition"
    )
}

impl Pair<'_> {
    fn compare(&self, kind: &str, initiator: &str, margin: super::Threshold, doubts: &Doubts) -> GroupDiff {
        let answers = doubts::of_answers((self.names[0], &self.base), (self.names[1], &self.other));
        let doubted = |mut found: Vec<String>| {
            found.extend(answers.iter().cloned());
            found
        };
        let (mut total, confidence) = self.row("total", Subject::Total);
        let longer_ns = total.mean.base_ns.unwrap_or_default().max(total.mean.other_ns.unwrap_or_default());
        let margin_ns = margin.of(longer_ns);
        let units = [&self.base, &self.other].map(|side| side.samples(Subject::Total, self.units).len());
        let bench = Bench { units, confidence, margin_ns, by_row: is_by_row(self.units, margin) };
        let (mut segments, one_sided) = self.segments(doubts);
        let mut layers = self.layers();
        for layer in &mut layers {
            let own =
                segments.iter().filter(|segment| segment.layer == layer.name).map(|segment| &segment.row);
            let alone = one_sided.iter().filter(|segment| segment.layer == layer.name);
            layer.doubts = doubted(doubts::of_layer(own, alone, doubts));
        }
        total.doubts = doubted(doubts.of_total());
        segments.iter_mut().for_each(|segment| segment.row.doubts.extend(answers.iter().cloned()));
        bench.judge(&mut [&mut total]);
        bench.judge(&mut layers.iter_mut().collect::<Vec<_>>());
        judge_inside(&bench, &layers, &mut segments);
        let residual = layers.iter().find(|row| row.name == Layer::Unattributed.name());
        GroupDiff {
            kind: kind.to_owned(),
            initiator: initiator.to_owned(),
            exchanges: [self.base.exchanges(), self.other.exchanges()],
            units,
            confidence,
            smallest_p: bench.smallest_p(),
            margin_ns,
            residual_ns: residual.and_then(|row| row.mean.difference_ns).unwrap_or_default(),
            total,
            layers,
            segments,
            one_sided,
        }
    }

    /// A row without a verdict, and the confidence of its interval.
    fn row(&self, name: &str, subject: Subject<'_>) -> (Row, f64) {
        let (mean, shift) = side::means(&self.base, &self.other, subject, self.units);
        let percentile = |which| side::percentiles(&self.base, &self.other, subject, which, self.units);
        let row = Row {
            name: name.to_owned(),
            mean,
            p50: percentile(Percentile::P50),
            p90: percentile(Percentile::P90),
            p99: percentile(Percentile::P99),
            p: shift.map(|shift| shift.p),
            adjusted_p: None,
            verdict: Verdict::NotTested,
            doubts: Vec::new(),
        };
        (row, shift.map_or(0.0, |shift| shift.confidence))
    }

    /// Layers that at least one side has; on the other side an exchange had no time in it.
    fn layers(&self) -> Vec<Row> {
        let names = Layer::ALL.iter().map(|layer| layer.name());
        let names = names.filter(|layer| self.base.has_layer(layer) || self.other.has_layer(layer));
        names.map(|layer| self.row(layer, Subject::Layer(layer)).0).collect()
    }

    fn segments(&self, doubts: &Doubts) -> (Vec<SegmentDiff>, Vec<OneSidedSegment>) {
        let (of_base, of_other) = (self.base.segments(), self.other.segments());
        let (mut both, mut alone) = (Vec::new(), Vec::new());
        for row in &of_base {
            let key = SegmentKey::of(row);
            match of_other.iter().any(|other| SegmentKey::of(other) == key) {
                true => both.push(self.segment(row, &key, doubts)),
                false => alone.push(one_sided(row, self.names[0], self.base.mean(Subject::Segment(&key)))),
            }
        }
        let news = of_other.iter().filter(|row| {
            let key = SegmentKey::of(row);
            !of_base.iter().any(|base| SegmentKey::of(base) == key)
        });
        alone.extend(news.map(|row| {
            one_sided(row, self.names[1], self.other.mean(Subject::Segment(&SegmentKey::of(row))))
        }));
        (both, alone)
    }

    fn segment(&self, row: &SegmentRow, key: &SegmentKey, doubts: &Doubts) -> SegmentDiff {
        let mut compared = self.row(&format!("{} → {}", row.from, row.to), Subject::Segment(key)).0;
        compared.doubts = doubts.of_segment(&row.from, &row.to);
        for (side, name) in [&self.base, &self.other].into_iter().zip(self.names) {
            let same = |it: &&SegmentRow| SegmentKey::of(it) == *key;
            let rows = side.reports().flat_map(|group| &group.segments).filter(same);
            compared.doubts.extend(rows.filter_map(|row| doubts::of_negative(name, row)));
        }
        SegmentDiff {
            way: row.way.clone(),
            from: row.from.clone(),
            to: row.to.clone(),
            layer: row.layer.clone(),
            row: compared,
        }
    }
}

fn one_sided(row: &SegmentRow, side: &str, mean_ns: f64) -> OneSidedSegment {
    OneSidedSegment {
        way: row.way.clone(),
        from: row.from.clone(),
        to: row.to.clone(),
        layer: row.layer.clone(),
        side: side.to_owned(),
        mean_ns,
    }
}

/// Tests the segments of the layers that were found, together.
fn judge_inside(bench: &Bench, layers: &[Row], segments: &mut [SegmentDiff]) {
    let found = |name: &str| layers.iter().any(|row| row.name == name && row.verdict == Verdict::Found);
    let inside = segments.iter_mut().filter(|segment| found(&segment.layer));
    bench.judge(&mut inside.map(|segment| &mut segment.row).collect::<Vec<_>>());
}
