//! What the keys do: in a row at the bottom, and at more length above the page.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span, Text},
    widgets::{Block, Borders, Clear, Paragraph},
};

use super::look::Look;
use crate::{latency::Layer, live::keys::Ui};

/// The row of keys.
pub(super) fn footer(frame: &mut Frame<'_>, area: Rect, ui: &Ui, look: Look) {
    let keys = [
        ("q", "quit".to_owned()),
        ("Tab", "page".to_owned()),
        ("w", format!("{} s", ui.window.seconds())),
        ("v", "VM".to_owned()),
        ("s", format!("sort {}", ui.order.name())),
        ("p", if ui.paused { "go on" } else { "pause" }.to_owned()),
        ("?", "help".to_owned()),
    ];
    let key = |(key, what): &(&'static str, String)| {
        [Span::styled(*key, look.chosen()), Span::raw(format!(" {what}   "))]
    };
    frame.render_widget(Line::from(keys.iter().flat_map(key).collect::<Vec<_>>()), area);
}

/// What stands above the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let mut lines: Vec<Line<'_>> = KEYS.iter().map(|line| Line::raw(*line)).collect();
    let mut letters = vec![Span::raw("Layers:")];
    for layer in Layer::ALL {
        letters.extend([Span::raw(" "), look.mark(layer), Span::raw(format!(" {}", layer.name()))]);
    }
    // Two lines of letters, for narrow terminals.
    let rest = letters.split_off(1 + 3 * (Layer::ALL.len() / 2));
    lines.extend([Line::from(letters), Line::from([vec![Span::raw("       ")], rest].concat())]);
    let width = area.width.min(74);
    let height = area.height.min(lines.len() as u16 + 2);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = Block::new().borders(Borders::ALL).title(Span::styled(" Keys; ? closes ", look.strong()));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(Text::from(lines)).block(block), place);
}

const KEYS: [&str; 10] = [
    "q, Ctrl-C    end; the terminal is as it was",
    "Tab, 1–6     another page; arrows and Page keys scroll it",
    "w            figures of the last 2, 10 or 60 seconds",
    "v            one VM after the other alone, then all",
    "s            the slowest by their total, or by their time in a layer",
    "p            hold the figures; what is seen meanwhile is not lost",
    "Figures come up to a second late: an answer is awaited first.",
    "p50, p99     half, 99 of 100 take no longer",
    "residual     time of exchanges that no layer can be charged with",
    "lost         events that vmhop did not get: frames are not lost by it",
];
