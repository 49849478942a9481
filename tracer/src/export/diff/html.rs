//! A comparison as a page: what was found, both means as bars, each layer's shift with its interval, the tables.

mod forest;

use std::io::{self, Write};

use maud::{Markup, html};

use super::words;
use crate::{
    compare::{Comparison, GroupDiff, LimitRow, Row as Compared, SideRow},
    export::{
        html::{
            page,
            stacked::{self, Part},
            style::layer_label,
            table::{Cell, Column, Row, Table},
        },
        numbers::{count, counted, name},
    },
};

const fn column(head: &'static str, field: &'static str) -> Column {
    Column { head, field }
}

/// Means and what the tests say of them.
const MEANS: [Column; 9] = [
    column("Layer", ""),
    column("BASE", "mean.base_ns"),
    column("OTHER", "mean.other_ns"),
    column("Difference", "mean.difference_ns"),
    column("Shift", "mean.shift_ns"),
    column("Interval", ""),
    column("p", "p"),
    column("Adjusted p", "adjusted_p"),
    column("Verdict", ""),
];

const PERCENTILES: [Column; 7] = [
    column("Layer", ""),
    column("p50 BASE", "p50.base_ns"),
    column("OTHER", "p50.other_ns"),
    column("Difference", "p50.difference_ns"),
    column("p99 BASE", "p99.base_ns"),
    column("OTHER", "p99.other_ns"),
    column("Difference", "p99.difference_ns"),
];

const SEGMENTS: [Column; 10] = [
    column("Segment", ""),
    column("Way", ""),
    column("Layer", ""),
    column("BASE", "mean.base_ns"),
    column("OTHER", "mean.other_ns"),
    column("Difference", "mean.difference_ns"),
    column("Interval", ""),
    column("p", "p"),
    column("Adjusted p", "adjusted_p"),
    column("Verdict", ""),
];

const ONE_SIDED: [Column; 4] =
    [column("Segment", ""), column("Layer", ""), column("Side", ""), column("Of its mean", "mean_ns")];

/// Writes a comparison as one file that loads nothing.
pub(super) fn write(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let title = format!("{} and {} compared", comparison.base.name, comparison.other.name);
    let head = html! {
        h1 { (name(&title)) }
        dl.about {
            @for side in [&comparison.base, &comparison.other] { (side_facts(side)) }
            dt { "Tested" } dd { (words::method(comparison)) }
        }
        (page::warnings(&comparison.warnings))
    };
    let contents: Vec<(String, String)> =
        comparison.groups.iter().map(|group| (page::slug(&group.title()), group.title())).collect();
    let main = html! {
        (limits(&comparison.limits))
        @for group in &comparison.groups { (section(comparison, group)) }
    };
    writeln!(out, "{}", page::page(&title, &head, &contents, &main).into_string())
}

fn side_facts(side: &SideRow) -> Markup {
    html! { dt { (name(&side.name)) } dd { (words::side(side)) } }
}

fn limits(rows: &[LimitRow]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    page::section("bounds", "Bounds", &html! { ul { @for row in rows { li { (words::limit(row)) } } } })
}

/// A comparison as a part of another page.
pub(super) fn cell(comparison: &Comparison) -> Markup {
    html! {
        @for side in [&comparison.base, &comparison.other] { p.quiet { (name(&side.name)) ": " (words::side(side)) } }
        (page::warnings(&comparison.warnings))
        @if !comparison.limits.is_empty() { ul { @for row in &comparison.limits { li { (words::limit(row)) } } } }
        @for group in &comparison.groups { (body(comparison, group)) }
    }
}

fn section(comparison: &Comparison, group: &GroupDiff) -> Markup {
    page::section(&page::slug(&group.title()), &group.title(), &body(comparison, group))
}

fn body(comparison: &Comparison, group: &GroupDiff) -> Markup {
    let [base, other] = group.exchanges.map(count);
    let units = group.units.map(|units| counted(units as u64, comparison.units.name()));
    html! {
        p { strong { (words::findings(group)) } }
        p.quiet { (base) " and " (other) " exchanges, " (units[0]) " and " (units[1]) }
        (bars(comparison, group))
        (page::figure(
            "Shift of each layer",
            "The dot is the Hodges-Lehmann shift, the line its interval. What lies in the grey band, or reaches into it, \
             is a trifle. Right of zero OTHER takes longer.",
            &forest::plot(group),
        ))
        (means(group).markup())
        p.quiet { (words::sum(group)) }
        (percentiles(group).markup())
        (segments(group).markup())
        @if !group.one_sided.is_empty() { (one_sided(group).markup()) }
        (doubts(group))
    }
}

/// Both means by layer, to one scale.
fn bars(comparison: &Comparison, group: &GroupDiff) -> Markup {
    let parts = |mean: &dyn Fn(&Compared) -> Option<f64>| -> Vec<Part> {
        let whole = mean(&group.total).unwrap_or_default();
        let part = |row: &Compared| {
            let mean_ns = mean(row).unwrap_or_default();
            Part { layer: row.name.clone(), mean_ns, share: if whole > 0.0 { mean_ns / whole } else { 0.0 } }
        };
        group.layers.iter().map(part).collect()
    };
    let base = parts(&|row| row.mean.base_ns);
    let other = parts(&|row| row.mean.other_ns);
    let whole = |parts: &[Part]| parts.iter().map(|part| part.mean_ns).sum::<f64>();
    let longest = whole(&base).max(whole(&other));
    let body = html! {
        @for (side, parts) in [(&comparison.base, &base), (&comparison.other, &other)] {
            p { (name(&side.name)) }
            (stacked::bar(&format!("Mean exchange of {}", side.name), parts, longest))
            (stacked::legend(parts))
        }
    };
    page::figure("Mean exchange by layer", "Both bars have the same scale.", &body)
}

/// A difference, with its sign.
fn difference(ns: Option<f64>) -> Cell {
    Cell::Number(ns, words::signed(ns))
}

fn probability(p: Option<f64>) -> Cell {
    Cell::Number(p, words::p(p))
}

fn rows_of(group: &GroupDiff) -> impl Iterator<Item = &Compared> {
    group.layers.iter().chain([&group.total])
}

fn head_of(row: &Compared, group: &GroupDiff) -> Cell {
    match std::ptr::eq(row, &group.total) {
        true => Cell::Words(row.name.clone()),
        false => Cell::Markup(layer_label(&row.name)),
    }
}

fn means(group: &GroupDiff) -> Table<'static> {
    let row = |row: &Compared| Row {
        key: row.name.clone(),
        head: head_of(row, group),
        cells: vec![
            Cell::Time(row.mean.base_ns),
            Cell::Time(row.mean.other_ns),
            difference(row.mean.difference_ns),
            difference(row.mean.shift_ns),
            Cell::Number(None, words::interval(&row.mean)),
            probability(row.p),
            probability(row.adjusted_p),
            Cell::Words(words::verdict(row)),
        ],
    };
    let caption = format!("Means by layer, with the {} of the shift", words::interval_name(group));
    Table { kind: "layers", caption, columns: &MEANS, rows: rows_of(group).map(row).collect() }
}

fn percentiles(group: &GroupDiff) -> Table<'static> {
    let row = |row: &Compared| Row {
        key: row.name.clone(),
        head: head_of(row, group),
        cells: [row.p50, row.p99]
            .into_iter()
            .flat_map(|it| [Cell::Time(it.base_ns), Cell::Time(it.other_ns), difference(it.difference_ns)])
            .collect(),
    };
    Table {
        kind: "percentiles",
        caption: "Percentiles by layer".to_owned(),
        columns: &PERCENTILES,
        rows: rows_of(group).map(row).collect(),
    }
}

fn segments(group: &GroupDiff) -> Table<'static> {
    let rows = group.segments.iter().map(|segment| Row {
        key: format!("{} {}", segment.way, segment.row.name),
        head: Cell::Words(segment.row.name.clone()),
        cells: vec![
            Cell::Words(segment.way.clone()),
            Cell::Markup(layer_label(&segment.layer)),
            Cell::Time(segment.row.mean.base_ns),
            Cell::Time(segment.row.mean.other_ns),
            difference(segment.row.mean.difference_ns),
            Cell::Number(None, words::interval(&segment.row.mean)),
            probability(segment.row.p),
            probability(segment.row.adjusted_p),
            Cell::Words(words::verdict(&segment.row)),
        ],
    });
    let caption = "Segments, each by its part of the mean exchange; tested inside the layers that were found";
    Table { kind: "segments", caption: caption.to_owned(), columns: &SEGMENTS, rows: rows.collect() }
}

fn one_sided(group: &GroupDiff) -> Table<'static> {
    let rows = group.one_sided.iter().map(|row| Row {
        key: format!("{} {} → {}", row.way, row.from, row.to),
        head: Cell::Words(format!("{} → {}", row.from, row.to)),
        cells: vec![
            Cell::Markup(layer_label(&row.layer)),
            Cell::Words(row.side.clone()),
            Cell::Time(Some(row.mean_ns)),
        ],
    });
    let caption = "Segments that one side alone has, by another hook or path";
    Table { kind: "one-sided", caption: caption.to_owned(), columns: &ONE_SIDED, rows: rows.collect() }
}

/// Why to doubt what was found.
fn doubts(group: &GroupDiff) -> Markup {
    let segments = group.segments.iter().map(|segment| &segment.row);
    let found = words::doubts(rows_of(group).chain(segments));
    html! {
        @if !found.is_empty() {
            h3 { "What casts doubt on it" }
            ul { @for (doubt, rows) in &found { li { (name(&rows.join(", "))) ": " (name(doubt)) } } }
        }
    }
}
