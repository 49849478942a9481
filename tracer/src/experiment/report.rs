//! What an experiment came to, as plain data: its runs' figures and what they make together, schema `vmhop.experiment/1`
//! (docs/experiments.md). All times are ns, all sizes bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{environment::Environment, estimate::Estimate, figures::RunFigures};

/// Name and version of the JSON schema.
pub(super) const SCHEMA: &str = "vmhop.experiment/1";

/// Everything that an experiment came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExperimentReport {
    /// The schema.
    pub schema: String,
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Wall clock when it began, RFC 3339.
    pub started: String,
    /// vmhop's version.
    pub vmhop: String,
    /// What the order of the runs was drawn from.
    pub seed: u64,
    /// What the machine was, by the network of the lab (`here` outside of one).
    pub environment: BTreeMap<String, Environment>,
    /// What to know before drawing conclusions.
    pub warnings: Vec<String>,
    /// One entry for each network, path and workload, in the experiment's order.
    pub cells: Vec<Cell>,
}

/// One network, path and workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The lab's network; none outside of a lab.
    pub network: Option<String>,
    /// Where the path begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// Name of the workload.
    pub workload: String,
    /// `ping`, `http`, `iperf3`, `command`.
    pub kind: String,
    /// The exchanges that the times are of, such as `echo, asked by guest`.
    pub exchanges: String,
    /// Runs that were planned.
    pub planned: u32,
    /// Runs that failed, with why.
    pub failed: Vec<FailedRun>,
    /// The figures of each run that was done.
    pub runs: Vec<RunFigures>,
    /// The four levels, over the runs; empty where nothing was counted.
    pub levels: Vec<LevelRow>,
    /// Where the time of an exchange was spent; none without exchanges.
    pub time: Option<TimeTable>,
    /// CPU time of the traced VMs in a run, ns.
    pub cpu: Vec<CpuRow>,
    /// What is different from the same path of the native host.
    pub baseline: Option<Difference>,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// From 1 on.
    pub repetition: u32,
    /// Why.
    pub why: String,
    /// What its workload wrote, as a path in the folder of results.
    pub log: String,
}

/// What passed at one level in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelRow {
    /// `mac`, `network`, `transport`, `application`.
    pub level: String,
    /// Frames that the path's second station sent.
    pub tx_frames: Estimate,
    /// Frames that went to it.
    pub rx_frames: Estimate,
    /// Both.
    pub frames: Estimate,
    /// Bytes that the second station sent.
    pub tx_bytes: Estimate,
    /// Bytes that went to it.
    pub rx_bytes: Estimate,
    /// Both.
    pub bytes: Estimate,
    /// From the first to the last frame, ns.
    pub duration_ns: Estimate,
}

/// Where the time of an exchange was spent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimeTable {
    /// All of it.
    pub total: TimeRow,
    /// By layer; the means add up to the total's.
    pub layers: Vec<TimeRow>,
    /// By segment, in the order of the path; the means add up likewise.
    pub segments: Vec<TimeRow>,
}

/// One row of it, over the runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimeRow {
    /// `total`, a layer, or two hops: `tap.rx → nic.queue`.
    pub name: String,
    /// Which way, of a segment.
    pub way: Option<String>,
    /// What a segment is charged to.
    pub layer: Option<String>,
    /// Mean time of an exchange; a run without it counts 0.
    pub mean_ns: Estimate,
    /// Part of the total mean, 0 to 1.
    pub share: f64,
    /// Median, over those runs that have one.
    pub p50_ns: Estimate,
    /// 99th percentile, likewise.
    pub p99_ns: Estimate,
}

/// CPU time of threads of one sort.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CpuRow {
    /// `vCPU threads`, ….
    pub what: String,
    /// Time on a CPU in a run, ns.
    pub cpu_ns: Estimate,
    /// As a share of one CPU while recording.
    pub share: Estimate,
}

/// How much longer an exchange takes than on the native host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The path that it is held against.
    pub from: String,
    /// Its end.
    pub to: String,
    /// All of it, ns.
    pub total_ns: Estimate,
    /// By layer; the means add up to the total's.
    pub layers: Vec<LayerDifference>,
}

/// A layer's part of a difference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerDifference {
    /// The layer.
    pub layer: String,
    /// How much more, ns.
    pub shift_ns: Estimate,
}
