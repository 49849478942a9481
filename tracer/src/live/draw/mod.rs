//! What is shown, laid out on a terminal of whatever size: a head, a page, the keys. Pure: a function of plain data.

mod cost;
mod head;
mod help;
mod layers;
mod look;
mod losses;
mod path;
mod slowest;
#[cfg(test)]
mod tests;
mod words;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect, Size},
    style::Modifier,
    text::{Line, Text},
    widgets::{Block, Borders, Paragraph, Row, Table, Wrap},
};

pub use self::look::Look;
use super::{
    keys::{Page, Ui},
    shown::Shown,
};

/// The smallest terminal that anything can be read on.
const SMALLEST: Size = Size { width: 60, height: 16 };
/// From here on all is on the first page.
const LARGE: Size = Size { width: 120, height: 36 };

/// Draws it. What is scrolled beyond the end is scrolled back.
pub fn draw(frame: &mut Frame<'_>, shown: &Shown, ui: &mut Ui, look: Look) {
    let area = frame.area();
    if area.width < SMALLEST.width || area.height < SMALLEST.height {
        return too_small(frame, area);
    }
    let [above, page, below] =
        Layout::vertical([Constraint::Length(head::ROWS), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    head::draw(frame, above, shown, ui, look);
    draw_page(frame, page, shown, ui, look);
    help::footer(frame, below, ui, look);
    if ui.help {
        help::draw(frame, page, look);
    }
}

fn draw_page(frame: &mut Frame<'_>, area: Rect, shown: &Shown, ui: &mut Ui, look: Look) {
    let scroll = &mut ui.scroll;
    match ui.page {
        Page::Overview if area.width >= LARGE.width && area.height >= LARGE.height - head::ROWS => {
            large(frame, area, shown, ui, look);
        }
        Page::Overview => small(frame, area, shown, ui, look),
        Page::Path => path::table(frame, area, shown, scroll, look),
        Page::Layers => layers::draw(frame, area, shown, look),
        Page::Slowest => slowest::draw(frame, area, shown, ui, look),
        Page::Losses => losses::draw(frame, area, shown, scroll, look),
        Page::Cost => cost::draw(frame, area, shown, scroll, look),
    }
}

/// The most important of everything.
fn small(frame: &mut Frame<'_>, area: Rect, shown: &Shown, ui: &Ui, look: Look) {
    let drawing = path::lines(shown, area.width);
    let path_rows = (drawing.len() as u16 + 1).min(area.height / 2);
    let layer_rows = layers::rows(shown, area.width).min(5);
    let [path, layers, slowest, losses, cost] = Layout::vertical([
        Constraint::Length(path_rows),
        Constraint::Length(layer_rows),
        Constraint::Min(3),
        Constraint::Length(3),
        Constraint::Length(1),
    ])
    .areas(area);
    path::drawing(frame, path, drawing, look);
    layers::draw(frame, layers, shown, look);
    slowest::draw(frame, slowest, shown, ui, look);
    losses::brief(frame, losses, shown, look);
    cost::brief(frame, cost, shown, look);
}

/// Everything side by side.
fn large(frame: &mut Frame<'_>, area: Rect, shown: &Shown, ui: &mut Ui, look: Look) {
    let drawing = path::lines(shown, area.width);
    let [above, middle, below] = Layout::vertical([
        Constraint::Length(drawing.len() as u16 + 1),
        Constraint::Min(10),
        Constraint::Length((area.height / 3).min(15)),
    ])
    .areas(area);
    path::drawing(frame, above, drawing, look);
    let [left, right] = halves(middle);
    path::table(frame, left, shown, &mut 0, look);
    layers::draw(frame, right, shown, look);
    let [left, right] = halves(below);
    slowest::draw(frame, left, shown, ui, look);
    let [losses, cost] = Layout::vertical([Constraint::Min(6), Constraint::Length(5)]).areas(right);
    losses::draw(frame, losses, shown, &mut 0, look);
    cost::draw(frame, cost, shown, &mut 0, look);
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area)
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let words = format!(
        "{}×{} is too small for vmhop live: make the terminal {}×{} or larger, or press q to end.",
        area.width, area.height, SMALLEST.width, SMALLEST.height
    );
    frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
}

/// Draws a line with a title, and gives the room below.
fn titled(frame: &mut Frame<'_>, area: Rect, title: String, look: Look) -> Rect {
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(look.quiet())
        .title(Line::styled(format!(" {title} "), look.strong().remove_modifier(Modifier::DIM)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

/// Draws a table, as far as there is room, from the row on that `scroll` says.
fn scrolled<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    header: [Text<'_>; N],
    widths: [Constraint; N],
    rows: Vec<Row<'_>>,
    scroll: &mut u16,
    look: Look,
) {
    let room = usize::from(area.height.saturating_sub(1));
    let last = rows.len().saturating_sub(room).min(usize::from(u16::MAX));
    *scroll = (*scroll).min(last as u16);
    let rows = rows.into_iter().skip(usize::from(*scroll)).take(room);
    let table = Table::new(rows, widths).column_spacing(1).header(Row::new(header).style(look.quiet()));
    frame.render_widget(table, area);
}
