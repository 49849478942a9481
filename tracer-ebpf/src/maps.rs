//! Every map, in one place.
//!
//! What says what is traced (`DEVICES`, `THREADS`, `PROCESSES`, `TAP_FDS`, `IRQS`) is written before the programs are attached,
//! and by a watch also while they run. The kernel gives the memory of a hash map's entry that is taken out to the next one, and
//! a place in a bucket of devices is taken again, so that a program which has just found one may read another's value: the record
//! at hand is then another's, nothing worse. So values are words that are read once, and no program keeps a pointer to one.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use tracer_common::{
    account::Account,
    config::{Bucket, FLOW_PLACES, MOST_BUCKETS, UserHop},
    filter::{Clause, MAX_CLAUSES},
    hop::{HOP_SLOTS, USER_HOPS},
};

/// Flow records, and where CPUs have no buffers of their own ([`crate::buffer`]) all records. The loader sets its size; it
/// wakes nobody, the reader polls.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 25, 0);

/// Events that the buffers had no room for, by hop, per CPU.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(HOP_SLOTS as u32, 0);

/// Traced devices: `config::device_key` → `config::device_value`. The loader sets how many buckets.
#[map]
pub static DEVICES: Array<Bucket> = Array::with_max_entries(MOST_BUCKETS, 0);

/// Devices with our XDP program: ifindex → `config::device_value`.
#[map]
pub static XDP_DEVICES: HashMap<u32, u32> = HashMap::with_max_entries(256, 0);

/// Threads of traced VMs: thread id → `config::thread_value`. As above.
#[map]
pub static THREADS: Array<Bucket> = Array::with_max_entries(MOST_BUCKETS, 0);

/// Tap descriptors of traced VMs: `config::fd_key` → device slot.
#[map]
pub static TAP_FDS: HashMap<u64, u32> = HashMap::with_max_entries(1024, 0);

/// Interrupts of traced NICs: irq → device slot.
#[map]
pub static IRQS: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

/// Flows whose addresses have been sent, each where its hash says; of two in one place the later one.
#[map]
pub static FLOWS: Array<u64> = Array::with_max_entries(FLOW_PLACES, 0);

/// `sample::Sampling::limit`: in a map, since it may change while frames are recorded.
#[map]
pub static SAMPLE_LIMIT: Array<u32> = Array::with_max_entries(1, 0);

/// The filter: `Settings::filter_clauses` of these are in use.
#[map]
pub static FILTER: Array<Clause> = Array::with_max_entries(MAX_CLAUSES as u32, 0);

/// Interrupts signalled to vCPUs that have not been entered since: the vCPU's thread → the signalling thread.
#[map]
pub static PENDING_IRQ: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Processes of traced VMs: thread group id → 1. Their threads come and go, those of io_uring among them.
#[map]
pub static PROCESSES: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

/// When each traced vCPU left its guest, ns; 0 while it is in there: the vCPU's thread → time.
#[map]
pub static VCPU_EXITS: HashMap<u32, u64> = HashMap::with_max_entries(4096, 0);

/// Which thread runs a vCPU: `config::vcpu_key` → thread id.
#[map]
pub static VCPU_THREADS: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Accounts of the traced vCPUs: thread id → account. The loader sets its size and opens the accounts.
#[map]
pub static ACCOUNTS: HashMap<u32, Account> = HashMap::with_max_entries(1, 0);

/// Hops of the user's.
#[map]
pub static USER: Array<UserHop> = Array::with_max_entries(USER_HOPS as u32, 0);
