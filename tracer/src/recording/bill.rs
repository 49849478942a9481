//! What VMs cost in CPU time so far: of each vCPU where it was, of each thread how long it ran.

use serde::{Deserialize, Serialize};

use crate::topology::ThreadRole;

/// The bill so far; the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Wall time that it covers, ns.
    pub wall_ns: u64,
    /// CPU time of the whole host, to a tick of 10 ms; absent where it could not be read.
    pub host_ns: Option<u64>,
    /// Each traced VM.
    pub vms: Vec<VmUse>,
}

/// What one VM used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmUse {
    /// Its name.
    pub vm: String,
    /// How many of its vCPUs have an account; none where its guest is emulated or KVM's tracepoints are out of reach.
    pub vcpus: u32,
    /// How often a vCPU entered its guest.
    pub entries: u64,
    /// Time in guest mode, all vCPUs together, ns.
    pub guest_ns: u64,
    /// Time outside, by reason.
    pub exits: Vec<ExitUse>,
    /// Its threads and the vhost workers that serve it. Those that did nothing are left out.
    pub threads: Vec<ThreadUse>,
}

/// Time outside the guest for one reason, from exit to entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitUse {
    /// The reason.
    pub reason: ExitReason,
    /// Exits.
    pub count: u64,
    /// Time until the vCPU entered its guest again, ns.
    pub ns: u64,
    /// Of this, how long its thread had no CPU, ns.
    pub off_ns: u64,
}

/// Why a vCPU is outside its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// KVM's reason.
    Told {
        /// Instruction set: 1 Intel's VMX, 2 AMD's SVM.
        isa: u32,
        /// Number in that set.
        code: u32,
    },
    /// One that has no counter of its own.
    Other,
    /// Nothing told it.
    Untold,
    /// It left before the recording began.
    Before,
}

impl ExitReason {
    /// Whether the guest asked to wait: HLT, and SVM's `idle-halt`. KVM takes MWAIT for a no-op.
    pub fn is_idle(self) -> bool {
        use tracer_common::account::{ISA_SVM, ISA_VMX};
        matches!(
            self,
            ExitReason::Told { isa: ISA_VMX, code: 12 }
                | ExitReason::Told { isa: ISA_SVM, code: 0x78 | 0xa6 }
        )
    }
}

/// A thread's CPU time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadUse {
    /// Thread ID.
    pub tid: i32,
    /// The kernel's name of it.
    pub name: String,
    /// What it does for the VM.
    pub role: ThreadRole,
    /// Time on a CPU, guest mode included, ns.
    pub cpu_ns: u64,
    /// Time it could have run but had no CPU, ns; absent where the kernel does not keep it.
    pub wait_ns: Option<u64>,
}
