//! The rows above each page: what is shown, what must be known of it, the traffic, the exchanges, the pages.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{look::Look, words};
use crate::{
    export::numbers,
    latency::Layer,
    live::{
        keys::{Page, Ui},
        shown::{Rate, Shown},
    },
};

/// How many rows.
pub(super) const ROWS: u16 = 4;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shown: &Shown, ui: &Ui, look: Look) {
    let [title, traffic, exchanges, tabs] =
        Layout::vertical([Constraint::Length(1); ROWS as usize]).areas(area);
    let states = states(shown, ui);
    let width = states.iter().map(|state| state.chars().count() as u16 + 3).sum();
    let [left, right] = Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(title);
    frame.render_widget(title_line(shown, look), left);
    let state = |state: &String| [Span::raw(" "), Span::styled(format!(" {state} "), look.alarm())];
    frame.render_widget(Line::from(states.iter().flat_map(state).collect::<Vec<_>>()), right);
    frame.render_widget(traffic_line(shown, look), traffic);
    frame.render_widget(exchanges_line(shown, look), exchanges);
    frame.render_widget(tabs_line(ui, look), tabs);
}

fn title_line(shown: &Shown, look: Look) -> Line<'static> {
    let mut line = vec![Span::styled("vmhop live", look.strong()), Span::raw(format!("  {}", shown.vm))];
    line.push(Span::raw(format!(", last {} s", shown.window)));
    if !shown.filter.is_empty() {
        line.push(Span::raw(format!(", filter: {}", shown.filter)));
    }
    Line::from(line)
}

/// What must be known of the figures.
fn states(shown: &Shown, ui: &Ui) -> Vec<String> {
    let behind = shown.moment.behind_ns.map(|ns| format!("BEHIND {}", numbers::time(ns as f64)));
    let lost = (shown.cost.lost > 0).then(|| format!("{} EVENTS LOST", numbers::count(shown.cost.lost)));
    let paused = ui.paused.then(|| "PAUSED".to_owned());
    behind.into_iter().chain(lost).chain(paused).collect()
}

fn traffic_line(shown: &Shown, look: Look) -> Line<'static> {
    let rate = |Rate { frames, bytes }: Rate| {
        Span::raw(format!("{} frames/s, {}", words::a_second(frames), words::bytes_a_second(bytes)))
    };
    let [out, into] = shown.rates;
    Line::from(vec![
        Span::styled("out of guest ", look.quiet()),
        rate(out),
        Span::styled("   into guest ", look.quiet()),
        rate(into),
    ])
}

fn exchanges_line(shown: &Shown, look: Look) -> Line<'static> {
    let figures = &shown.totals.exchanges;
    let unattributed = shown.layers.iter().find(|row| row.layer == Layer::Unattributed);
    let residual = unattributed.filter(|_| figures.count > 0).map(|row| row.share);
    let quiet = |text: &'static str| Span::styled(text, look.quiet());
    Line::from(vec![
        quiet("exchanges "),
        Span::raw(numbers::count(figures.count)),
        quiet("  mean "),
        Span::raw(numbers::mean(figures.mean_ns)),
        quiet("  p50 "),
        Span::raw(numbers::quantile(figures.p50_ns)),
        quiet("  p99 "),
        Span::raw(numbers::quantile(figures.p99_ns)),
        quiet("  residual "),
        Span::raw(residual.map_or(numbers::ABSENT.to_owned(), numbers::percent)),
    ])
}

fn tabs_line(ui: &Ui, look: Look) -> Line<'static> {
    let tab = |(number, page): (usize, Page)| match page == ui.page {
        true => Span::styled(format!("[{} {}] ", number + 1, page.name()), look.chosen()),
        false => Span::styled(format!(" {} {}  ", number + 1, page.name()), look.quiet()),
    };
    Line::from(Page::ALL.into_iter().enumerate().map(tab).collect::<Vec<_>>())
}
