//! Two experiments compared: a line for each cell, then the cells in which something was found, as text; all of them as a
//! page.

use std::io::{self, Write};

use maud::{Markup, html};

use super::{html as comparison_page, text, words};
use crate::{
    compare::cells::{CellComparison, ExperimentComparison},
    export::{
        html::page,
        numbers::{ABSENT, mean, name},
        text::{paragraph, table},
    },
};

/// Writes it for a terminal of so many columns.
pub(super) fn text(report: &ExperimentComparison, width: usize, out: &mut dyn Write) -> io::Result<()> {
    for warning in &report.warnings {
        let mark = if warning.grave { "! " } else { "- " };
        paragraph(mark, 2, &name(&warning.text), width, out)?;
    }
    writeln!(out)?;
    let rows = report.cells.iter().map(|cell| {
        let group = cell.comparison.groups.first();
        let total = group.map(|group| &group.total.mean);
        vec![
            name(&cell.key.title()),
            mean(total.and_then(|total| total.base_ns)),
            mean(total.and_then(|total| total.other_ns)),
            words::signed(total.and_then(|total| total.shift_ns)),
            total.map_or(ABSENT.to_owned(), words::interval),
            found(cell),
        ]
    });
    table::write(&["cell", "BASE", "OTHER", "shift", "interval", "found"], 1, rows, out)?;
    for cell in report.cells.iter().filter(|cell| is_of_note(cell)) {
        writeln!(out, "\n━━ {} ━━", name(&cell.key.title()))?;
        text::write(&cell.comparison, width, out)?;
    }
    Ok(())
}

/// Whether more than a line is to be said of a cell.
fn is_of_note(cell: &CellComparison) -> bool {
    let has_found = cell.comparison.groups.iter().any(|group| !found_layers(group).is_empty());
    has_found || !cell.comparison.limits.is_empty()
}

fn found_layers(group: &crate::compare::GroupDiff) -> Vec<String> {
    let rows = group.layers.iter().filter(|row| row.verdict == crate::compare::Verdict::Found);
    rows.map(|row| format!("{} ({})", words::signed(row.mean.shift_ns), name(&row.name))).collect()
}

fn found(cell: &CellComparison) -> String {
    let Some(group) = cell.comparison.groups.first() else { return "not comparable".to_owned() };
    let found = found_layers(group);
    if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
}

/// Writes it as one file that loads nothing.
pub(super) fn page(report: &ExperimentComparison, out: &mut dyn Write) -> io::Result<()> {
    let head = html! {
        h1 { "Two experiments compared" }
        (page::warnings(&report.warnings))
        ul { @for cell in &report.cells { li { a href={ "#" (anchor(cell)) } { (name(&cell.key.title())) } ": " (found(cell)) } } }
    };
    let main: Markup = html! {
        @for cell in &report.cells {
            (page::section(&anchor(cell), &cell.key.title(), &comparison_page::cell(&cell.comparison)))
        }
    };
    writeln!(out, "{}", page::page("Two experiments compared", &head, &[], &main).into_string())
}

fn anchor(cell: &CellComparison) -> String {
    page::slug(&cell.key.title())
}
