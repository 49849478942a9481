//! The layers' shares: of the window in one bar, of each second in stacked ones.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    look::{Look, apportion},
    titled,
};
use crate::{
    export::numbers,
    latency::Layer,
    live::shown::{LayerShown, Shown},
};

/// Columns of a layer in the legend.
const COLUMN: u16 = 26;
/// Rows from which on the stacked bars can be read.
const LOWEST: u16 = 4;

/// Those that there was time in.
fn present(shown: &Shown) -> impl Iterator<Item = &LayerShown> {
    shown.layers.iter().filter(|row| row.share > 0.0)
}

/// Rows that title, bar and legend need.
pub(super) fn rows(shown: &Shown, width: u16) -> u16 {
    2 + legend_rows(shown, width)
}

fn legend_rows(shown: &Shown, width: u16) -> u16 {
    (present(shown).count() as u16).div_ceil((width / COLUMN).max(1)).max(1)
}

/// Draws the bar, the legend, and where there is room the seconds.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shown: &Shown, look: Look) {
    let title = format!("Layers, share of the exchanges' time in {} s", shown.window);
    let area = titled(frame, area, title, look);
    let legend = legend_rows(shown, area.width);
    let [bar, names, seconds] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(legend), Constraint::Min(0)]).areas(area);
    if present(shown).next().is_none() {
        frame.render_widget(Line::styled("  no exchange yet", look.quiet()), bar);
    } else {
        frame.render_widget(Line::from(look.bar(&shown.totals.layers_ns, bar.width)), bar);
    }
    frame.render_widget(Paragraph::new(legend_lines(shown, names.width, look)), names);
    if seconds.height > LOWEST {
        history(frame, seconds, shown, look);
    }
}

fn legend_lines(shown: &Shown, width: u16, look: Look) -> Vec<Line<'static>> {
    let all: Vec<&LayerShown> = present(shown).collect();
    let name = |row: &&LayerShown| {
        let words = format!(
            " {} {} {}",
            row.layer.name(),
            numbers::percent(row.share).replace(" %", "%"),
            numbers::time(row.mean_ns)
        );
        [look.mark(row.layer), Span::raw(format!("{words:<width$}", width = usize::from(COLUMN) - 1))]
    };
    let line = |rows: &[&LayerShown]| Line::from(rows.iter().flat_map(name).collect::<Vec<_>>());
    all.chunks(usize::from((width / COLUMN).max(1))).map(line).collect()
}

/// A column a second, the youngest at the right.
fn history(frame: &mut Frame<'_>, area: Rect, shown: &Shown, look: Look) {
    let [title, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled("each second, now at the right; · no exchange", look.quiet()), title);
    // As many columns a second as there is room for.
    let seconds = shown.history.len().max(1) as u16;
    let wide = (area.width / seconds).max(1);
    let shown_seconds = (area.width / wide).min(seconds);
    let left = area.right() - shown_seconds * wide;
    let youngest = shown.history.len() - usize::from(shown_seconds).min(shown.history.len());
    for (second, x) in shown.history[youngest..].iter().zip((left..).step_by(usize::from(wide))) {
        let parts = apportion(&second.layers_ns, area.height);
        let mut y = area.bottom();
        for (layer, cells) in Layer::ALL.into_iter().zip(parts) {
            for _ in 0..cells {
                y -= 1;
                let mark = look.mark(layer);
                let cell = mark.content.repeat(usize::from(wide));
                frame.buffer_mut().set_string(x, y, cell, mark.style);
            }
        }
        if y == area.bottom() && area.height > 0 {
            frame.buffer_mut().set_string(x, y - 1, "·", look.quiet());
        }
    }
}
