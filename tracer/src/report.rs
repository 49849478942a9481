//! The report as plain data: what `export` writes and what `--format json` shows (schema `vmhop.report/1`,
//! docs/report.md). All times are ns; a mean or percentile is absent (`null`) where nothing was counted.

mod bill;
mod merge;
mod watch;

use serde::{Deserialize, Serialize};

pub use self::{
    bill::{ThreadRow, VcpuTimeKind, VcpuTimeRow, VmBill},
    watch::WatchState,
};
use crate::{
    recording::{Host, Mode, ProgramCost, Sampled},
    topology::Topology,
};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "vmhop.report/1";

/// Where a VM's frames spent their time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine that was traced.
    pub host: Host,
    /// What was recorded.
    pub recording: Recording,
    /// VMs and their paths when the recording started.
    pub topology: Topology,
    /// Each hop, in the order of the path.
    pub hops: Vec<HopRow>,
    /// Each pair of neighbouring hops, over all passages and turns.
    pub segments: Vec<SegmentRow>,
    /// Mean time of an exchange by layer; the means add up to the exchange's mean. In histogram mode of a frame.
    pub layers: Vec<LayerRow>,
    /// Questions and their answers.
    pub exchanges: Exchanges,
    /// Frames' ways through the host.
    pub passages: Passages,
    /// What came in and went out at each NIC.
    #[serde(default)]
    pub nics: Vec<NicRow>,
    /// Whose frames these were: the flows with the most bytes.
    #[serde(default)]
    pub flows: Vec<FlowRow>,
    /// Flows that are not in `flows`.
    #[serde(default)]
    pub flows_left_out: u64,
    /// Frames that died and events that were lost.
    pub losses: Losses,
    /// What each VM cost in CPU time; empty in recordings that do not say.
    #[serde(default)]
    pub bill: Vec<VmBill>,
    /// What measuring cost.
    pub cost: Cost,
    /// What to know before drawing conclusions; the gravest first.
    pub warnings: Vec<WarningRow>,
}

/// A warning, as [`crate::warnings`] or a note of the recording gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningRow {
    /// Whether it could change the conclusions.
    pub grave: bool,
    /// What, why it matters, what to do: one line.
    pub text: String,
}

/// What was recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// Wall clock at the start, RFC 3339.
    pub started: String,
    /// From the first to the last event.
    pub duration_ns: u64,
    /// Names of the VMs that were traced.
    pub vms: Vec<String>,
    /// The filter as typed, empty for none.
    pub filter: String,
    /// Which part of the frames was recorded; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<SampledRow>,
    /// What left the kernel: `histogram`; absent: every event.
    #[serde(default, skip_serializing_if = "Mode::is_stream")]
    pub mode: Mode,
    /// What this mode cannot tell, a phrase each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_known: Vec<String>,
    /// The command that ran meanwhile.
    pub command: Vec<String>,
    /// Whether the recording was closed; false after a crash or a cut.
    pub complete: bool,
    /// Why it ended: `command ended`, `interrupted`, `tap tap0 of VM lab went away`, …
    pub ended: Option<String>,
    /// Whether it ended because something failed: a device or VM went away.
    pub failed: bool,
    /// Records read.
    pub events: u64,
}

/// Which part of the frames was recorded: the same ones at every hop. All counts of frames are of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampledRow {
    /// At least one of so many.
    pub one_in_at_least: u32,
    /// At most one of so many.
    pub one_in_at_most: u32,
    /// Share of one CPU that measuring was to take at most, 0 to 1.
    pub budget: Option<f64>,
}

impl SampledRow {
    /// As the recording began.
    pub fn new(sampled: Sampled) -> SampledRow {
        let Sampled { seed: _, one_in, budget } = sampled;
        SampledRow { one_in_at_least: one_in, one_in_at_most: one_in, budget }
    }

    /// The choice has changed.
    pub fn changed(&mut self, one_in: u32) {
        self.one_in_at_least = self.one_in_at_least.min(one_in);
        self.one_in_at_most = self.one_in_at_most.max(one_in);
    }
}

/// One hop's coverage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HopRow {
    /// Name of the hop.
    pub hop: String,
    /// The hook that served it, or the first of several; empty where none does.
    pub hook: String,
    /// Why no hook serves it.
    pub unserved: Option<String>,
    /// Events seen there.
    pub seen: u64,
    /// Of these, how many were joined to a passage.
    pub matched: u64,
    /// Of these, how many could have belonged to more than one.
    pub ambiguous: u64,
    /// Events that were not delivered: the ring was full.
    pub lost: u64,
    /// Passages that must have gone by here, since they were seen before and after.
    pub expected: u64,
    /// Share of `expected` that was seen, 0 to 1; absent where nothing was expected.
    pub coverage: Option<f64>,
    /// How events were joined here: rule name and count.
    pub rules: Vec<RuleCount>,
}

/// How often a rule joined events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// `pointer`, `head`, `content`, `thread`, `cpu`.
    pub rule: String,
    /// How often.
    pub count: u64,
}

/// The time between two hops that follow one another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentRow {
    /// Which way the frames went: `transmit`, `receive`, `between` guests, or `turn` from a question to its answer.
    #[serde(default)]
    pub way: String,
    /// Earlier hop.
    pub from: String,
    /// Later hop.
    pub to: String,
    /// What it is charged to.
    pub layer: String,
    /// How many were measured.
    pub count: u64,
    /// Mean.
    pub mean_ns: Option<f64>,
    /// Median.
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// Longest.
    pub max_ns: Option<u64>,
    /// Segments with the later hop stamped before the earlier one: a defect, counted apart.
    pub negative: u64,
}

/// A layer's part of the mean exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerRow {
    /// `vmm`, `vmnet`, `host`, `nic`, `wire+peer`, `guest`, `guest+vmm`, `unattributed`, ….
    pub layer: String,
    /// Mean over the exchanges.
    pub mean_ns: f64,
    /// Share of the exchanges' mean, 0 to 1.
    pub share: f64,
    /// Median over the exchanges of a group, those that did not pass the layer with 0; absent over all groups.
    #[serde(default)]
    pub p50_ns: Option<u64>,
    /// 90th percentile, likewise.
    #[serde(default)]
    pub p90_ns: Option<u64>,
    /// 99th percentile, likewise.
    #[serde(default)]
    pub p99_ns: Option<u64>,
    /// Longest, likewise.
    #[serde(default)]
    pub max_ns: Option<u64>,
}

/// Questions with their answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchanges {
    /// How many.
    pub count: u64,
    /// Mean of their totals: first hop of the question to last hop of the answer.
    pub mean_ns: Option<f64>,
    /// Median.
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// Longest.
    pub max_ns: Option<u64>,
    /// Mean of what no layer could be charged with; the `unattributed` row.
    pub residual_mean_ns: Option<f64>,
    /// The same by kind of exchange and who began it.
    pub groups: Vec<Group>,
}

/// The exchanges of one kind and one initiator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// `echo`, `tcp`, `udp`.
    pub kind: String,
    /// `guest`, `peer`, or `guest to guest`: who sent the question.
    pub initiator: String,
    /// How many.
    pub count: u64,
    /// Questions of this kind that found no answer before the recording's end.
    pub unanswered: u64,
    /// Exchanges whose answer could belong to more than one question; left out of the figures.
    pub ambiguous: u64,
    /// Exchanges whose question's driver was done with it only after the answer had come; its `nic.done` was left
    /// out.
    pub overtaken: u64,
    /// Mean total.
    pub mean_ns: Option<f64>,
    /// Median.
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// Longest.
    pub max_ns: Option<u64>,
    /// Mean of what no layer could be charged with.
    pub residual_mean_ns: Option<f64>,
    /// Mean time by layer, adding up to `mean_ns`.
    pub layers: Vec<LayerRow>,
    /// The segments of these exchanges in the order of the path; `mean_ns * count` summed over the rows
    /// and divided by the number of exchanges gives `mean_ns`.
    pub segments: Vec<SegmentRow>,
}

/// Counts of passages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passages {
    /// All.
    pub count: u64,
    /// From the guest towards the wire.
    pub transmitted: u64,
    /// From the wire towards the guest.
    pub received: u64,
    /// From one traced guest to another.
    pub between_guests: u64,
    /// Neither from nor to a traced guest: the host's own, or between ports that are not traced.
    pub elsewhere: u64,
    /// Seen to their end.
    pub complete: u64,
    /// Dropped by the kernel.
    pub dropped: u64,
    /// Entered, and neither an end nor a drop was seen (floods, frames for the host itself, losses).
    pub unfinished: u64,
    /// Joined by a rule that had more than one candidate.
    pub ambiguous: u64,
    /// Branches of a flood: copies of a frame that went to further ports.
    pub branches: u64,
    /// Sent by a guest and picked up by its VMM or vhost without a kick: it was looking already.
    #[serde(default)]
    pub polled: u64,
    /// Copied into a guest without an interrupt: it wanted none, since it was looking already.
    #[serde(default)]
    pub unannounced: u64,
    /// Bytes of all frames, Ethernet header included, super-frames as a whole; branches not counted again.
    pub bytes: u64,
    /// Segments that super-frames were cut into by the kernel.
    #[serde(default)]
    pub segments: u64,
    /// Frames on the wire that all of these are, super-frames by their segments; branches not counted again.
    #[serde(default)]
    pub wire_frames: u64,
}

/// What passed a NIC one way, counted at `nic.rx` or `nic.xmit`; with a filter, what passed the filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicRow {
    /// The device's name.
    pub device: String,
    /// Its network namespace, by name, or as `net:[INODE]`.
    #[serde(default)]
    pub netns: String,
    /// `receive` or `transmit`.
    pub way: String,
    /// Frames as the host's side has them, super-frames as one: what the counters of a veth count.
    pub frames: u64,
    /// Their bytes, Ethernet header included, FCS not.
    pub bytes: u64,
    /// Frames on the wire, super-frames by their segments: what the counters of a NIC count.
    pub wire_frames: u64,
    /// Their bytes, the headers of each segment included.
    pub wire_bytes: u64,
}

/// A flow, as it enters the host and, where that is another, as it leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// `192.0.2.2:40000 > 192.0.2.3:80 tcp`; `?` where the addresses were not recorded.
    pub flow: String,
    /// The same behind the host's address translation.
    pub translated: Option<String>,
    /// Passages, branches not counted.
    pub passages: u64,
    /// Their bytes, super-frames as a whole.
    pub bytes: u64,
}

/// Frames that died and events that were lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Events that the buffers had no room for, by hop.
    pub ring: Vec<HopCount>,
    /// The same by the CPU on which they happened.
    pub ring_by_cpu: Vec<CpuCount>,
    /// Sum of `ring`.
    pub ring_total: u64,
    /// Runs of BPF programs that the kernel skipped, because they ran already on that CPU: events that nobody saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<ProgramCount>,
    /// Records that could not be decoded.
    pub undecoded: u64,
    /// Events that came too late to be put in order.
    pub late: u64,
    /// Passages given up because too many were open at once.
    pub evicted: u64,
    /// What else was given up for want of room; the figures are made without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<GivenUp>,
    /// Frames that the kernel dropped.
    pub drops: Vec<Drop>,
    /// Frames of which no end was seen. None of these is known to be lost.
    #[serde(default)]
    pub vanished: Vec<VanishedRow>,
}

/// A count of one BPF program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCount {
    /// Its name.
    pub program: String,
    /// How many.
    pub count: u64,
}

/// Frames of which no end was seen, behind one hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VanishedRow {
    /// The last hop that saw them.
    pub after: String,
    /// What is known of them.
    pub how: String,
    /// How many.
    pub count: u64,
}

/// What the memory that was allowed had no room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// In words.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// A count at a hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopCount {
    /// Name of the hop.
    pub hop: String,
    /// How many.
    pub count: u64,
}

/// A count on a CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuCount {
    /// Its number.
    pub cpu: u32,
    /// How many.
    pub count: u64,
}

/// Frames that died at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    /// The last hop that saw them.
    pub after: String,
    /// Device they belonged to then.
    pub device: String,
    /// The kernel's reason, e.g. `FULL_RING`.
    pub reason: String,
    /// The kernel's function that dropped them, with its module.
    #[serde(default)]
    pub function: Option<String>,
    /// How many.
    pub count: u64,
}

/// What measuring cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Each BPF program's runs and time.
    pub programs: Vec<ProgramCost>,
    /// Sum of the programs' time.
    pub programs_ns: u64,
    /// CPU time of vmhop's own process while recording.
    pub reader_cpu_ns: u64,
    /// Wall time of the recording, by which the shares are taken.
    pub wall_ns: u64,
    /// Time in which the kernel measured the programs, from which their figures are reckoned for all the time; absent or 0:
    /// it measured all the time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metered_ns: u64,
    /// Share of one CPU that the programs took, 0 to 1.
    pub programs_share: f64,
    /// Share of one CPU that the reader took, 0 to 1.
    pub reader_share: f64,
    /// Events per exchange; absent without exchanges.
    pub events_per_exchange: Option<f64>,
    /// Mean time of the programs per passage.
    pub programs_ns_per_passage: Option<f64>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
