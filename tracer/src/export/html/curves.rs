//! Percentile curves: how long the fastest so many percent of exchanges took, in all and in each layer. The line of percents
//! is stretched towards its end, each nine as long as the one before, since that is where the slow ones are.

use maud::{Markup, html};

use super::{
    axis::{LogScale, anchor, percent, percentile},
    heat::{levels, rules},
    style::layer_class,
    table::{Cell, Column, Row, Table},
};
use crate::{
    export::numbers::{count, name},
    latency::GroupBook,
};

/// Points of a curve for each nine.
const STEPS: usize = 24;
/// What the table has.
const TABLE: [f64; 7] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];

/// A line.
struct Curve {
    name: &'static str,
    class: &'static str,
    /// Place on the line of percents, and time, ns.
    points: Vec<(f64, f64)>,
}

/// Where a percentile lies: 0 at 0, 1 at 90, 2 at 99, ….
pub(super) fn place(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).log10()
}

/// The percentile at a place.
fn percent_at(place: f64) -> f64 {
    100.0 * (1.0 - 10f64.powf(-place))
}

/// How far the line of percents goes for so many exchanges: to the last percentile that is not yet the longest.
fn reach(exchanges: u64) -> f64 {
    (exchanges as f64).log10().clamp(1.0, 6.0)
}

fn curves(book: &GroupBook) -> Vec<Curve> {
    let exchanges = book.totals.count();
    let end = reach(exchanges);
    let steps = (end * STEPS as f64).ceil() as usize;
    let places: Vec<f64> = (0..=steps).map(|step| end * step as f64 / steps as f64).collect();
    let curve = |name, class, at: &dyn Fn(f64) -> Option<u64>| {
        let point = |place: &f64| Some((*place, at(percent_at(*place))? as f64));
        Curve { name, class, points: places.iter().filter_map(point).collect() }
    };
    let mut all = vec![curve("total", "total", &|percent| book.totals.percentile_ns(percent))];
    all.extend(book.layers().map(|(layer, times)| {
        let class = layer_class(layer.name());
        curve(layer.name(), class, &|percent| times.percentile_ns(percent, exchanges))
    }));
    all
}

/// The curves of a group.
pub(super) fn plot(book: &GroupBook) -> Markup {
    let (exchanges, curves) = (book.totals.count(), curves(book));
    let times = curves.iter().flat_map(|curve| &curve.points).map(|(_, ns)| *ns);
    let (Some(scale), true) = (LogScale::of(times), exchanges > 1) else { return html! {} };
    let end = reach(exchanges);
    html! {
        div.plot {
            (levels(&scale))
            svg role="img" width="100%" height="240" {
                title { "Time that so many percent of exchanges do not exceed" }
                desc { "A curve for the total and for each layer of " (count(exchanges)) " exchanges; the table below \
                        has the same." }
                rect.ground width="100%" height="210" {}
                (rules(&scale))
                (nines(end))
                svg width="100%" height="210" viewBox="0 0 10000 10000" preserveAspectRatio="none" {
                    @for curve in curves.iter().rev() {
                        path.curve.{ "s-" (curve.class) } d=(outline(curve, end, &scale)) {
                            title { (curve.name) }
                        }
                    }
                }
            }
        }
        ul.legend { @for curve in &curves { li { (line(curve.class)) (name(curve.name)) } } }
        details { summary { "The same as a table" } (table(book).markup()) }
    }
}

/// A piece of a curve, for the legend.
fn line(class: &str) -> Markup {
    html! {
        svg.swatch width="40" height="12" aria-hidden="true" focusable="false" {
            path.curve.{ "s-" (class) } d="M0 6H40" {}
        }
    }
}

/// Ticks at 0, 50, 90, 99, 99.9, …, as far as the curves go.
fn nines(end: f64) -> Markup {
    let percents = [0.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
    html! {
        @for value in percents.into_iter().filter(|value| place(*value) <= end + 1e-6) {
            @let x = 100.0 * place(value) / end;
            line.grid x1=(percent(x)) x2=(percent(x)) y1="0" y2="215" {}
            text.axis.wide[value == 75.0 || (end > 3.0 && value == 50.0)] x=(percent(x)) y="228"
                text-anchor=(anchor(x)) { (percentile(value)) @if value == 0.0 { " %" } }
        }
    }
}

/// The line through a curve's points; it begins where the time is no longer 0.
fn outline(curve: &Curve, end: f64, scale: &LogScale) -> String {
    let mut path = String::new();
    for (place, ns) in curve.points.iter().filter(|(_, ns)| *ns > 0.0) {
        let (x, y) = ((1e4 * place / end).round(), (1e4 - 100.0 * scale.place(*ns)).round());
        path.push_str(&format!("{}{x} {y}", if path.is_empty() { 'M' } else { 'L' }));
    }
    path
}

/// Heads of the table, as [`TABLE`].
const COLUMNS: [Column; 9] = [
    Column { head: "layer", field: "" },
    Column { head: "p0", field: "" },
    Column { head: "p50", field: "p50_ns" },
    Column { head: "p90", field: "p90_ns" },
    Column { head: "p99", field: "p99_ns" },
    Column { head: "p99.9", field: "" },
    Column { head: "p99.99", field: "" },
    Column { head: "p99.999", field: "" },
    Column { head: "max", field: "max_ns" },
];

fn table(book: &GroupBook) -> Table<'static> {
    let exchanges = book.totals.count();
    let row = |name: &str, at: &dyn Fn(f64) -> Option<u64>, max_ns| Row {
        key: name.to_owned(),
        head: Cell::Words(name.to_owned()),
        cells: TABLE
            .iter()
            .map(|percent| Cell::quantile(at(*percent)))
            .chain([Cell::quantile(max_ns)])
            .collect(),
    };
    let totals = &book.totals;
    let mut rows = vec![row("total", &|percent| totals.percentile_ns(percent), totals.max_ns())];
    rows.extend(book.layers().map(|(layer, times)| {
        row(layer.name(), &|percent| times.percentile_ns(percent, exchanges), times.max_ns())
    }));
    Table {
        kind: "curves",
        caption: "Percentiles of the total and of each layer".to_owned(),
        columns: &COLUMNS,
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_is_as_long_as_the_one_before() {
        for (value, at) in [(0.0, 0.0), (90.0, 1.0), (99.0, 2.0), (99.9, 3.0)] {
            assert!((place(value) - at).abs() < 1e-9, "{value}");
            assert!((percent_at(at) - value).abs() < 1e-9, "{value}");
        }
        assert!((place(50.0) - 0.301).abs() < 0.001);
    }

    #[test]
    fn the_line_of_percents_ends_where_the_longest_begins() {
        assert_eq!((reach(1), reach(20).round(), reach(1_000)), (1.0, 1.0, 3.0));
        assert_eq!(reach(u64::MAX), 6.0);
    }

    #[test]
    fn a_curve_begins_where_the_time_is_no_longer_nothing() {
        let scale = LogScale::of([1e3, 1e5].into_iter()).unwrap();
        let points = vec![(0.0, 0.0), (0.5, 1e3), (0.75, 1e4), (1.0, 1e5)];
        let curve = Curve { name: "vmm", class: "vmm", points };
        assert!(outline(&curve, 1.0, &scale).starts_with("M5000 10000"));
        assert!(outline(&curve, 1.0, &scale).ends_with("L10000 0"));
        let nothing = Curve { name: "vmm", class: "vmm", points: vec![(0.0, 0.0), (1.0, 0.0)] };
        assert!(outline(&nothing, 1.0, &scale).is_empty());
    }

    #[test]
    fn a_group_without_exchanges_has_no_curves() {
        assert!(plot(&GroupBook::default()).into_string().is_empty());
    }
}
