//! Every map, in one place.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use tracer_common::{
    filter::{Clause, MAX_CLAUSES},
    hop::HOP_SLOTS,
};

/// Records to userspace. The loader sets its size; it wakes nobody, the reader polls.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 25, 0);

/// Events that the ring had no room for, by hop, per CPU.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(HOP_SLOTS as u32, 0);

/// Traced devices: `config::device_key` → `config::device_value`.
#[map]
pub static DEVICES: HashMap<u64, u32> = HashMap::with_max_entries(256, 0);

/// Devices with our XDP program: ifindex → `config::device_value`.
#[map]
pub static XDP_DEVICES: HashMap<u32, u32> = HashMap::with_max_entries(256, 0);

/// Threads of traced VMs: thread id → `config::ThreadRole`.
#[map]
pub static THREADS: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Tap descriptors of traced VMs: `config::fd_key` → device slot.
#[map]
pub static TAP_FDS: HashMap<u64, u32> = HashMap::with_max_entries(1024, 0);

/// Interrupts of traced NICs: irq → device slot.
#[map]
pub static IRQS: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

/// Flows whose addresses have been sent.
#[map]
pub static FLOWS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(16384, 0);

/// The filter: `Settings::filter_clauses` of these are in use.
#[map]
pub static FILTER: Array<Clause> = Array::with_max_entries(MAX_CLAUSES as u32, 0);

/// Interrupts signalled to guests whose vCPU has not run since: thread group id → 1.
#[map]
pub static PENDING_IRQ: HashMap<u32, u32> = HashMap::with_max_entries(256, 0);
