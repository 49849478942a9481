//! The text, line by line.

use std::collections::HashSet;

use super::*;
use crate::export::sample;

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The value of the only sample whose line begins so.
fn value(text: &str, start: &str) -> f64 {
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with(start)).collect();
    assert_eq!(lines.len(), 1, "{start}: {lines:?}");
    lines[0].rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn sums_are_seconds_and_the_layers_add_up() {
    let report = sample::full();
    let text = text(&report);
    let group = &report.exchanges.groups[0];
    let of_group = format!("kind=\"{}\",initiator=\"{}\"", group.kind, group.initiator);
    let total = value(&text, &format!("vmhop_exchange_time_seconds_total{{{of_group}}}"));
    let expected = group.mean_ns.unwrap() * group.count as f64 / 1e9;
    assert!((total - expected).abs() < 1e-9, "{total} is not {expected}");
    for layer in &group.layers {
        let start = format!("vmhop_layer_time_seconds_total{{{of_group},layer=\"{}\"}}", layer.layer);
        assert!((value(&text, &start) - layer.mean_ns * group.count as f64 / 1e9).abs() < 1e-9);
    }
    assert_eq!(value(&text, &format!("vmhop_exchanges_total{{{of_group}}}")) as u64, group.count);
    assert_eq!(value(&text, "vmhop_passages_evicted_total") as u64, report.losses.evicted);
}

#[test]
fn every_family_is_told_once_and_every_sample_once_up_to_the_end() {
    for report in [sample::full(), sample::empty()] {
        let text = text(&report);
        assert!(text.ends_with("# EOF\n"));
        let mut told = HashSet::new();
        let mut samples = HashSet::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            match line.strip_prefix("# TYPE ") {
                Some(family) => assert!(told.insert(family.to_owned()), "{line}"),
                None if line.starts_with('#') => {}
                None => assert!(samples.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "{line}"),
            }
        }
        assert!(!samples.is_empty());
    }
}

#[test]
fn a_name_stays_within_its_label_and_away_from_the_terminal() {
    let mut report = sample::full();
    report.recording.vms = vec!["a\"} 1\n\u{1b}[2J\\".to_owned()];
    assert!(text(&report).contains("vmhop_vm_info{vm=\"a\\\"} 1\\\\n\\\\u{1b}[2J\\\\\"} 1\n"));
}

#[test]
fn what_is_absent_has_no_sample() {
    assert!(!text(&sample::empty()).contains("quantile"));
}
