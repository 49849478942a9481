//! Tables: a caption, heads with a scope, numbers aligned, and each value as in the JSON beside its words. Wide ones scroll
//! in a region of their own that the keyboard reaches.

use maud::{Markup, html};

use crate::export::numbers::{self, ABSENT};

/// A cell's content.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// Words; those from the host are escaped here.
    Words(String),
    /// A time, ns.
    Time(Option<f64>),
    /// A count.
    Count(Option<u64>),
    /// A share, 0 to 1.
    Share(Option<f64>),
    /// Another number, with the words for it.
    Number(Option<f64>, String),
    /// Ready markup, not a number.
    Markup(Markup),
}

impl Cell {
    /// A percentile.
    pub(crate) fn quantile(ns: Option<u64>) -> Cell {
        Cell::Time(ns.map(|ns| ns as f64))
    }

    /// A count that is there.
    pub(crate) fn count(count: u64) -> Cell {
        Cell::Count(Some(count))
    }

    fn is_number(&self) -> bool {
        !matches!(self, Cell::Words(_) | Cell::Markup(_))
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its head.
    pub head: &'static str,
    /// The field of the JSON that it shows, empty for words.
    pub field: &'static str,
}

/// A row: its head, and the cells behind it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What it is of, for programs: unique in its table, not escaped for people.
    pub key: String,
    /// What it is of, for people.
    pub head: Cell,
    /// The other columns.
    pub cells: Vec<Cell>,
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table<'a> {
    /// What is in it, for programs: `layers`, `segments`, ….
    pub kind: &'a str,
    /// What is in it, for people.
    pub caption: String,
    /// The first one's cells are the heads of rows.
    pub columns: &'a [Column],
    /// Rows.
    pub rows: Vec<Row>,
}

impl Table<'_> {
    /// The table in its region.
    pub(crate) fn markup(&self) -> Markup {
        let caption = numbers::name(&self.caption);
        let numeric = |at: usize| self.rows.first().is_some_and(|row| row.cells[at - 1].is_number());
        html! {
            div.scroll role="region" aria-label=(caption) tabindex="0" {
                table data-table=(self.kind) {
                    caption { (caption) }
                    thead { tr {
                        @for (at, column) in self.columns.iter().enumerate() {
                            th scope="col" class=[(at > 0 && numeric(at)).then_some("number")]
                                data-field=[(!column.field.is_empty()).then_some(column.field)] { (column.head) }
                        }
                    } }
                    tbody { @for row in &self.rows { (row_markup(row)) } }
                }
            }
        }
    }
}

fn row_markup(row: &Row) -> Markup {
    html! {
        tr data-key=(numbers::name(&row.key)) {
            th scope="row" { (inner(&row.head)) }
            @for cell in &row.cells { (cell_markup(cell)) }
        }
    }
}

fn cell_markup(cell: &Cell) -> Markup {
    let inner = inner(cell);
    match cell {
        Cell::Words(_) | Cell::Markup(_) => html! { td { (inner) } },
        Cell::Time(ns) => html! { td.number data-ns=[*ns] { (inner) } },
        Cell::Count(count) => html! { td.number data-value=[*count] { (inner) } },
        Cell::Share(share) => html! { td.number data-value=[*share] { (inner) } },
        Cell::Number(number, _) => html! { td.number data-value=[*number] { (inner) } },
    }
}

fn inner(cell: &Cell) -> Markup {
    let words = match cell {
        Cell::Markup(markup) => return markup.clone(),
        Cell::Words(words) => numbers::name(words),
        Cell::Time(ns) => numbers::mean(*ns),
        Cell::Count(count) => count.map_or_else(|| ABSENT.to_owned(), numbers::count),
        Cell::Share(share) => share.map_or_else(|| ABSENT.to_owned(), numbers::percent),
        Cell::Number(_, shown) => shown.clone(),
    };
    html! { (words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_value_beside_its_words() {
        for (cell, shown) in [
            (Cell::Time(Some(1500.25)), r#"<td class="number" data-ns="1500.25">1.50 µs</td>"#),
            (Cell::Time(None), r#"<td class="number">–</td>"#),
            (Cell::count(1234), r#"<td class="number" data-value="1234">1,234</td>"#),
            (Cell::Share(Some(0.5)), r#"<td class="number" data-value="0.5">50.0 %</td>"#),
            (Cell::Words("<\u{7}".to_owned()), "<td>&lt;\\u{7}</td>"),
        ] {
            assert_eq!(cell_markup(&cell).into_string(), shown);
        }
    }

    #[test]
    fn heads_have_their_scope_and_the_region_its_name() {
        let columns = [Column { head: "a", field: "" }, Column { head: "b", field: "b_ns" }];
        let rows = vec![Row {
            key: "k".to_owned(),
            head: Cell::Words("r".to_owned()),
            cells: vec![Cell::Time(Some(1.0))],
        }];
        let table = Table { kind: "t", caption: "The <caption>".to_owned(), columns: &columns, rows };
        let shown = table.markup().into_string();
        assert!(shown.contains(r#"aria-label="The &lt;caption&gt;" tabindex="0""#), "{shown}");
        assert!(shown.contains(r#"<th scope="col" class="number" data-field="b_ns">b</th>"#), "{shown}");
        assert!(shown.contains(r#"<tr data-key="k"><th scope="row">r</th>"#), "{shown}");
    }
}
