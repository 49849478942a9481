//! The way of the frames: drawn with the mean on its arrows, and as a table with the percentiles.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span, Text},
    widgets::{Paragraph, Row},
};

use super::{
    look::{Look, layer_named},
    scrolled, titled,
    words::right,
};
use crate::{
    export::{numbers, text::path},
    live::shown::Shown,
    report::{Passages, SegmentRow},
};

/// The drawing for a width.
pub(super) fn lines(shown: &Shown, width: u16) -> Vec<String> {
    // Every way that frames took in the window is drawn.
    let any = Passages { transmitted: 1, received: 1, between_guests: 1, ..Passages::default() };
    let mut drawn = Vec::new();
    // Memory takes whatever is written to it.
    let _ = path::write(&shown.segments, &any, usize::from(width), &mut drawn);
    let drawn = String::from_utf8_lossy(&drawn);
    let lines: Vec<String> =
        drawn.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end().to_owned()).collect();
    if lines.is_empty() { vec!["  no frame has come to its end yet".to_owned()] } else { lines }
}

/// Draws it.
pub(super) fn drawing(frame: &mut Frame<'_>, area: Rect, lines: Vec<String>, look: Look) {
    let area = titled(frame, area, "Path, mean times".to_owned(), look);
    frame.render_widget(Paragraph::new(lines.into_iter().map(Line::from).collect::<Vec<_>>()), area);
}

/// Draws the segments as a table.
pub(super) fn table(frame: &mut Frame<'_>, area: Rect, shown: &Shown, scroll: &mut u16, look: Look) {
    let area = titled(frame, area, "Segments".to_owned(), look);
    let longest = shown.segments.iter().filter_map(|row| row.mean_ns).fold(0.0, f64::max);
    let bar = area.width.saturating_sub(76).clamp(4, 40);
    let rows = shown.segments.iter().map(|row| segment(row, longest, bar, look)).collect();
    let header = [
        Text::raw("way"),
        Text::raw("from → to"),
        Text::raw(" "),
        right("count"),
        right("mean"),
        right("p50"),
        right("p99"),
        Text::raw("mean"),
    ];
    let widths = [
        Constraint::Length(8),
        Constraint::Min(24),
        Constraint::Length(1),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(bar),
    ];
    scrolled(frame, area, header, widths, rows, scroll, look);
}

fn segment(row: &SegmentRow, longest: f64, bar: u16, look: Look) -> Row<'static> {
    let mark = layer_named(&row.layer).map_or_else(|| Span::raw(" "), |layer| look.mark(layer));
    let share = if longest > 0.0 { row.mean_ns.unwrap_or_default() / longest } else { 0.0 };
    let negative = if row.negative > 0 { "!" } else { "" };
    Row::new([
        Text::raw(row.way.clone()),
        Text::raw(format!("{} → {}", row.from, row.to)),
        Text::from(mark),
        right(format!("{negative}{}", numbers::count(row.count))),
        right(numbers::mean(row.mean_ns)),
        right(numbers::quantile(row.p50_ns)),
        right(numbers::quantile(row.p99_ns)),
        Text::raw(numbers::bar(share, usize::from(bar))),
    ])
}
