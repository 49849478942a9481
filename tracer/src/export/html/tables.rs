//! Tables of what a report says of latency: layers and segments, with the figures of the JSON in each cell.

use maud::Markup;

use super::{
    path,
    style::layer_label,
    table::{Cell, Column, Row, Table},
};
use crate::{
    export::numbers::name,
    recording::Mode,
    report::{LayerRow, SegmentRow},
};

/// A column with a field of the JSON, or without.
pub(super) const fn column(head: &'static str, field: &'static str) -> Column {
    Column { head, field }
}

const LAYERS: [Column; 7] = [
    column("layer", ""),
    column("mean", "mean_ns"),
    column("share", "share"),
    column("p50", "p50_ns"),
    column("p90", "p90_ns"),
    column("p99", "p99_ns"),
    column("max", "max_ns"),
];

/// Over all groups there are only means, which add up.
const LAYERS_OF_ALL: &[Column] = LAYERS.split_at(3).0;

const SEGMENTS: [Column; 10] = [
    column("segment", ""),
    column("way", ""),
    column("layer", ""),
    column("count", "count"),
    column("mean", "mean_ns"),
    column("p50", "p50_ns"),
    column("p90", "p90_ns"),
    column("p99", "p99_ns"),
    column("max", "max_ns"),
    column("negative", "negative"),
];

/// Layers of one group.
pub(crate) fn layers(rows: &[LayerRow], caption: &str) -> Markup {
    let row = |row: &LayerRow| {
        let mut shown = mean_row(row);
        shown.cells.extend([row.p50_ns, row.p90_ns, row.p99_ns, row.max_ns].map(Cell::quantile));
        shown
    };
    let rows = rows.iter().map(row).collect();
    Table { kind: "layers", caption: caption.to_owned(), columns: &LAYERS, rows }.markup()
}

/// Layers over all groups; in histogram mode of a frame.
pub(super) fn all_layers(rows: &[LayerRow], mode: Mode) -> Markup {
    let rows = rows.iter().map(mean_row).collect();
    let caption = match mode {
        Mode::Stream => "Layers over all exchanges",
        Mode::Histogram => "Time of a frame in the host, by layer",
    };
    let caption = caption.to_owned();
    Table { kind: "layers", caption, columns: LAYERS_OF_ALL, rows }.markup()
}

fn mean_row(row: &LayerRow) -> Row {
    Row {
        key: row.layer.clone(),
        head: Cell::Markup(layer_label(&row.layer)),
        cells: vec![Cell::Time(Some(row.mean_ns)), Cell::Share(Some(row.share))],
    }
}

/// Segments of a group or of all passages. Whether later hops were stamped earlier is shown only where some were.
pub(crate) fn segments(rows: &[SegmentRow], caption: &str) -> Markup {
    let defects = rows.iter().any(|row| row.negative > 0);
    let columns = if defects { &SEGMENTS[..] } else { &SEGMENTS[..SEGMENTS.len() - 1] };
    let row = |row: &SegmentRow| {
        let mut cells = vec![
            Cell::Words(row.way.clone()),
            Cell::Markup(layer_label(&row.layer)),
            Cell::count(row.count),
            Cell::Time(row.mean_ns),
        ];
        cells.extend([row.p50_ns, row.p90_ns, row.p99_ns, row.max_ns].map(Cell::quantile));
        if defects {
            cells.push(Cell::count(row.negative));
        }
        let head = Cell::Words(format!("{} → {}", name(&row.from), name(&row.to)));
        Row { key: path::key(row), head, cells }
    };
    let rows = rows.iter().map(row).collect();
    Table { kind: "segments", caption: caption.to_owned(), columns, rows }.markup()
}
