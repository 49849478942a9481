//! The report as one HTML file that needs nothing but itself: no script, no font, no picture from anywhere else.
//!
//! Markup is made by `maud`, which escapes all text; names from the host go through `numbers::name` first, as in every
//! other output. Charts are inline SVG, each a function of data alone. Figures are the report's own: every cell of a
//! table carries its value as it is in the JSON beside the words that stand for it.
//!
//! `page` (skeleton, sections, warnings), `style` (style sheet, the layers' colours and patterns), `table` and `stacked`
//! know nothing of reports, so that other pages can be made of them.

mod axis;
mod curves;
pub mod experiment;
pub(crate) mod group;
mod head;
mod heat;
mod host;
pub(crate) mod page;
mod path;
pub(crate) mod stacked;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod tables;
mod waterfall;

use std::io::{self, Write};

use maud::{Markup, html};

use self::page::{figure, section};
use crate::{analysis::detail::Details, report::Report};

/// Writes the page of a report, with the pictures that `details` has.
///
/// # Errors
/// The writer's.
pub fn write(report: &Report, details: &Details, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(whole(report, details).into_string().as_bytes())
}

fn whole(report: &Report, details: &Details) -> Markup {
    let groups = &report.exchanges.groups;
    let duration_ns = report.recording.duration_ns;
    let main = html! {
        (head::summary(report))
        @for each in groups {
            (group::markup(each, details.of(&each.kind, &each.initiator).as_ref(), duration_ns))
        }
        (all_passages(report))
        @if report.passages.count > 0 { (host::passages(&report.passages)) }
        (host::hops(&report.hops))
        @if !report.nics.is_empty() { (host::nics(&report.nics)) }
        @if !report.flows.is_empty() { (host::flows(&report.flows, report.flows_left_out)) }
        (host::losses(&report.losses))
        @if !report.bill.is_empty() { (host::bills(&report.bill)) }
        (host::cost(&report.cost))
    };
    page::page(&head::title(report), &head::markup(report), &contents(report), &main)
}

/// What the navigation names: the sections that there are.
fn contents(report: &Report) -> Vec<(String, String)> {
    let entry = |anchor: &str, words: &str| (anchor.to_owned(), words.to_owned());
    let mut contents = vec![entry("summary", "Summary")];
    contents.extend(report.exchanges.groups.iter().map(|each| (group::anchor(each), group::title(each))));
    let sections = [
        (!report.segments.is_empty(), "all", "All frames"),
        (report.passages.count > 0, "passages", "Passages"),
        (true, "hops", "Hops"),
        (!report.nics.is_empty(), "nics", "NICs"),
        (!report.flows.is_empty(), "flows", "Flows"),
        (true, "losses", "Losses"),
        (!report.bill.is_empty(), "bill", "CPU bill"),
        (true, "cost", "Cost"),
    ];
    contents
        .extend(sections.iter().filter(|(there, ..)| *there).map(|(_, anchor, words)| entry(anchor, words)));
    contents
}

/// Segments of all frames, of exchanges or not.
fn all_passages(report: &Report) -> Markup {
    if report.segments.is_empty() {
        return html! {};
    }
    let body = html! {
        p.how { "All frames, whether they belong to an exchange or not." }
        (figure(
            "The path",
            "Mean time from hop to hop, and the time that 99 % of frames did not exceed, on the way that most took.",
            &path::of_passages(&report.segments),
        ))
        @if !report.layers.is_empty() { (tables::all_layers(&report.layers, report.recording.mode)) }
        (tables::segments(&report.segments, "Segments of all frames"))
    };
    section("all", "All frames", &body)
}

#[cfg(test)]
mod tests;
