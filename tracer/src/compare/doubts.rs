//! What the measurement itself casts doubt on: events that were lost, frames that a hop did not see, recordings that
//! ended early, sides that were not measured alike. None of it can be turned off. Each is a warning of the whole
//! comparison; what touches certain hops is also marked in the rows that these hops bound.

use std::collections::{BTreeMap, BTreeSet};

use super::{OneSidedSegment, Row, samples::Run, side::SideGroup};
use crate::{
    export::numbers::{count, counted, percent, ratio},
    report::{HopRow, Report, SegmentRow, WarningRow},
};

/// Share of a hop's events that may be lost.
const LOST: f64 = 0.001;
/// Share of what passed a hop that it must have seen.
const COVERAGE: f64 = 0.99;
/// By how much the shares seen may differ between the sides.
const COVERAGE_APART: f64 = 0.005;
/// Share of events, frames or questions that may be ambiguous, unanswered, late or given up.
const DOUBTFUL: f64 = 0.01;
/// By how much the shares of unanswered questions may differ between the sides.
const ANSWERS_APART: f64 = 0.005;

/// A condition with its name.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub runs: &'a [Run],
}

/// What is doubtful.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts {
    /// By hop.
    hops: BTreeMap<String, Vec<String>>,
    /// What touches every row.
    all: Vec<String>,
    /// What differs between the sides besides.
    apart: Vec<String>,
}

impl Doubts {
    /// Looks for what is doubtful on both sides.
    pub(super) fn of(base: Named<'_>, other: Named<'_>) -> Doubts {
        let mut doubts = Doubts::default();
        for side in [base, other] {
            side.runs.iter().for_each(|run| doubts.of_run(side.name, run));
        }
        let hops: BTreeSet<&str> =
            [base, other].iter().flat_map(|side| side.runs).flat_map(hops_of).map(|row| &*row.hop).collect();
        for hop in hops {
            let sides = [base, other].map(|side| (side.name, HopSums::of(side.runs, hop)));
            let found = of_hop(hop, &sides);
            if !found.is_empty() {
                doubts.hops.insert(hop.to_owned(), found);
            }
        }
        doubts.apart = apart(base, other);
        doubts
    }

    fn of_run(&mut self, side: &str, run: &Run) {
        let Report { recording, losses, cost, passages, .. } = &run.report;
        let mut add = |what: String| self.all.push(format!("{side}: recording {}: {what}", run.name));
        if recording.failed {
            add(format!("it failed: {}", recording.ended.as_deref().unwrap_or("not said why")));
        } else if !recording.complete {
            add("it was cut off before its end".to_owned());
        }
        let shares = [
            (losses.undecoded, recording.events, "records that could not be read"),
            (losses.late, recording.events, "events that came too late to be put in order"),
            (losses.evicted, passages.count, "frames given up for want of room"),
            (
                losses.skipped.iter().map(|program| program.count).sum(),
                cost.programs.iter().map(|program| program.runs).sum(),
                "runs of programs that the kernel skipped",
            ),
        ];
        for (part, whole, what) in shares {
            if part > 0 && ratio(part, whole.max(part)) > LOST {
                add(format!("{} {what}, {}", count(part), percent(ratio(part, whole.max(part)))));
            }
        }
    }

    /// The warnings of the whole comparison.
    pub(super) fn warnings(&self) -> Vec<WarningRow> {
        let hops = self.hops.values().flatten();
        let grave = |text: &String| WarningRow { grave: true, text: text.clone() };
        self.all.iter().chain(hops).chain(&self.apart).map(grave).collect()
    }

    /// What touches the segment between two hops.
    pub(super) fn of_segment(&self, from: &str, to: &str) -> Vec<String> {
        let hops = [from, to].into_iter().filter_map(|hop| self.hops.get(hop)).flatten();
        self.all.iter().chain(hops).cloned().collect()
    }

    /// What touches everything.
    pub(super) fn of_total(&self) -> Vec<String> {
        self.all.clone()
    }
}

/// What touches a group as a whole: the answers that are missing may be the slow ones.
pub(super) fn of_answers(base: (&str, &SideGroup<'_>), other: (&str, &SideGroup<'_>)) -> Vec<String> {
    let shares = [base, other].map(|(_, group)| {
        let asked: u64 = group.reports().map(|it| it.count + it.unanswered + it.ambiguous).sum();
        let unanswered: u64 = group.reports().map(|it| it.unanswered).sum();
        let ambiguous: u64 = group.reports().map(|it| it.ambiguous).sum();
        [ratio(unanswered, asked), ratio(ambiguous, asked)]
    });
    let mut found = Vec::new();
    for (at, what) in ["no answer", "more than one possible answer"].into_iter().enumerate() {
        let [base_share, other_share] = [shares[0][at], shares[1][at]];
        if base_share.max(other_share) > DOUBTFUL || (base_share - other_share).abs() > ANSWERS_APART {
            found.push(format!(
                "questions with {what} are left out: {} of {}, {} of {}",
                percent(base_share),
                base.0,
                percent(other_share),
                other.0
            ));
        }
    }
    found
}

/// Times below zero in the segments of one side's group.
pub(super) fn of_negative(side: &str, row: &SegmentRow) -> Option<String> {
    (row.negative > 0)
        .then(|| format!("{} → {}: {} below zero in {side}", row.from, row.to, counted(row.negative, "time")))
}

/// A layer is as doubtful as its segments.
pub(super) fn of_layer<'a>(
    segments: impl Iterator<Item = &'a Row>,
    one_sided: impl Iterator<Item = &'a OneSidedSegment>,
    doubts: &Doubts,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let of_one_sided = one_sided.flat_map(|segment| doubts.of_segment(&segment.from, &segment.to));
    for doubt in segments.flat_map(|row| row.doubts.iter().cloned()).chain(of_one_sided) {
        if !found.contains(&doubt) {
            found.push(doubt);
        }
    }
    found
}

fn hops_of(run: &Run) -> &[HopRow] {
    &run.report.hops
}

/// A hop's counts over the recordings of a side.
#[derive(Clone, Debug, Default)]
struct HopSums {
    seen: u64,
    lost: u64,
    ambiguous: u64,
    expected: u64,
    found: f64,
    hooks: BTreeSet<String>,
}

impl HopSums {
    fn of(runs: &[Run], hop: &str) -> HopSums {
        let mut sums = HopSums::default();
        for row in runs.iter().flat_map(hops_of).filter(|row| row.hop == hop) {
            sums.seen += row.seen;
            sums.lost += row.lost;
            sums.ambiguous += row.ambiguous;
            sums.expected += row.expected;
            sums.found += row.coverage.unwrap_or(1.0) * row.expected as f64;
            // Where nothing was seen the hook has measured nothing.
            if row.seen > 0 {
                sums.hooks.insert(row.hook.clone());
            }
        }
        sums
    }

    fn coverage(&self) -> Option<f64> {
        (self.expected > 0).then(|| self.found / self.expected as f64)
    }

    fn hooks(&self) -> String {
        self.hooks.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
    }
}

/// What is doubtful of a hop, by the counts of both sides.
fn of_hop(hop: &str, sides: &[(&str, HopSums); 2]) -> Vec<String> {
    let mut found = Vec::new();
    for (side, sums) in sides {
        let lost = ratio(sums.lost, sums.seen + sums.lost);
        if lost > LOST {
            found.push(format!("{hop}: {} of its events were lost in {side}", percent(lost)));
        }
        let ambiguous = ratio(sums.ambiguous, sums.seen);
        if ambiguous > DOUBTFUL {
            found.push(format!("{hop}: {} of its events are ambiguous in {side}", percent(ambiguous)));
        }
    }
    let [(base_name, base), (other_name, other)] = sides;
    if let (Some(of_base), Some(of_other)) = (base.coverage(), other.coverage())
        && (of_base.min(of_other) < COVERAGE || (of_base - of_other).abs() > COVERAGE_APART)
    {
        let (of_base, of_other) = (percent(of_base), percent(of_other));
        found.push(format!("{hop}: saw {of_base} of its frames in {base_name}, {of_other} in {other_name}"));
    }
    if !base.hooks.is_empty() && !other.hooks.is_empty() && base.hooks != other.hooks {
        let (of_base, of_other) = (base.hooks(), other.hooks());
        found.push(format!("{hop}: served by {of_base} in {base_name}, by {of_other} in {other_name}"));
    }
    found
}

/// What is looked at, and how it is told of a recording.
type Fact = (&'static str, fn(&Report) -> String);

/// What was not alike when the sides were recorded.
fn apart(base: Named<'_>, other: Named<'_>) -> Vec<String> {
    let facts: [Fact; 6] = [
        ("hosts", |report| report.host.name.clone()),
        ("kernels", |report| report.host.kernel.clone()),
        ("architectures", |report| report.host.arch.clone()),
        ("numbers of CPUs", |report| report.host.cpus.to_string()),
        ("versions of vmhop", |report| report.host.vmhop.clone()),
        ("filters", |report| match &*report.recording.filter {
            "" => "none".to_owned(),
            filter => format!("\"{filter}\""),
        }),
    ];
    let differs = |(what, fact): Fact| {
        let of_side =
            |side: Named<'_>| -> BTreeSet<String> { side.runs.iter().map(|run| fact(&run.report)).collect() };
        let (of_base, of_other) = (of_side(base), of_side(other));
        let all = of_base.union(&of_other).count();
        (all > 1).then(|| {
            let list = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join(" and ");
            format!(
                "the {what} differ: {} in {}, {} in {}; a shift may come from that",
                list(of_base),
                base.name,
                list(of_other),
                other.name
            )
        })
    };
    facts.into_iter().filter_map(differs).collect()
}
