//! What becomes of figures when recordings follow one another.

use proptest::prelude::*;

use super::*;

fn segment(count: u64, mean_ns: f64) -> SegmentRow {
    let known = (count > 0).then_some(mean_ns);
    SegmentRow {
        way: "transmit".to_owned(),
        from: "tap.rx".to_owned(),
        to: "nic.queue".to_owned(),
        layer: "vmnet".to_owned(),
        count,
        mean_ns: known,
        p50_ns: known.map(|ns| ns as u64),
        p90_ns: None,
        p99_ns: None,
        max_ns: None,
        negative: 1,
    }
}

fn layer(name: &str, mean_ns: f64) -> LayerRow {
    LayerRow {
        layer: name.to_owned(),
        mean_ns,
        share: 0.0,
        p50_ns: None,
        p90_ns: None,
        p99_ns: None,
        max_ns: None,
    }
}

proptest! {
    #[test]
    fn a_sum_never_falls(first in 0.0..1e9_f64, count in 0..1_u64 << 40, second in 0.0..1e9_f64, more in 0..1_u64 << 20) {
        let sum = first * count as f64;
        let joined = mean(first, count, second, more);
        prop_assert!(joined * (count + more) as f64 >= sum);
        let expected = sum + second * more as f64;
        prop_assert!((joined * (count + more) as f64 - expected).abs() <= expected * 1e-12);
    }
}

#[test]
fn counts_and_sums_add_up_and_percentiles_are_the_latest() {
    let mut all = segment(3, 100.0);
    add_segment(&mut all, segment(1, 500.0));
    assert_eq!((all.count, all.mean_ns, all.p50_ns, all.negative), (4, Some(200.0), Some(500), 2));
    add_segment(&mut all, segment(0, 0.0));
    assert_eq!((all.count, all.mean_ns, all.p50_ns, all.negative), (4, Some(200.0), Some(500), 3));
}

#[test]
fn a_layer_that_one_recording_alone_has_took_no_time_in_the_other() {
    let mut layers = vec![layer("vmm", 40.0), layer("nic", 8.0)];
    add_layers(&mut layers, vec![layer("vmm", 80.0), layer("guest", 20.0)], 3, 1);
    let means: Vec<_> = layers.iter().map(|layer| (layer.layer.as_str(), layer.mean_ns)).collect();
    assert_eq!(means, [("vmm", 50.0), ("nic", 6.0), ("guest", 5.0)]);
    assert!((layers.iter().map(|layer| layer.share).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn coverage_is_that_of_all_frames() {
    let hop = |expected, coverage| HopRow { expected, coverage, ..HopRow::default() };
    let mut all = hop(100, Some(1.0));
    add_hop(&mut all, hop(300, Some(0.5)));
    add_hop(&mut all, hop(0, None));
    assert_eq!((all.expected, all.coverage), (400, Some(0.625)));
}

#[test]
fn lists_do_not_grow_for_ever() {
    let mut names: Vec<String> = Vec::new();
    for number in 0..5000 {
        join(&mut names, vec![format!("vm{number}"), "vm1".to_owned()], |one, other| one == other, |_, _| {});
    }
    assert_eq!(names.len(), MOST);
}

#[test]
fn what_is_reckoned_does_not_fall() {
    let report = |runs: &[(&str, u64)]| {
        let mut report = crate::export::sample::full();
        let cost = |(program, runs): &(&str, u64)| ProgramCost {
            program: (*program).to_owned(),
            runs: *runs,
            run_ns: runs * 10,
            missed: 0,
        };
        report.cost.programs = runs.iter().map(cost).collect();
        report.cost.programs_ns = report.cost.programs.iter().map(|program| program.run_ns).sum();
        report
    };
    let mut later = report(&[("b", 9), ("a", 6), ("c", 1)]);
    later.hold_cost(&report(&[("a", 8), ("b", 7)]));
    let runs: Vec<_> = later.cost.programs.iter().map(|program| (program.runs, program.run_ns)).collect();
    assert_eq!((runs, later.cost.programs_ns), (vec![(9, 90), (8, 80), (1, 10)], 160));
}
