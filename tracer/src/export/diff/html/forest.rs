//! Each layer's shift as a dot, its interval as a line, what is a trifle as a band. Places are in percent of the width, so
//! that it fits any screen.

use maud::{Markup, html};

use super::words;
use crate::{
    compare::{GroupDiff, Row},
    export::{html::style::layer_class, numbers::name},
};

/// Where names end and the plot begins, and where it ends, percent of the width.
const FROM: f64 = 26.0;
const TO: f64 = 98.0;
/// Height of a row, px.
const ROW: usize = 28;

/// The plot of a group's layers and of the whole.
pub(super) fn plot(group: &GroupDiff) -> Markup {
    let rows: Vec<&Row> = group.layers.iter().chain([&group.total]).collect();
    let reach = reach(&rows, group.margin_ns);
    let x = |ns: f64| format!("{:.3}%", place(ns, reach));
    let height = (rows.len() + 1) * ROW;
    let foot = height - ROW;
    let band = format!("{:.3}%", place(group.margin_ns, reach) - place(-group.margin_ns, reach));
    let said = rows.iter().map(|row| {
        format!("{} {}, {}", name(&row.name), words::signed(row.mean.shift_ns), words::interval(&row.mean))
    });
    html! {
        svg.forest role="img" width="100%" height=(height) {
            title { "Shift of each layer" }
            desc { (said.collect::<Vec<_>>().join("; ")) }
            rect x=(x(-group.margin_ns)) width=(band) y="0" height=(foot) fill="currentColor" opacity="0.12" {}
            line x1=(x(0.0)) x2=(x(0.0)) y1="0" y2=(foot) stroke="currentColor" opacity="0.5" {}
            @for (at, row) in rows.iter().enumerate() { (line(row, at * ROW + ROW / 2, &x)) }
            @for (ns, anchor) in [(-reach, "start"), (0.0, "middle"), (reach, "end")] {
                text.axis x=(x(ns)) y=(height - 8) text-anchor=(anchor) { (words::signed(Some(ns))) }
            }
        }
    }
}

fn line(row: &Row, y: usize, x: &impl Fn(f64) -> String) -> Markup {
    let class = if row.name == "total" { "total" } else { layer_class(&row.name) };
    html! {
        text x="0" y=(y + 4) { (name(&row.name)) }
        @if let (Some(low), Some(high)) = (row.mean.low_ns, row.mean.high_ns) {
            line.{ "s-" (class) } x1=(x(low)) x2=(x(high)) y1=(y) y2=(y) stroke-width="4" {
                title { (name(&row.name)) ": " (words::interval(&row.mean)) ", " (words::verdict(row)) }
            }
        }
        @if let Some(shift) = row.mean.shift_ns {
            circle cx=(x(shift)) cy=(y) r="5" fill="currentColor" {}
        }
    }
}

/// How far the plot reaches to either side of zero, ns.
fn reach(rows: &[&Row], margin_ns: f64) -> f64 {
    let ends = rows.iter().flat_map(|row| [row.mean.low_ns, row.mean.high_ns, row.mean.shift_ns]);
    ends.flatten().map(f64::abs).filter(|end| end.is_finite()).fold(margin_ns.max(1.0), f64::max) * 1.05
}

/// Where a time lies, percent of the width.
fn place(ns: f64, reach: f64) -> f64 {
    FROM + (TO - FROM) * (ns / reach + 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_in_the_middle_and_nothing_lies_outside() {
        assert_eq!(place(0.0, 8.0), (FROM + TO) / 2.0);
        assert_eq!((place(-8.0, 8.0), place(8.0, 8.0)), (FROM, TO));
    }
}
