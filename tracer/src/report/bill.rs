//! What VMs cost in CPU time: two tables for each, in which a derived row is a sum of others.

use serde::{Deserialize, Serialize};

/// The bill of one VM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmBill {
    /// Its name.
    pub vm: String,
    /// Wall time that the bill covers.
    pub wall_ns: u64,
    /// Frames sent and received by the guest while recording; a super-frame counts as one.
    pub frames: u64,
    /// What figures are per: `frames`, or nothing where a filter hid the other frames that were paid for, or where
    /// there were none.
    pub per_frames: Option<u64>,
    /// vCPUs whose exits were counted.
    pub vcpus: u32,
    /// Where the vCPUs' time went; the shares of the rows that are not derived add up to 1. Empty where exits were not
    /// counted.
    pub vcpu_time: Vec<VcpuTimeRow>,
    /// Why `vcpu_time` is empty.
    pub vcpu_time_missing: Option<String>,
    /// CPU time of the threads that work for the VM.
    pub threads: Vec<ThreadRow>,
}

/// One row of where the vCPUs' time went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VcpuTimeRow {
    /// `guest`, the kernel's name of an exit reason, `idle (HLT)`, `the rest`, ….
    pub what: String,
    /// What sort of row it is.
    pub kind: VcpuTimeKind,
    /// Time. Of the rest it can be negative, which is a defect.
    pub ns: i64,
    /// Share of all vCPUs' time, 0 to 1.
    pub share: f64,
    /// Share of all vCPUs' time in which the thread had a CPU as well; absent where the scheduler was not watched.
    pub on_cpu_share: Option<f64>,
    /// Entries into the guest, or exits; absent for time that is no event's.
    pub count: Option<u64>,
    /// `count` per frame.
    pub per_frame: Option<f64>,
    /// Mean time of one.
    pub mean_ns: Option<f64>,
}

/// Sorts of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VcpuTimeKind {
    /// In guest mode.
    Guest,
    /// An exit, handled by the kernel and the VMM until the next entry.
    Exit,
    /// The guest had asked to wait.
    Idle,
    /// Time not accounted for.
    Rest,
    /// Derived from others.
    Derived,
}

/// CPU time of threads of one sort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadRow {
    /// `vCPU threads`, `vhost workers`, ….
    pub what: String,
    /// Whether it is derived from others.
    pub derived: bool,
    /// How many threads; absent for those that were not counted.
    pub threads: Option<u64>,
    /// Time on a CPU. Of the rest of the host it is negative where its clock's ticks fell short.
    pub cpu_ns: i64,
    /// The same as a share of one CPU over the recording: more than 1 for several.
    pub share: f64,
    /// The same per frame.
    pub cpu_ns_per_frame: Option<f64>,
    /// Time in which they could have run but had no CPU, per frame.
    pub wait_ns_per_frame: Option<f64>,
}
