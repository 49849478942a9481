//! One run's figures, from its recording alone: what an experiment's tables are made of.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{
    schedule::Run,
    spec::{Spec, WorkloadKind},
    station::Role,
    store::{Record, Store},
};
use crate::{
    analysis::analyse_with,
    correlate::Limits,
    levels::{Level, LevelRow, Levels, Protocol, Selection},
    record::RecordReader,
    recording::Header,
    report::{Group, Report},
};

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// From 1 on.
    pub repetition: u32,
    /// The recording, as a path in the folder of results.
    pub recording: String,
    /// Wall clock at its start, RFC 3339.
    pub started: String,
    /// Frames, bytes and duration at the four levels; empty where the counting device was not traced.
    pub levels: Vec<LevelFigures>,
    /// Frames of the counting device of which it is not known whether they belong to it; in none of the figures.
    pub levels_left_out: u64,
    /// Exchanges that the times are of.
    pub exchanges: u64,
    /// Questions without an answer.
    pub unanswered: u64,
    /// Exchanges left out, since more than one answer was possible.
    pub ambiguous: u64,
    /// Time of an exchange; none without exchanges.
    pub total: Option<Times>,
    /// The same in each layer; the means add up to the total's.
    pub layers: Vec<LayerTimes>,
    /// The same in each segment; the means are per exchange, and add up to the total's too.
    pub segments: Vec<SegmentTimes>,
    /// CPU time of the traced VMs.
    pub cpu: Vec<CpuTime>,
    /// Events that were lost.
    pub lost: u64,
    /// Warnings that could change the conclusions.
    pub grave: Vec<String>,
}

/// What passed at one level, as on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelFigures {
    /// `mac`, `network`, `transport`, `application`.
    pub level: String,
    /// Frames that the path's second station sent.
    pub tx_frames: u64,
    /// Frames that went to it.
    pub rx_frames: u64,
    /// Bytes that it sent.
    pub tx_bytes: u64,
    /// Bytes that went to it.
    pub rx_bytes: u64,
    /// From the first to the last frame of either way, ns.
    pub duration_ns: u64,
}

/// Times of a run's exchanges, ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Mean.
    pub mean_ns: f64,
    /// Median.
    pub p50_ns: f64,
    /// 99th percentile.
    pub p99_ns: f64,
}

/// Times in a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerTimes {
    /// Its name.
    pub layer: String,
    /// Over all exchanges; one that did not pass it counts 0.
    pub times: Times,
}

/// Times in a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentTimes {
    /// `transmit`, `receive`, `between`, `turn`.
    pub way: String,
    /// Earlier hop.
    pub from: String,
    /// Later hop.
    pub to: String,
    /// What it is charged to.
    pub layer: String,
    /// The mean over all exchanges, the percentiles over those that passed it.
    pub times: Times,
}

/// CPU time of the VMs' threads of one sort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuTime {
    /// `vCPU threads`, `vhost workers`, …: rows of the report's bill.
    pub what: String,
    /// Time on a CPU while recording, ns.
    pub cpu_ns: f64,
    /// The same as a share of one CPU.
    pub share: f64,
}

/// Reads a run's recording.
pub(super) fn of(store: &Store, record: &Record) -> Result<RunFigures> {
    let file = store.file(&record.run, "vmhop");
    let mut reader = RecordReader::open(&file)?;
    let header = reader.header().clone();
    let mut levels = Levels::default();
    let report = analyse_with(&mut reader, Limits::default(), &mut levels)?;
    let (level_rows, levels_left_out) = count_levels(&store.spec, record, &header, &levels);
    let group = group(&store.spec, record, &report);
    Ok(RunFigures {
        repetition: record.run.repetition,
        recording: format!("runs/{}.vmhop", record.run.id()),
        started: record.started.clone(),
        levels: level_rows,
        levels_left_out,
        exchanges: group.map_or(0, |group| group.count),
        unanswered: group.map_or(0, |group| group.unanswered),
        ambiguous: group.map_or(0, |group| group.ambiguous),
        total: group.and_then(|group| times(group.mean_ns, group.p50_ns, group.p99_ns)),
        layers: group.map(layers).unwrap_or_default(),
        segments: group.map(segments).unwrap_or_default(),
        cpu: cpu(&report),
        lost: report.losses.ring_total,
        grave: report.warnings.iter().filter(|row| row.grave).map(|row| row.text.clone()).collect(),
    })
}

fn times(mean: Option<f64>, p50: Option<u64>, p99: Option<u64>) -> Option<Times> {
    Some(Times { mean_ns: mean?, p50_ns: p50? as f64, p99_ns: p99? as f64 })
}

fn layers(group: &Group) -> Vec<LayerTimes> {
    let row = |row: &crate::report::LayerRow| {
        let times = times(Some(row.mean_ns), row.p50_ns, row.p99_ns)?;
        Some(LayerTimes { layer: row.layer.clone(), times })
    };
    group.layers.iter().filter_map(row).collect()
}

fn segments(group: &Group) -> Vec<SegmentTimes> {
    let row = |row: &crate::report::SegmentRow| {
        // Over all exchanges, so that the means add up.
        let mean = row.mean_ns.map(|mean| mean * row.count as f64 / group.count as f64);
        Some(SegmentTimes {
            way: row.way.clone(),
            from: row.from.clone(),
            to: row.to.clone(),
            layer: row.layer.clone(),
            times: times(mean, row.p50_ns, row.p99_ns)?,
        })
    };
    group.segments.iter().filter_map(row).collect()
}

fn cpu(report: &Report) -> Vec<CpuTime> {
    let mut rows: Vec<CpuTime> = Vec::new();
    for row in report.bill.iter().flat_map(|bill| &bill.threads) {
        // The rest of the host is none of a VM's.
        if row.threads.is_none() {
            continue;
        }
        match rows.iter_mut().find(|known| known.what == row.what) {
            Some(known) => {
                known.cpu_ns += row.cpu_ns as f64;
                known.share += row.share;
            }
            None => {
                rows.push(CpuTime { what: row.what.clone(), cpu_ns: row.cpu_ns as f64, share: row.share })
            }
        }
    }
    rows
}

/// The workload of a run.
pub(super) fn kind<'a>(spec: &'a Spec, run: &Run) -> Option<&'a WorkloadKind> {
    spec.workloads.iter().find(|workload| workload.name == run.workload).map(|workload| &workload.kind)
}

/// Names of the group of exchanges that a run's times are of: the kind, where the workload tells it, and who asks.
pub(super) fn group_names(spec: &Spec, record: &Record) -> (Option<&'static str>, &'static str) {
    let kind = match kind(spec, &record.run) {
        Some(WorkloadKind::Ping { .. }) => Some("echo"),
        Some(WorkloadKind::Http { .. } | WorkloadKind::Iperf3 { udp: false, .. }) => Some("tcp"),
        Some(WorkloadKind::Iperf3 { udp: true, .. }) => Some("udp"),
        Some(WorkloadKind::Command { .. }) | None => None,
    };
    let initiator = match (record.ends[0].role, record.ends[1].role) {
        (Role::Guest, Role::Guest) => "guest to guest",
        (Role::Guest, Role::Peer) => "guest",
        (Role::Guest, Role::Host) => "guest to host",
        (Role::Peer, Role::Guest) => "peer",
        (Role::Host, Role::Guest) => "host",
        (Role::Peer, _) => "peer to host",
        (Role::Host, _) => "host to peer",
    };
    (kind, initiator)
}

fn group<'a>(spec: &Spec, record: &Record, report: &'a Report) -> Option<&'a Group> {
    let (kind, initiator) = group_names(spec, record);
    let fits = |group: &&Group| group.initiator == initiator && kind.is_none_or(|kind| group.kind == kind);
    report.exchanges.groups.iter().filter(fits).max_by_key(|group| group.count)
}

/// The workload's frames at the four levels, where the path is counted.
fn count_levels(spec: &Spec, record: &Record, header: &Header, levels: &Levels) -> (Vec<LevelFigures>, u64) {
    let Some(device) = counting_device(record, header) else { return (Vec::new(), 0) };
    let protocol = match kind(spec, &record.run) {
        Some(WorkloadKind::Ping { .. }) => Protocol::Echo,
        Some(WorkloadKind::Http { .. } | WorkloadKind::Iperf3 { udp: false, .. }) => Protocol::Tcp,
        Some(WorkloadKind::Iperf3 { udp: true, .. }) => Protocol::Udp,
        Some(WorkloadKind::Command { .. }) | None => Protocol::Ip,
    };
    // The host may translate the address of a guest, and never that of the peer.
    let by_sender = record.ends[0].role == Role::Peer;
    let end = if by_sender { &record.ends[0] } else { &record.ends[1] };
    let table = levels.table(&Selection { device, protocol, station: end.addresses.clone(), port: None });
    (table.rows.iter().map(|row| level_figures(row, by_sender)).collect(), table.left_out)
}

/// The NIC where the peer is at one end, else the tap of the path's first guest.
fn counting_device(record: &Record, header: &Header) -> Option<u8> {
    let by_wire = record.ends.iter().any(|end| end.role == Role::Peer);
    let vm = record.ends.iter().find_map(|end| end.vm.as_ref());
    let mut devices = header.devices.iter();
    let device = if by_wire {
        devices.find(|entry| entry.role == "nic")
    } else {
        devices.find(|entry| entry.role == "tap" && Some(&entry.vm) == vm)
    };
    device.map(|entry| entry.slot)
}

fn level_figures(row: &LevelRow, by_sender: bool) -> LevelFigures {
    let level = match row.level {
        Level::Mac => "mac",
        Level::Network => "network",
        Level::Transport => "transport",
        Level::Application => "application",
    };
    let (tx, rx) = if by_sender { (row.towards, row.from) } else { (row.from, row.towards) };
    LevelFigures {
        level: level.to_owned(),
        tx_frames: tx.frames,
        rx_frames: rx.frames,
        tx_bytes: tx.bytes,
        rx_bytes: rx.bytes,
        duration_ns: row.both.duration_ns,
    }
}
