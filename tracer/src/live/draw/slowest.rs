//! The slowest exchanges of the window.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Text},
    widgets::Row,
};

use super::{look::Look, scrolled, titled, words::right};
use crate::{
    export::numbers,
    live::{
        keys::Ui,
        shown::{Shown, SlowRow},
        view::Order,
    },
};

/// From here on there is room for the longest segment.
const WIDE: u16 = 130;
/// And from here on for milliseconds, and for who asked.
const ROOMY: u16 = 90;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shown: &Shown, ui: &Ui, look: Look) {
    let by = match ui.order {
        Order::Total => "total".to_owned(),
        Order::Layer(layer) => format!("time in {}", layer.name()),
    };
    let area = titled(frame, area, format!("Slowest by {by}, at UTC"), look);
    if shown.slowest.is_empty() {
        frame.render_widget(Line::styled("  no exchange in this time", look.quiet()), area);
        return;
    }
    let bar = (area.width / 4).clamp(12, 40);
    let longest = if area.width >= WIDE { 40 } else { 0 };
    let roomy = area.width >= ROOMY;
    let clock = if roomy { 12 } else { 8 };
    let header = [
        Text::raw("at"),
        Text::raw("kind"),
        Text::raw("flow of the question"),
        right("total"),
        Text::raw("by layer"),
        Text::raw(if longest > 0 { "longest segment" } else { "" }),
    ];
    let widths = [
        Constraint::Length(clock),
        Constraint::Length(4),
        Constraint::Min(20),
        Constraint::Length(7),
        Constraint::Length(bar),
        Constraint::Length(longest),
    ];
    let rows = shown.slowest.iter().map(|row| exchange(row, bar, roomy, look)).collect();
    scrolled(frame, area, header, widths, rows, &mut ui.scroll.clone(), look);
}

fn exchange(row: &SlowRow, bar: u16, roomy: bool, look: Look) -> Row<'static> {
    let asked = if roomy { format!(" ({})", row.initiator) } else { String::new() };
    Row::new([
        Text::raw(row.clock.clone()),
        Text::raw(row.kind),
        Text::raw(format!("{}{asked}", row.flow)),
        right(numbers::time(row.total_ns as f64)),
        Text::from(Line::from(look.bar(&row.layers_ns, bar))),
        Text::raw(row.longest.clone()),
    ])
}
