//! What is found, in recordings made by hand: runs of given layer means, alike or not.

use super::{
    samples::{GroupBlocks, SegmentKey},
    *,
};
use crate::{
    export::sample,
    report::{Group, HopRow, LayerRow, SegmentRow},
};

const US: f64 = 1e3;
const MS: f64 = 1e6;

/// Layers, each of one segment: way, from, to, layer, mean.
const PATH: [(&str, &str, &str, &str, f64); 4] = [
    ("receive", "nic.rx", "nic.stack", "nic", 20.0 * US),
    ("receive", "tap.ring", "vmm.read", "vmm", 300.0 * US),
    ("turn", "vcpu.enter", "vmm.kick", "guest", 600.0 * US),
    ("transmit", "tap.write", "nic.queue", "vmnet", 60.0 * US),
];

fn segment_row(at: usize, mean_ns: f64) -> SegmentRow {
    let (way, from, to, layer, _) = PATH[at];
    let ns = Some(mean_ns as u64);
    SegmentRow {
        way: way.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        layer: layer.to_owned(),
        count: 200,
        mean_ns: Some(mean_ns),
        p50_ns: ns,
        p90_ns: ns,
        p99_ns: ns,
        max_ns: ns,
        negative: 0,
    }
}

fn layer_row(at: usize, mean_ns: f64, total: f64) -> LayerRow {
    let ns = Some(mean_ns as u64);
    LayerRow {
        layer: PATH[at].3.to_owned(),
        mean_ns,
        share: mean_ns / total,
        p50_ns: ns,
        p90_ns: ns,
        p99_ns: ns,
        max_ns: ns,
    }
}

/// A run in which each layer takes its time and so much more, all of it varied a little by the run's number.
fn run(number: usize, more: [f64; 4]) -> Run {
    let vary = |at: usize| 1.0 + 0.002 * ((number * 7 + at * 3) % 11) as f64;
    let means: Vec<f64> = (0..4).map(|at| PATH[at].4 * vary(at) + more[at]).collect();
    let total: f64 = means.iter().sum();
    let mut report = sample::empty();
    report.recording.started = format!("2026-11-28T00:00:{number:02}Z");
    report.recording.events = 1000;
    report.recording.failed = false;
    report.exchanges.count = 200;
    report.exchanges.groups = vec![Group {
        kind: "echo".to_owned(),
        initiator: "peer".to_owned(),
        count: 200,
        unanswered: 0,
        ambiguous: 0,
        overtaken: 0,
        mean_ns: Some(total),
        p50_ns: Some(total as u64),
        p90_ns: Some(total as u64),
        p99_ns: Some(total as u64),
        max_ns: Some(total as u64),
        residual_mean_ns: Some(0.0),
        layers: (0..4).map(|at| layer_row(at, means[at], total)).collect(),
        segments: (0..4).map(|at| segment_row(at, means[at])).collect(),
    }];
    report.hops = ["nic.rx", "nic.stack", "tap.ring", "vmm.read"].map(hop).to_vec();
    Run { name: format!("{number}.vmhop"), report, groups: [(group_key(), blocks(&means))].into() }
}

fn group_key() -> (String, String) {
    ("echo".to_owned(), "peer".to_owned())
}

fn hop(name: &str) -> HopRow {
    HopRow {
        hop: name.to_owned(),
        hook: "fentry:x".to_owned(),
        seen: 200,
        matched: 200,
        expected: 200,
        coverage: Some(1.0),
        ..HopRow::default()
    }
}

/// Twenty blocks around these means.
fn blocks(means: &[f64]) -> GroupBlocks {
    let around = |mean: f64| (0..20).map(|at| mean * (0.99 + 0.001 * f64::from(at))).collect::<Vec<_>>();
    let key = |at: usize| {
        let (way, from, to, ..) = PATH[at];
        SegmentKey { way: way.to_owned(), from: from.to_owned(), to: to.to_owned() }
    };
    GroupBlocks {
        totals: around(means.iter().sum()),
        layers: (0..4).map(|at| (PATH[at].3, around(means[at]))).collect(),
        segments: (0..4).map(|at| (key(at), around(means[at]))).collect(),
    }
}

/// So many runs, their numbers from `first` on in steps of two, so that two conditions interleave.
fn runs(first: usize, count: usize, more: [f64; 4]) -> Vec<Run> {
    (0..count).map(|at| run(first + 2 * at, more)).collect()
}

fn compared(base: &[Run], other: &[Run]) -> Comparison {
    compare(base, other, &Options::default())
}

fn verdicts(comparison: &Comparison) -> Vec<(&str, Verdict)> {
    comparison.groups[0].layers.iter().map(|row| (&*row.name, row.verdict)).collect()
}

fn found(comparison: &Comparison) -> Vec<&str> {
    verdicts(comparison).into_iter().filter(|(_, it)| *it == Verdict::Found).map(|(name, _)| name).collect()
}

fn warned(comparison: &Comparison, words: &str) -> bool {
    comparison.warnings.iter().any(|row| row.grave && row.text.contains(words))
}

#[test]
fn a_layer_that_takes_longer_is_found_and_no_other() {
    for count in [1, 6] {
        let base = runs(0, count, [0.0; 4]);
        let comparison = compared(&base, &runs(1, count, [MS, 3.0 * US, 0.0, 2.0 * US]));
        assert_eq!(found(&comparison), ["nic"], "{count}: {:?}", verdicts(&comparison));
        let group = &comparison.groups[0];
        let nic = group.layers.iter().find(|row| row.name == "nic").unwrap();
        let shift = nic.mean.shift_ns.unwrap();
        assert!((shift - MS).abs() < 5.0 * US, "{shift}");
        assert!(nic.mean.low_ns.unwrap() <= shift && shift <= nic.mean.high_ns.unwrap());
        let tested: Vec<_> = group.segments.iter().filter(|it| it.row.verdict == Verdict::Found).collect();
        assert_eq!(tested.iter().map(|it| &*it.row.name).collect::<Vec<_>>(), ["nic.rx → nic.stack"]);
        let untested = group.segments.iter().filter(|it| it.layer != "nic");
        assert!(untested.clone().count() == 3 && untested.clone().all(|it| it.row.adjusted_p.is_none()));
    }
}

#[test]
fn runs_of_one_condition_differ_in_nothing() {
    for count in [1, 6] {
        let comparison = compared(&runs(0, count, [0.0; 4]), &runs(1, count, [0.0; 4]));
        assert_eq!(found(&comparison), [""; 0], "{:?}", verdicts(&comparison));
        assert_ne!(comparison.groups[0].total.verdict, Verdict::Found);
    }
}

#[test]
fn what_is_more_than_chance_may_still_be_a_trifle() {
    let (base, other) = (runs(0, 6, [0.0; 4]), runs(1, 6, [20.0 * US, 0.0, 0.0, 0.0]));
    let nic =
        |comparison: &Comparison| verdicts(comparison).into_iter().find(|row| row.0 == "nic").unwrap().1;
    assert_eq!(nic(&compared(&base, &other)), Verdict::Negligible);
    let options = Options { ignore_below: Some("10us".parse().unwrap()), ..Options::default() };
    assert_eq!(nic(&compare(&base, &other, &options)), Verdict::Found);
}

#[test]
fn swapped_sides_shift_the_other_way_with_the_same_verdicts() {
    let (base, other) = (runs(0, 6, [0.0; 4]), runs(1, 6, [MS, 0.0, -200.0 * US, 0.0]));
    let (there, back) = (compared(&base, &other), compared(&other, &base));
    assert_eq!(verdicts(&there), verdicts(&back));
    assert_eq!(found(&there), ["guest", "nic"]);
    for (one, two) in there.groups[0].layers.iter().zip(&back.groups[0].layers) {
        assert_eq!(one.mean.shift_ns, two.mean.shift_ns.map(|ns| -ns));
        assert_eq!(one.mean.difference_ns, two.mean.difference_ns.map(|ns| -ns));
    }
}

#[test]
fn the_differences_of_the_layers_add_up_to_that_of_the_whole() {
    for count in [1, 3, 6] {
        let comparison = compared(&runs(0, count, [0.0; 4]), &runs(1, count, [MS, -5.0 * US, 7.0, 0.1]));
        let group = &comparison.groups[0];
        let sum: f64 = group.layers.iter().map(|row| row.mean.difference_ns.unwrap()).sum();
        let of_segments: f64 = group.segments.iter().map(|it| it.row.mean.difference_ns.unwrap()).sum();
        let whole = group.total.mean.difference_ns.unwrap();
        assert!(
            (sum - whole).abs() < 1e-3 && (of_segments - whole).abs() < 1e-3,
            "{sum} {of_segments} {whole}"
        );
    }
}

#[test]
fn single_runs_and_few_runs_are_warned_of() {
    let of =
        |base: usize, other: usize| compared(&runs(0, base, [0.0; 4]), &runs(1, other, [MS, 0.0, 0.0, 0.0]));
    assert!(warned(&of(1, 1), "each side is a single recording"));
    assert!(warned(&of(1, 6), "one side is a single recording"));
    assert_eq!((of(1, 6).units, of(6, 6).units), (Units::Blocks, Units::Runs));
    assert!(!of(6, 6).warnings.iter().any(|row| row.grave), "{:?}", of(6, 6).warnings);
    let few = of(3, 3);
    assert!(warned(&few, "3 runs against 3 are too few"), "{:?}", few.warnings);
    assert!(warned(&few, "the smallest p they can have is 0.10"));
    assert!(warned(&few, "record at least 5 runs of each condition"));
    assert!(verdicts(&few).iter().all(|row| row.1 == Verdict::TooFew));
    assert!((few.groups[0].confidence - 0.9).abs() < 1e-9);
    let same = runs(0, 1, [0.0; 4]);
    assert!(warned(&compared(&same, &same), "the same recording"));
}

#[test]
fn losses_cast_doubt_on_the_rows_that_they_touch() {
    let base = runs(0, 6, [0.0; 4]);
    let mut other = runs(1, 6, [MS, 0.0, MS, 0.0]);
    other.iter_mut().for_each(|run| run.report.hops[0].lost = 5);
    let comparison = compared(&base, &other);
    assert_eq!(found(&comparison), ["guest", "nic"]);
    let doubts =
        |name: &str| comparison.groups[0].layers.iter().find(|row| row.name == name).unwrap().doubts.clone();
    assert_eq!(doubts("nic"), ["nic.rx: 2.4 % of its events were lost in OTHER"]);
    assert_eq!(doubts("guest"), [""; 0]);
    assert_eq!(comparison.groups[0].segments[0].row.doubts, doubts("nic"));
    assert!(warned(&comparison, "nic.rx: 2.4 %"));
}

#[test]
fn what_was_not_alike_on_both_sides_is_warned_of() {
    let base = runs(0, 6, [0.0; 4]);
    type Change = (fn(&mut Run), &'static str);
    let changes: [Change; 8] = [
        (
            |run| run.report.host.kernel = "6.12.1".to_owned(),
            "the kernels differ: 6.18.0 in BASE, 6.12.1 in OTHER",
        ),
        (|run| run.report.host.cpus = 64, "the numbers of CPUs differ"),
        (
            |run| run.report.recording.filter = "icmp".to_owned(),
            "the filters differ: none in BASE, \"icmp\" in OTHER",
        ),
        (
            |run| run.report.hops[1].hook = "xdp".to_owned(),
            "nic.stack: served by fentry:x in BASE, by xdp in OTHER",
        ),
        (
            |run| run.report.hops[2].coverage = Some(0.9),
            "tap.ring: saw 100.0 % of its frames in BASE, 90.0 % in OTHER",
        ),
        (
            |run| run.report.exchanges.groups[0].unanswered = 10,
            "questions with no answer are left out: 0.0 % of BASE, 4.8 %",
        ),
        (|run| run.report.recording.complete = false, "it was cut off before its end"),
        (|run| run.report.losses.late = 50, "50 events that came too late"),
    ];
    for (change, words) in changes {
        let mut other = runs(1, 6, [0.0; 4]);
        other.iter_mut().for_each(change);
        let comparison = compared(&base, &other);
        assert!(warned(&comparison, words), "{words}: {:?}", comparison.warnings);
    }
}

#[test]
fn a_segment_below_zero_is_marked() {
    let base = runs(0, 6, [0.0; 4]);
    let mut other = runs(1, 6, [0.0; 4]);
    other[2].report.exchanges.groups[0].segments[0].negative = 1;
    let comparison = compared(&base, &other);
    assert_eq!(
        comparison.groups[0].segments[0].row.doubts,
        ["nic.rx → nic.stack: 1 time below zero in OTHER"]
    );
}

#[test]
fn what_only_one_side_has_is_listed_apart() {
    let base = runs(0, 6, [0.0; 4]);
    let mut other = runs(1, 6, [0.0; 4]);
    for run in &mut other {
        let group = &mut run.report.exchanges.groups[0];
        group.segments[0].to = "nic.other".to_owned();
        let further = Group { kind: "udp".to_owned(), ..group.clone() };
        run.report.exchanges.groups.push(further);
    }
    let comparison = compared(&base, &other);
    let alone: Vec<_> = comparison.groups[0].one_sided.iter().map(|it| (&*it.to, &*it.side)).collect();
    assert_eq!(alone, [("nic.stack", "BASE"), ("nic.other", "OTHER")]);
    assert_eq!((comparison.groups.len(), comparison.groups[0].segments.len()), (1, 3));
    assert_eq!((&*comparison.one_sided[0].kind, &*comparison.one_sided[0].side), ("udp", "OTHER"));
    assert!(warned(&comparison, "udp, asked by peer: 1,200 exchanges, and only in OTHER"));
    assert!(warned(&compared(&base, &[]), "nothing to compare"));
}

fn held(comparison: &Comparison, typed: &str) -> LimitRow {
    let limit: Limit = typed.parse().unwrap();
    limit.check_exists(comparison).unwrap();
    limit.hold(comparison).remove(0)
}

#[test]
fn a_bound_is_held_against_the_figures_and_the_interval_is_told_beside() {
    let comparison = compared(&runs(0, 6, [0.0; 4]), &runs(1, 6, [MS, 0.0, 0.0, 0.0]));
    for (typed, exceeded) in [
        ("nic.mean 50us", true),
        ("nic.p99 10%", true),
        ("nic.mean 2ms", false),
        ("vmm.p50 10 %", false),
        ("total.p90 50%", true),
        ("echo:peer/total.mean 5ms", false),
        ("nic.rx->nic.stack.mean 10%", true),
        ("tap.ring→vmm.read.p99 10%", false),
    ] {
        let row = held(&comparison, typed);
        assert_eq!((row.exceeded, row.supported), (Some(exceeded), Some(true)), "{typed}: {row:?}");
    }
    let few = compared(&runs(0, 3, [0.0; 4]), &runs(1, 3, [MS, 0.0, 0.0, 0.0]));
    let row = held(&few, "nic.mean 50us");
    assert_eq!((row.exceeded, row.supported), (Some(true), None), "too few runs bear nothing out");
}

#[test]
fn a_bound_that_cannot_be_checked_fails() {
    let base = runs(0, 6, [0.0; 4]);
    let mut other = runs(1, 6, [0.0; 4]);
    other.iter_mut().for_each(|run| run.report.exchanges.groups[0].kind = "udp".to_owned());
    let row = held(&compared(&base, &other), "echo:peer/vmm.p99 10%");
    assert!(row.fails() && row.exceeded.is_none());
    assert_eq!(row.why.as_deref(), Some("only BASE has such exchanges"));
    let further = Group { kind: "tcp".to_owned(), ..base[0].report.exchanges.groups[0].clone() };
    let mut stray = runs(1, 6, [0.0; 4]);
    stray[0].report.exchanges.groups.push(further);
    let rows = "vmm.p99 10%".parse::<Limit>().unwrap().hold(&compared(&base, &stray));
    assert!(rows.len() == 1 && !rows[0].fails(), "what one side alone has fails no bound of all: {rows:?}");
}

#[test]
fn a_bound_that_makes_no_sense_is_told_with_an_example() {
    for (typed, word) in [
        ("vmm.p99", "the size is missing"),
        ("vmm 10%", "the figure is missing"),
        ("vmm.p98 10%", "`p98` is no figure: they are mean, p50, p90 and p99"),
        ("vmm.p99 ten", "`ten` is neither a share nor a time"),
        ("vmm.p99 -3%", "`-3%` is no share"),
        (".p99 3%", "what it is a bound for is missing"),
        ("echo/vmm.p99 3%", "`echo` is no group"),
        ("->x.p99 3%", "`->x` is no segment"),
    ] {
        let error = format!("{:#}", typed.parse::<Limit>().unwrap_err());
        assert!(error.contains(word) && error.contains("such as 'vmm.p99 10%'"), "{typed}: {error}");
    }
    let comparison = compared(&runs(0, 6, [0.0; 4]), &runs(1, 6, [0.0; 4]));
    for (typed, words) in [
        ("vnm.p99 10%", "the recordings have no layer `vnm`: they have guest, vmm, vmnet, nic, total"),
        ("a->b.p99 10%", "the recordings have no segment `a → b`: they have nic.rx → nic.stack, "),
        ("tcp:peer/vmm.p99 10%", "the recordings have no such group: they have echo:peer"),
    ] {
        let error = typed.parse::<Limit>().unwrap().check_exists(&comparison).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
