//! Tables without borders: the first columns are words, the others numbers.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

/// Writes a table, indented; its first `words` columns are aligned left.
pub(in crate::export) fn write(
    header: &[&str],
    words: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if at < words { CellAlignment::Left } else { CellAlignment::Right });
    }
    for line in table.lines() {
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}
