//! The table of segments as CSV (RFC 4180): a line of names, then one line a segment.

use std::{
    borrow::Cow,
    io::{self, Write as _},
};

use csv::{QuoteStyle, Writer, WriterBuilder};
use serde::Serialize;

use super::{
    exporter::Target,
    table::{Row, RowWriter},
};
use crate::topology::printable;

/// The columns, in order; a field that is not known is empty.
#[derive(Serialize)]
struct Line<'a> {
    exchange: u64,
    kind: &'a str,
    initiator: &'a str,
    vm: Cow<'a, str>,
    start_ns: i64,
    start_unix_ns: Option<i64>,
    total_ns: i64,
    segment: u32,
    way: &'a str,
    from: Cow<'a, str>,
    to: Cow<'a, str>,
    from_hook: &'a str,
    to_hook: &'a str,
    layer: &'a str,
    offset_ns: i64,
    time_ns: i64,
}

/// Writes the lines.
pub(super) struct Rows<'a> {
    lines: Writer<Target<'a>>,
}

impl<'a> Rows<'a> {
    pub(super) fn begin(mut out: Target<'a>) -> io::Result<Rows<'a>> {
        // Written here: the columns are named also where there is no exchange.
        out.write_all(
            b"exchange,kind,initiator,vm,start_ns,start_unix_ns,total_ns,segment,way,from,to,from_hook,\
              to_hook,layer,offset_ns,time_ns\n",
        )?;
        let lines =
            WriterBuilder::new().has_headers(false).quote_style(QuoteStyle::Necessary).from_writer(out);
        Ok(Rows { lines })
    }
}

/// A name that others chose, as text: control characters become escapes, and what a spreadsheet would take for a formula
/// gets an apostrophe before it.
fn name(name: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_ascii_graphic() || c == ' ';
    match name.chars().next() {
        Some('=' | '+' | '-' | '@') => Cow::Owned(format!("'{}", printable(name))),
        _ if name.chars().all(harmless) => Cow::Borrowed(name),
        _ => Cow::Owned(printable(name)),
    }
}

impl RowWriter for Rows<'_> {
    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let Row { exchange, kind, initiator, vm, start_ns, start_unix_ns, total_ns, segment, .. } = *row;
        let Row { way, from, to, from_hook, to_hook, layer, offset_ns, time_ns, .. } = *row;
        let (vm, from, to) = (name(vm), name(from), name(to));
        let line = Line {
            exchange,
            kind,
            initiator,
            vm,
            start_ns,
            start_unix_ns,
            total_ns,
            segment,
            way,
            from,
            to,
            from_hook,
            to_hook,
            layer,
            offset_ns,
            time_ns,
        };
        // The writer's own error stays what it is: a pipe that broke is no failure.
        self.lines.serialize(line).map_err(io::Error::from)
    }

    fn end(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufWriter;

    use super::{super::table::tests::ROW, *};

    fn lines(rows: &[Row<'_>]) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        let mut writer = Rows::begin(BufWriter::new(&mut out)).unwrap();
        rows.iter().for_each(|row| writer.row(row).unwrap());
        writer.end().unwrap();
        drop(writer);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
        reader.records().map(|line| line.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_line_has_a_field_for_each_name() {
        let lines = lines(&[ROW, Row { start_unix_ns: None, time_ns: -3, ..ROW }]);
        assert_eq!(lines.len(), 3);
        let field = |line: usize, name: &str| {
            let column = lines[0].iter().position(|column| column == name).unwrap();
            lines[line][column].as_str()
        };
        assert_eq!((field(1, "start_unix_ns"), field(1, "time_ns")), ("1700000000000001000", "20"));
        assert_eq!((field(2, "start_unix_ns"), field(2, "time_ns")), ("", "-3"));
        assert_eq!((field(1, "from"), field(1, "layer"), field(1, "vm")), ("nic.rx", "nic", "lab"));
        assert_eq!((field(1, "from_hook"), field(1, "offset_ns"), field(1, "total_ns")), ("xdp", "0", "500"));
    }

    #[test]
    fn a_name_is_one_field_and_no_formula() {
        let vm = |name| lines(&[Row { vm: name, ..ROW }])[1][3].clone();
        assert_eq!(vm("a,\"b\""), "a,\"b\"");
        assert_eq!(vm("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(vm("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(vm("bücher"), "bücher");
    }
}
