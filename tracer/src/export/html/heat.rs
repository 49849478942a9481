//! The heat map: when exchanges began, how long they took, how many they were. The darker (on a dark page: the brighter),
//! the more.

use maud::{Markup, html};

use super::{
    axis::{LogScale, anchor, linear_ticks, percent, tick},
    table::{Cell, Column, Row, Table},
};
use crate::{
    analysis::detail::HeatMap,
    export::numbers::{count, counted, time},
};

/// Shades, from few to most.
const SHADES: u64 = 5;
/// Stretches of time in the table.
const STRETCHES: usize = 10;

/// The map of a group whose figures were taken over `duration_ns`.
pub(super) fn map(heat: &HeatMap, duration_ns: u64) -> Markup {
    let Some((low, high)) = heat.rows() else { return html! {} };
    let bounds = [HeatMap::row_ns(low), HeatMap::row_ns(high + 1)];
    let Some(scale) = LogScale::of(bounds.into_iter()) else { return html! {} };
    let end_ns = duration_ns.max(heat.column_ns() * heat.columns() as u64);
    let description = format!(
        "{} between {} and {}; the fullest cell has {}. The table below has the same by stretches of time.",
        counted(heat.total(), "exchange"),
        time(bounds[0]),
        time(bounds[1]),
        count(heat.most()),
    );
    html! {
        div.plot {
            (levels(&scale))
            svg role="img" width="100%" height="240" {
                title { "Exchanges by the time they began and how long they took" }
                desc { (description) }
                svg width="100%" height="210" viewBox="0 0 10000 10000" preserveAspectRatio="none" {
                    rect.ground width="10000" height="10000" {}
                    @for shade in 0..SHADES {
                        path class={ "heat-" (shade) } d=(cells(heat, (low, high), shade, end_ns, &scale)) {}
                    }
                }
                (rules(&scale))
                (moments(end_ns))
            }
        }
        p.shades { "Exchanges in a cell: " @for (shade, words) in shades(heat.most()) {
            span { svg.swatch width="16" height="16" aria-hidden="true" focusable="false" {
                rect class={ "heat-" (shade) } width="16" height="16" rx="3" {}
            } (words) }
        } }
        details { summary { "The same as a table" } (stretches(heat).markup()) }
    }
}

/// Words at the powers of ten, left of a plot 210 px high.
pub(super) fn levels(scale: &LogScale) -> Markup {
    html! {
        svg.levels width="100%" height="240" aria-hidden="true" focusable="false" {
            @for ns in scale.ticks() {
                @let y = 210.0 - 2.1 * scale.place(ns);
                text.axis x="100%" y=(format!("{:.1}", (y + 4.0).clamp(10.0, 210.0))) text-anchor="end" { (tick(ns)) }
            }
        }
    }
}

/// Lines at the powers of ten.
pub(super) fn rules(scale: &LogScale) -> Markup {
    html! {
        @for ns in scale.ticks() {
            @let y = format!("{:.1}", 210.0 - 2.1 * scale.place(ns));
            line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
        }
    }
}

/// Words at round times, below the map.
fn moments(end_ns: u64) -> Markup {
    html! {
        @for (at, ns) in linear_ticks(end_ns).into_iter().enumerate() {
            @let place = 100.0 * ns as f64 / end_ns.max(1) as f64;
            line.grid x1=(percent(place)) x2=(percent(place)) y1="210" y2="215" {}
            text.axis.wide[at % 2 == 1] x=(percent(place)) y="228"
                text-anchor=(anchor(place)) { (tick(ns as f64)) }
        }
    }
}

/// The shade of a count, on a log scale up to the highest.
fn shade_of(count: u64, most: u64) -> u64 {
    if count <= 1 || most <= 1 {
        return if most <= 1 { SHADES - 1 } else { 0 };
    }
    let share = (count as f64).ln() / (most as f64).ln();
    (share * SHADES as f64).ceil() as u64 - 1
}

/// What each shade stands for; shades that no count can have are left out.
fn shades(most: u64) -> Vec<(u64, String)> {
    let mut shown = Vec::new();
    let mut from = 1;
    for shade in 0..SHADES {
        let (mut low, mut high) = (from, most + 1);
        // The first count that has a later shade.
        while low < high {
            let middle = low + (high - low) / 2;
            if shade_of(middle, most) > shade { high = middle } else { low = middle + 1 }
        }
        match low.saturating_sub(from) {
            0 => {}
            1 => shown.push((shade, count(from))),
            _ => shown.push((shade, format!("{} to {}", count(from), count(low - 1)))),
        }
        from = low;
    }
    shown
}

/// The outline of all cells of a shade; neighbours in time are one piece.
fn cells(heat: &HeatMap, (low, high): (usize, usize), shade: u64, end_ns: u64, scale: &LogScale) -> String {
    let most = heat.most();
    let is = |column, row| {
        let count = heat.count(column, row);
        count > 0 && shade_of(count, most) == shade
    };
    let x = |column: usize| (1e4 * (column as u64 * heat.column_ns()) as f64 / end_ns.max(1) as f64).round();
    let y = |row: usize| (1e4 - 100.0 * scale.place(HeatMap::row_ns(row))).round();
    let mut path = String::new();
    for row in low..=high {
        let mut column = 0;
        while column < heat.columns() {
            let end = (column..heat.columns()).find(|at| !is(*at, row)).unwrap_or(heat.columns());
            if end > column {
                let (left, right) = (x(column), x(end));
                path.push_str(&format!("M{left} {}V{}H{right}V{}z", y(row), y(row + 1), y(row)));
            }
            column = end + 1;
        }
    }
    path
}

/// The map in a few stretches of time.
fn stretches(heat: &HeatMap) -> Table<'static> {
    const COLUMNS: [Column; 5] = [
        Column { head: "from", field: "" },
        Column { head: "to", field: "" },
        Column { head: "exchanges", field: "" },
        Column { head: "fastest from", field: "" },
        Column { head: "slowest up to", field: "" },
    ];
    let wide = heat.columns().div_ceil(STRETCHES).max(1);
    let at = |column: usize| column as f64 * heat.column_ns() as f64;
    let row = |start: usize| {
        let columns = start..(start + wide).min(heat.columns());
        let (low, high) = heat.rows().unwrap_or_default();
        let sum = |row: usize| columns.clone().map(|column| heat.count(column, row)).sum::<u64>();
        let fastest = (low..=high).find(|row| sum(*row) > 0).map(HeatMap::row_ns);
        let slowest = (low..=high).rev().find(|row| sum(*row) > 0).map(|row| HeatMap::row_ns(row + 1));
        let exchanges = (low..=high).map(sum).sum();
        let cells = vec![
            Cell::Time(Some(at(columns.end))),
            Cell::count(exchanges),
            Cell::Time(fastest),
            Cell::Time(slowest),
        ];
        Row { key: start.to_string(), head: Cell::Words(time(at(start))), cells }
    };
    Table {
        kind: "heat",
        caption: "Exchanges by the time they began".to_owned(),
        columns: &COLUMNS,
        rows: (0..heat.columns()).step_by(wide).map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heat() -> HeatMap {
        let mut heat = HeatMap::default();
        (0..2_000u64).for_each(|number| heat.record(number * 1_000_000, 1_000 * (1 + number * number % 997)));
        heat
    }

    #[test]
    fn each_cell_has_one_shade() {
        let heat = heat();
        let scale = LogScale::of([1e3, 1e6].into_iter()).unwrap();
        let rows = heat.rows().unwrap();
        let outlines: Vec<String> =
            (0..SHADES).map(|shade| cells(&heat, rows, shade, 2_000_000_000, &scale)).collect();
        let drawn: usize = outlines.iter().map(|outline| outline.matches('M').count()).sum();
        let used = |row| (0..heat.columns()).filter(|column| heat.count(*column, row) > 0).count();
        assert!(drawn > 0 && drawn <= (rows.0..=rows.1).map(used).sum());
    }

    #[test]
    fn the_highest_count_has_the_last_shade_and_one_the_first() {
        for most in [2, 3, 10, 12_345] {
            assert_eq!((shade_of(1, most), shade_of(most, most)), (0, SHADES - 1), "{most}");
            let shown = shades(most);
            assert_eq!((shown[0].0, shown.last().unwrap().0), (0, SHADES - 1), "{shown:?}");
        }
        assert_eq!(shades(1), [(SHADES - 1, "1".to_owned())]);
        assert_eq!(shades(2), [(0, "1".to_owned()), (4, "2".to_owned())]);
    }

    #[test]
    fn the_table_has_every_exchange() {
        let heat = heat();
        let table = stretches(&heat);
        let counts = table.rows.iter().map(|row| match row.cells[1] {
            Cell::Count(Some(count)) => count,
            _ => panic!("no count"),
        });
        assert_eq!(counts.sum::<u64>(), 2_000);
        assert!(table.rows.len() <= STRETCHES);
    }

    #[test]
    fn an_empty_map_is_nothing() {
        assert!(map(&HeatMap::default(), 0).into_string().is_empty());
    }
}
