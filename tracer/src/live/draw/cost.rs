//! What the tracing costs this host. Shares are of one CPU.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Text},
    widgets::Row,
};

use super::{look::Look, scrolled, titled, words, words::right};
use crate::{
    export::numbers,
    live::shown::{ProgramShown, Shown},
};

/// In one line.
pub(super) fn brief(frame: &mut Frame<'_>, area: Rect, shown: &Shown, _look: Look) {
    frame.render_widget(Line::raw(format!("cost: {}", sentence(shown))), area);
}

fn sentence(shown: &Shown) -> String {
    let cost = &shown.cost;
    let events = if shown.seconds > 0.0 { shown.totals.events as f64 / shown.seconds } else { 0.0 };
    let shares = if cost.seconds > 0.0 {
        format!(
            "programs {} and vmhop {} of a CPU",
            numbers::percent(cost.programs_share),
            numbers::percent(cost.reader_share)
        )
    } else {
        "not measured yet".to_owned()
    };
    format!("{shares}; {} events/s", words::a_second(events))
}

/// With each program.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shown: &Shown, scroll: &mut u16, look: Look) {
    let area = titled(frame, area, "Cost".to_owned(), look);
    let [line, table] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::raw(sentence(shown)), line);
    let header = [Text::raw("program"), right("runs/s"), right("time a run"), right("of a CPU")];
    let widths = [Constraint::Min(24), Constraint::Length(11), Constraint::Length(11), Constraint::Length(9)];
    let ran = shown.cost.programs.iter().filter(|program| program.runs > 0.0);
    scrolled(frame, table, header, widths, ran.map(program).collect(), scroll, look);
}

fn program(program: &ProgramShown) -> Row<'static> {
    Row::new([
        Text::raw(program.name.clone()),
        right(words::a_second(program.runs)),
        right(numbers::time(program.run_ns)),
        right(numbers::percent(program.share)),
    ])
}
