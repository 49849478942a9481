//! The tidy table of segments (schema `vmhop.segments/1`, docs/formats.md): one row a segment of an exchange.
//!
//! Not in here: how a row is written; see `csv` and `parquet`.

use std::io;

use super::{
    exporter::Stream,
    names::{self, Names},
};
use crate::{
    correlate::{Passage, exchange::Exchange},
    latency::spans_of,
    recording::{Header, Note},
    report::Report,
};

/// Name and version of the table's schema.
pub const SCHEMA: &str = "vmhop.segments/1";

/// One segment of one exchange. Times are ns; their differences are signed, so that a defect stays one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// Number of the exchange, from 0, in the order of the answers.
    pub(super) exchange: u64,
    pub(super) kind: &'static str,
    pub(super) initiator: &'static str,
    /// The guest that takes part; between two guests the one that asked.
    pub(super) vm: &'a str,
    /// When the exchange began, `CLOCK_MONOTONIC`.
    pub(super) start_ns: i64,
    /// The same by the wall clock.
    pub(super) start_unix_ns: Option<i64>,
    /// From the exchange's first hop to its last.
    pub(super) total_ns: i64,
    /// Place of the segment in the exchange, from 0.
    pub(super) segment: u32,
    pub(super) way: &'static str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) from_hook: &'static str,
    pub(super) to_hook: &'static str,
    pub(super) layer: &'static str,
    /// From the exchange's beginning to the segment's.
    pub(super) offset_ns: i64,
    /// What the segment took.
    pub(super) time_ns: i64,
}

/// Who writes rows.
pub(super) trait RowWriter {
    /// The next row.
    fn row(&mut self, row: &Row<'_>) -> io::Result<()>;
    /// There are no more; flushes.
    fn end(&mut self) -> io::Result<()>;
}

/// Makes rows of exchanges.
pub(super) struct Table<W> {
    names: Names,
    guest: Option<u8>,
    exchanges: u64,
    rows: W,
}

impl<W: RowWriter> Table<W> {
    pub(super) fn new(header: &Header, rows: W) -> Table<W> {
        Table { names: Names::of(header), guest: None, exchanges: 0, rows }
    }
}

/// From one time to another, ns; no event is later than `i64::MAX` ns ([`crate::decode::LATEST_NS`]).
fn between(from_ns: u64, to_ns: u64) -> i64 {
    (to_ns as i64).wrapping_sub(from_ns as i64)
}

impl<W: RowWriter> Stream for Table<W> {
    fn note(&mut self, note: &Note) -> io::Result<()> {
        self.names.note(note);
        Ok(())
    }

    fn passage(&mut self, passage: &Passage) -> io::Result<()> {
        self.guest = names::guest(passage);
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> io::Result<()> {
        let (Some(first), Some(last)) = (exchange.stamps.first(), exchange.stamps.last()) else {
            return Ok(());
        };
        let number = self.exchanges;
        self.exchanges += 1;
        for (segment, (span, pair)) in (0_u32..).zip(spans_of(exchange)) {
            self.rows.row(&Row {
                exchange: number,
                kind: exchange.kind.name(),
                initiator: exchange.initiator.name(),
                vm: self.guest.map_or("", |slot| self.names.vm(slot)),
                start_ns: first.time_ns as i64,
                start_unix_ns: self.names.unix_ns(first.time_ns),
                total_ns: between(first.time_ns, last.time_ns),
                segment,
                way: span.way.name(),
                from: self.names.hop(span.from),
                to: self.names.hop(span.to),
                from_hook: pair[0].hook.name(),
                to_hook: pair[1].hook.name(),
                layer: span.layer().name(),
                offset_ns: between(first.time_ns, pair[0].time_ns),
                time_ns: between(pair[0].time_ns, pair[1].time_ns),
            })?;
        }
        Ok(())
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.rows.end()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row to be changed.
    pub(in crate::export) const ROW: Row<'static> = Row {
        exchange: 0,
        kind: "echo",
        initiator: "peer",
        vm: "lab",
        start_ns: 1_000,
        start_unix_ns: Some(1_700_000_000_000_001_000),
        total_ns: 500,
        segment: 0,
        way: "receive",
        from: "nic.rx",
        to: "nic.stack",
        from_hook: "xdp",
        to_hook: "tp_btf:netif_receive_skb",
        layer: "nic",
        offset_ns: 0,
        time_ns: 20,
    };

    #[test]
    fn a_time_that_runs_backwards_is_negative() {
        assert_eq!((between(7, 5), between(5, 7)), (-2, 2));
    }
}
