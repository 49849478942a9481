//! The top of the page: what was recorded, where, when; warnings; how well the hops were covered.

use maud::{Markup, html};

use super::page::{section, warnings};
use crate::{
    export::numbers::{ABSENT, count, counted, name, percent, time},
    export::text::part,
    recording::Mode,
    report::{HopRow, Report},
};

/// The page's title.
pub(super) fn title(report: &Report) -> String {
    let vms = match report.recording.vms.as_slice() {
        [] => "no VM".to_owned(),
        vms => vms.join(", "),
    };
    format!("{vms} on {}: where frames spend their time", report.host.name)
}

/// Title, facts, warnings.
pub(super) fn markup(report: &Report) -> Markup {
    html! {
        h1 { (name(&title(report))) }
        (about(report))
        (warnings(&report.warnings))
    }
}

fn about(report: &Report) -> Markup {
    let (recording, host) = (&report.recording, &report.host);
    let machine = format!(
        "{}, Linux {}, {}, {}",
        name(&host.name),
        name(&host.kernel),
        name(&host.arch),
        counted(host.cpus.into(), "CPU")
    );
    let command: Vec<String> = recording.command.iter().map(|word| name(word)).collect();
    let ended = recording.ended.as_deref().map_or_else(|| "not closed".to_owned(), name);
    html! {
        dl.about {
            dt { "Host" } dd { (machine) }
            dt { "Recorded" } dd { time datetime=(name(&recording.started)) { (name(&recording.started)) } ", for "
                span data-ns=(recording.duration_ns) { (time(recording.duration_ns as f64)) } }
            @if !command.is_empty() { dt { "While running" } dd { code { (command.join(" ")) } } }
            @if !recording.filter.is_empty() { dt { "Filter" } dd { code { (name(&recording.filter)) } } }
            @if let Some(sampled) = &recording.sampled { dt { "Recorded" } dd { (part(sampled)) } }
            dt { "Ended" } dd { (ended) }
            dt { "Recorded by" } dd { "vmhop " (name(&host.vmhop)) ", " (counted(recording.events, "record")) }
        }
    }
}

/// How much was seen, how well.
pub(super) fn summary(report: &Report) -> Markup {
    let served: Vec<&HopRow> = report.hops.iter().filter(|row| row.unserved.is_none()).collect();
    let covered = |row: &&&HopRow| row.coverage.is_some();
    let worst = served
        .iter()
        .filter(covered)
        .min_by(|left, right| left.coverage.unwrap_or(1.0).total_cmp(&right.coverage.unwrap_or(1.0)));
    let dropped: u64 = report.losses.drops.iter().map(|row| row.count).sum();
    let facts = [
        ("frames", report.passages.count),
        ("exchanges", report.exchanges.count),
        ("events lost", report.losses.ring_total),
        ("frames dropped", dropped),
    ];
    let body = html! {
        dl.facts {
            @for (word, number) in facts { div { dt { (word) } dd data-value=(number) { (count(number)) } } }
            div { dt { "lowest coverage of a hop" } dd data-value=[worst.and_then(|row| row.coverage)] {
                (worst.and_then(|row| row.coverage).map_or_else(|| ABSENT.to_owned(), percent))
            } }
        }
        p.quiet {
            (counted(served.len() as u64, "hop")) " served, " (report.hops.len() - served.len()) " not"
            @if let Some(row) = worst.filter(|row| row.coverage < Some(1.0)) { "; least covered is " (name(&row.hop)) }
            ". " a href="#hops" { "All hops" } "."
        }
        @if report.passages.count == 0 && report.exchanges.count == 0 { p { b { "No frame was seen." } } }
        @else if report.recording.mode == Mode::Histogram {
            p { b { "Histogram mode: the kernel counted segments, and no event was recorded." } " Not known are:" }
            ul { @for what in &report.recording.not_known { li { (name(what)) } } }
        }
        @else if report.exchanges.count == 0 {
            p { b { "No exchange was found: no question whose answer was seen too." } }
        }
    };
    section("summary", "Summary", &body)
}
