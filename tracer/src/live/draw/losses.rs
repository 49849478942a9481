//! What was not measured, or not to its end.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Text},
    widgets::{Paragraph, Row, Wrap},
};

use super::{look::Look, scrolled, titled, words::right};
use crate::{
    export::numbers::{self, count},
    live::{shown::Shown, view::Passed},
    report::HopRow,
};

/// In two lines.
pub(super) fn brief(frame: &mut Frame<'_>, area: Rect, shown: &Shown, look: Look) {
    let area = titled(frame, area, "Losses".to_owned(), look);
    frame.render_widget(Paragraph::new(vec![of_window(shown), since_start(shown)]), area);
}

/// What became of the passages of the window.
fn of_window(shown: &Shown) -> Line<'static> {
    let Passed { count: all, dropped, unfinished, ambiguous } = shown.passed();
    Line::raw(format!(
        "last {} s: of {}, {} dropped, {} without an end, {} ambiguous",
        shown.window,
        numbers::counted(all, "passage"),
        count(dropped),
        count(unfinished),
        count(ambiguous)
    ))
}

fn since_start(shown: &Shown) -> Line<'static> {
    let standing = &shown.standing;
    Line::raw(format!(
        "since start: {} lost, {} dropped, {} unanswered, {} ambiguous answers",
        numbers::counted(standing.losses.ring_total, "event"),
        numbers::counted(standing.passages.dropped, "frame"),
        count(standing.unanswered),
        count(standing.ambiguous)
    ))
}

/// At length: each hop, drops, what else is to be known.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shown: &Shown, scroll: &mut u16, look: Look) {
    let area = titled(frame, area, "Losses".to_owned(), look);
    let more = further(shown);
    let rows = (more.len() as u16).min(area.height / 2);
    let [words, table, below] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(rows)]).areas(area);
    frame.render_widget(Paragraph::new(vec![of_window(shown), since_start(shown)]), words);
    hops(frame, table, shown, scroll, look);
    frame.render_widget(Paragraph::new(more).wrap(Wrap { trim: false }), below);
}

fn hops(frame: &mut Frame<'_>, area: Rect, shown: &Shown, scroll: &mut u16, look: Look) {
    let header = [
        Text::raw("hop, since start"),
        right("seen"),
        right("matched"),
        right("ambiguous"),
        right("lost"),
        right("coverage"),
    ];
    let widths = [
        Constraint::Min(16),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let (served, unserved): (Vec<&HopRow>, Vec<&HopRow>) =
        shown.standing.hops.iter().partition(|row| row.unserved.is_none() || row.seen > 0);
    let rows = served.into_iter().map(hop).chain(unserved.into_iter().map(silent)).collect();
    scrolled(frame, area, header, widths, rows, scroll, look);
}

fn hop(row: &HopRow) -> Row<'static> {
    Row::new([
        Text::raw(row.hop.clone()),
        right(count(row.seen)),
        right(count(row.matched)),
        right(count(row.ambiguous)),
        right(count(row.lost)),
        right(row.coverage.map_or(numbers::ABSENT.to_owned(), numbers::percent)),
    ])
}

fn silent(row: &HopRow) -> Row<'static> {
    Row::new([Text::raw(row.hop.clone()), right("no hook")])
}

/// What is seldom.
fn further(shown: &Shown) -> Vec<Line<'static>> {
    let losses = &shown.standing.losses;
    let mut lines: Vec<String> = Vec::new();
    let drops = losses.drops.iter().map(|drop| {
        format!("dropped after {} at {}: {} {}", drop.after, drop.device, count(drop.count), drop.reason)
    });
    lines.extend(drops);
    let vanished =
        losses.vanished.iter().map(|row| format!("after {}: {} {}", row.after, count(row.count), row.how));
    lines.extend(vanished);
    for (what, number) in [
        ("records that make no sense", losses.undecoded),
        ("events too late to be put in order", losses.late),
        ("passages given up for want of room", losses.evicted),
        ("events and passages too late to be shown", shown.too_late),
        ("program runs that the kernel skipped", losses.skipped.iter().map(|row| row.count).sum()),
        ("log messages, shown at the end", shown.moment.messages as u64),
    ] {
        if number > 0 {
            lines.push(format!("{what}: {}", count(number)));
        }
    }
    lines.extend(shown.notes.iter().map(|note| format!("note: {note}")));
    lines.into_iter().map(Line::from).collect()
}
