//! What a recording holds beside its events: plain data that `record` stores and `report` reads.

mod bill;
mod came;
mod histograms;
mod since;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracer_common::hop::Hop;

pub use self::{
    bill::{Bill, ExitReason, ExitUse, ThreadUse, VmUse},
    came::Came,
    histograms::{DropCount, Histograms, HopFirsts, SpanTimes, total},
};
use crate::{
    decode::Flow,
    topology::{Device, Topology},
};

/// Everything known when a recording starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The machine.
    pub host: Host,
    /// Wall clock at the start, ns since the epoch.
    pub started_unix_ns: u64,
    /// `CLOCK_MONOTONIC` at the same moment, ns.
    pub started_monotonic_ns: u64,
    /// VMs and their paths.
    pub topology: Topology,
    /// Names of the VMs that are traced.
    pub vms: Vec<String>,
    /// Slot → device, as events name them.
    pub devices: Vec<DeviceSlot>,
    /// Which hook serves which hop, or why none does.
    pub plan: Vec<PlannedHop>,
    /// The filter as typed, empty for none.
    pub filter: String,
    /// The command run meanwhile.
    pub command: Vec<String>,
    /// Names of this kernel's drop reasons.
    pub drop_reasons: BTreeMap<u32, String>,
    /// This kernel's names of KVM's exit reasons, by instruction set (1 VMX, 2 SVM) and number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exit_reasons: BTreeMap<u32, BTreeMap<u32, String>>,
    /// Names of the user's own hops, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_hops: Vec<String>,
    /// Which part of the frames was recorded; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Sampled>,
    /// What leaves the kernel.
    #[serde(default, skip_serializing_if = "Mode::is_stream")]
    pub mode: Mode,
}

/// What leaves the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A record of each event: exchanges, flows, single frames, everything that can be told
    #[default]
    Stream,
    /// Histograms of segments, which the kernel itself forms: for hours and for full packet rate
    Histogram,
}

impl Mode {
    /// Whether it is the mode that all recordings were of, before there were two.
    pub(crate) fn is_stream(&self) -> bool {
        *self == Mode::Stream
    }
}

/// A choice of frames, by [`tracer_common::sample`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Random number of the choice.
    pub seed: u32,
    /// One of so many, to begin with.
    pub one_in: u32,
    /// Share of one CPU that measuring was to take at most, 0 to 1, by changing the choice.
    pub budget: Option<f64>,
}

impl Header {
    /// Whether frames passed that are not in the recording: by the filter, or since only a part is chosen.
    pub fn leaves_out_frames(&self) -> bool {
        !self.filter.is_empty() || self.sampled.is_some()
    }

    /// The hop of this name: of vmhop's own, or of the user's.
    pub fn hop(&self, name: &str) -> Option<Hop> {
        let user = self.user_hops.iter().position(|known| known == name);
        user.and_then(Hop::user).or_else(|| Hop::from_name(name))
    }

    /// The name of a hop.
    pub fn hop_name(&self, hop: Hop) -> String {
        let user = hop.user_number().and_then(|number| self.user_hops.get(number));
        user.map_or_else(|| hop.name().to_owned(), Clone::clone)
    }
}

/// The machine that was traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// CPUs online.
    pub cpus: u32,
    /// vmhop's version.
    pub vmhop: String,
}

/// One traced device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSlot {
    /// Number in the events.
    pub slot: u8,
    /// `tap`, `nic`, `far-end`.
    pub role: String,
    /// Name of the VM it belongs to.
    pub vm: String,
    /// The device.
    pub device: Device,
}

/// What the plan says of one hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedHop {
    /// Name of the hop.
    pub hop: String,
    /// Hooks attached for it, first choice first; empty where none serves it.
    pub hooks: Vec<String>,
    /// Why none serves it, and what would help.
    pub unserved: Option<String>,
    /// What was chosen in each case, and what was passed over for it. Since version 0.2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

/// What serves a hop in one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// When, such as `guest on KVM`; empty for always.
    pub case: String,
    /// Hooks that serve it then.
    pub hooks: Vec<String>,
    /// Hooks that would have been better.
    pub passed_over: Vec<PassedOver>,
}

/// A hook that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its name.
    pub hook: String,
    /// Why not.
    pub why: String,
}

/// What a recording says from time to time, and at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// Addresses of a flow.
    Flow(Flow),
    /// Counters so far; the last one counts.
    Counters(Counters),
    /// CPU time of the traced VMs so far; the last one counts.
    Bill(Bill),
    /// In histogram mode all that was counted so far; the last one counts.
    Histograms(Histograms),
    /// Functions of the code addresses that dropped frames.
    Symbols(BTreeMap<u64, String>),
    /// From a time on another part of the frames is chosen; told before that time.
    Sampled {
        /// `CLOCK_MONOTONIC`, ns.
        from_ns: u64,
        /// One of so many.
        one_in: u32,
    },
    /// Something the reader of the report should know.
    Warning {
        /// One sentence.
        text: String,
        /// What came while the recording went on, where that is what it is about. Part of this note, and no
        /// note of its own, so that a reader which does not know it shows the sentence and goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        came: Option<Box<Came>>,
    },
    /// The recording was closed.
    End {
        /// Why.
        reason: String,
        /// Whether something went wrong: a device or VM went away.
        failed: bool,
    },
}

impl Note {
    /// A warning that is no more than its words.
    pub fn warning(text: impl Into<String>) -> Note {
        Note::Warning { text: text.into(), came: None }
    }
}

/// Counters of the whole recording so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Failed reserves by hop name: events that the buffers had no room for.
    pub lost: BTreeMap<String, u64>,
    /// Failed reserves by CPU.
    pub lost_by_cpu: BTreeMap<u32, u64>,
    /// Records that could not be decoded.
    pub undecoded: u64,
    /// Each BPF program's cost.
    pub programs: Vec<ProgramCost>,
    /// CPU time of vmhop's process, ns.
    pub reader_cpu_ns: u64,
    /// Wall time since the start, ns.
    pub wall_ns: u64,
    /// Time in which the kernel measured the programs, ns; 0: all the time.
    #[serde(default)]
    pub metered_ns: u64,
}

impl Counters {
    /// Each program's cost in all the time, from what was measured in a part of it. Runs that the kernel skipped it counts all
    /// the time (kernel/bpf/syscall.c `bpf_prog_inc_misses_counter`).
    pub fn programs_in_all(&self) -> Vec<ProgramCost> {
        let factor =
            if self.metered_ns == 0 { 1.0 } else { (self.wall_ns as f64 / self.metered_ns as f64).max(1.0) };
        let scaled = |value: u64| (value as f64 * factor).round() as u64;
        let in_all = |cost: &ProgramCost| {
            let ProgramCost { program, runs, run_ns, missed } = cost.clone();
            ProgramCost { program, runs: scaled(runs), run_ns: scaled(run_ns), missed }
        };
        self.programs.iter().map(in_all).collect()
    }

    /// CPU time of programs and reader so far, ns.
    pub fn spent_ns(&self) -> u64 {
        self.reader_cpu_ns + self.programs_in_all().iter().map(|program| program.run_ns).sum::<u64>()
    }
}

/// One BPF program's cost, from the kernel's own statistics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// Name.
    pub program: String,
    /// How often it ran.
    pub runs: u64,
    /// Time in it, ns.
    pub run_ns: u64,
    /// How often the kernel skipped it, because it ran already on that CPU.
    #[serde(default)]
    pub missed: u64,
}
