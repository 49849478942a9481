//! Exchanges as a native Perfetto trace, for ui.perfetto.dev: a process a VM, a track a layer, a slice a segment; a flow
//! joins the slices of one exchange across the layers.
//!
//! Times are `CLOCK_MONOTONIC`, tied to the wall clock at the recording's start. Exchanges that overlap have lanes of their
//! own ([`lanes`]): tracks of one name, which the UI shows as one.

mod lanes;
mod proto;

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    io::{self, Write as _},
};

use prost::Message as _;

use self::{
    lanes::{Lanes, Row, Slice},
    proto::{
        Clock, ClockSnapshot, DebugAnnotation, EXPLICIT, MONOTONIC, ProcessDescriptor, REALTIME, SLICE_BEGIN,
        SLICE_END, TracePacket, TrackDescriptor, TrackEvent,
    },
};
use super::{
    exporter::{Stream, Target},
    names::{self, Names},
};
use crate::{
    correlate::{
        Passage,
        exchange::{Exchange, ExchangeKind, Initiator},
    },
    latency::{LAYERS, Layer, Span, spans_of},
    recording::{Header, Note},
    report::Report,
    topology::printable,
};

/// All packets come from one writer.
const SEQUENCE: u32 = 1;
/// Lanes that a row has room for in the numbering of tracks.
const LANES: u64 = 1 << 32;
/// Rows of a VM: its exchanges as a whole, then the layers.
const ROWS: u64 = LAYERS as u64 + 1;

/// What a slice says. `span` is absent in that of the whole exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    exchange: u64,
    kind: ExchangeKind,
    initiator: Initiator,
    total_ns: u64,
    span: Option<Span>,
    last: bool,
}

/// Writes the trace.
pub(super) struct Trace<'a> {
    names: Names,
    /// Names and process IDs.
    vms: Vec<(String, i32)>,
    /// The guest of the exchanges that follow, by the slot of its tap.
    guest: Option<u8>,
    exchanges: u64,
    lanes: Lanes<What>,
    /// Tracks that have been described, by their numbers.
    described: BTreeSet<u64>,
    out: Target<'a>,
}

/// Number of a VM's process track; 0 would be none.
fn process_track(vm: usize) -> u64 {
    (vm as u64 * ROWS * LANES + 1).wrapping_mul(2)
}

/// Number of a lane's track.
fn lane_track((vm, row): Row, lane: usize) -> u64 {
    ((vm as u64 * ROWS + row as u64) * LANES + lane as u64).wrapping_mul(2) | 1
}

impl<'a> Trace<'a> {
    pub(super) fn begin(header: &Header, out: Target<'a>) -> io::Result<Trace<'a>> {
        let pids = header.topology.vms.iter().map(|vm| (vm.name.clone(), vm.pid));
        let mut trace = Trace {
            names: Names::of(header),
            vms: pids.collect(),
            guest: None,
            exchanges: 0,
            lanes: Lanes::new(),
            described: BTreeSet::new(),
            out,
        };
        let clock = |id, time_ns| Clock { clock_id: Some(id), timestamp: Some(time_ns) };
        trace.packet(TracePacket {
            clock_snapshot: Some(ClockSnapshot {
                clocks: vec![
                    clock(MONOTONIC, header.started_monotonic_ns),
                    clock(REALTIME, header.started_unix_ns),
                ],
                primary_trace_clock: Some(MONOTONIC),
            }),
            ..TracePacket::default()
        })?;
        Ok(trace)
    }

    fn packet(&mut self, packet: TracePacket) -> io::Result<()> {
        let packet = TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..packet };
        self.out.write_all(&proto::Trace { packet: vec![packet] }.encode_to_vec())
    }

    fn describe(&mut self, track: TrackDescriptor) -> io::Result<()> {
        self.packet(TracePacket { track_descriptor: Some(track), ..TracePacket::default() })
    }

    /// The VM of the exchange that comes; one without a name, where the tap's VM is not known.
    fn vm(&mut self) -> usize {
        let name = self.guest.map_or("", |slot| self.names.vm(slot));
        if let Some(known) = self.vms.iter().position(|(known, _)| known == name) {
            return known;
        }
        // A number that no VMM has: without one it would be no process.
        self.vms.push((name.to_owned(), i32::MAX));
        self.vms.len() - 1
    }

    /// The track of a lane, described when it is first used.
    fn track(&mut self, row: Row, lane: usize) -> io::Result<u64> {
        let (process, track) = (process_track(row.0), lane_track(row, lane));
        if self.described.insert(process) {
            let (name, pid) = &self.vms[row.0];
            let name = if name.is_empty() { "unknown VM".to_owned() } else { printable(name) };
            self.describe(TrackDescriptor {
                uuid: Some(process),
                process: Some(ProcessDescriptor { pid: Some(*pid), process_name: Some(name) }),
                child_ordering: Some(EXPLICIT),
                ..TrackDescriptor::default()
            })?;
        }
        if self.described.insert(track) {
            let name = row
                .1
                .checked_sub(1)
                .and_then(|layer| Layer::ALL.get(layer))
                .map_or("exchange", |layer| layer.name());
            self.describe(TrackDescriptor {
                uuid: Some(track),
                name: Some(name.to_owned()),
                parent_uuid: Some(process),
                sibling_order_rank: Some(row.1 as i32),
                ..TrackDescriptor::default()
            })?;
        }
        Ok(track)
    }

    /// Writes slices: those that wait no longer, or all at the end.
    fn release(&mut self, end: bool) -> io::Result<()> {
        while let Some((slice, lane)) = self.lanes.pop(end) {
            let track = self.track(slice.row, lane)?;
            let event = self.begin_of(&slice.what, track);
            self.event(slice.start_ns, event)?;
            let event =
                TrackEvent { kind: Some(SLICE_END), track_uuid: Some(track), ..TrackEvent::default() };
            self.event(slice.end_ns.0, event)?;
        }
        Ok(())
    }

    fn event(&mut self, time_ns: u64, event: TrackEvent) -> io::Result<()> {
        self.packet(TracePacket {
            timestamp: Some(time_ns),
            timestamp_clock_id: Some(MONOTONIC),
            track_event: Some(event),
            ..TracePacket::default()
        })
    }

    fn begin_of(&self, what: &What, track: u64) -> TrackEvent {
        let (name, category) = match &what.span {
            Some(span) => {
                let (from, to) = (self.names.hop(span.from), self.names.hop(span.to));
                (format!("{} → {}", printable(from), printable(to)), span.layer().name())
            }
            None => (format!("{}, asked by {}", what.kind.name(), what.initiator.name()), "exchange"),
        };
        let number = |name: &str, value| DebugAnnotation {
            name: Some(name.to_owned()),
            uint_value: Some(value),
            string_value: None,
        };
        let word = |name: &str, value: &str| DebugAnnotation {
            name: Some(name.to_owned()),
            uint_value: None,
            string_value: Some(value.to_owned()),
        };
        let mut notes = vec![
            number("exchange", what.exchange),
            word("kind", what.kind.name()),
            word("initiator", what.initiator.name()),
            number("total_ns", what.total_ns),
        ];
        notes.extend(what.span.map(|span| word("way", span.way.name())));
        // 0 would be no flow.
        let flow = what.exchange + 1;
        let flows = |wanted: bool| if what.span.is_some() && wanted { vec![flow] } else { Vec::new() };
        TrackEvent {
            debug_annotations: notes,
            kind: Some(SLICE_BEGIN),
            track_uuid: Some(track),
            categories: vec![category.to_owned()],
            name: Some(name),
            flow_ids: flows(!what.last),
            terminating_flow_ids: flows(what.last),
        }
    }
}

impl Stream for Trace<'_> {
    fn note(&mut self, note: &Note) -> io::Result<()> {
        self.names.note(note);
        if let Note::Warning { came: Some(came), .. } = note {
            self.vms.extend(came.vms.iter().map(|vm| (vm.name.clone(), vm.pid)));
        }
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
        let vm = self.vm();
        let what = What {
            exchange: self.exchanges,
            kind: exchange.kind,
            initiator: exchange.initiator,
            total_ns: exchange.total_ns(),
            span: None,
            last: false,
        };
        self.exchanges += 1;
        // What runs backwards is no slice; the report counts it.
        let mut push = |row, start_ns, end_ns: u64, what| {
            if start_ns <= end_ns {
                self.lanes.push(Slice { start_ns, end_ns: Reverse(end_ns), row: (vm, row), what });
            }
        };
        push(0, first.time_ns, last.time_ns, what);
        let spans = exchange.stamps.len().saturating_sub(1);
        for (index, (span, pair)) in spans_of(exchange).enumerate() {
            let what = What { span: Some(span), last: index + 1 == spans, ..what };
            push(span.layer() as usize + 1, pair[0].time_ns, pair[1].time_ns, what);
        }
        self.release(false)
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.release(true)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
