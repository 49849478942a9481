//! Where the programs leave their records: one ring buffer of all CPUs, or a buffer of each CPU's own. Which of the two, how
//! large, and its memory. What measured better is taken: docs/overhead.md.

use std::{fs, os::fd::AsFd as _};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
};
use clap::ValueEnum;
use memmap2::{MmapOptions, MmapRaw};
use tracer_common::{
    buffer::{Cursor, MARGIN, time_of},
    event::{ABI_VERSION, HopEvent},
};

use crate::{host, recording::Host};

/// The BPF object whose records go into buffers of each CPU, built by `build.rs`.
static PER_CPU_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmhop-bpf"));
/// The one whose records go through the ring buffer.
static RING_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmhop-bpf-ring"));
/// The one that counts in histograms, and has no records.
static HISTOGRAM_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmhop-bpf-histogram"));

/// Linux that has atomic additions in BPF which return what was there (`BPF_FETCH`).
const ATOMIC_FETCH: (u32, u32) = (5, 12);
/// Where CPUs have their own buffers, the ring carries the addresses of flows alone.
const FLOW_RING_BYTES: u32 = 256 << 10;
/// In histogram mode nothing comes by the ring: the least that every page size allows.
const UNUSED_RING_BYTES: u32 = 64 << 10;
/// What a record takes in the ring, bytes: a header is before it (`BPF_RINGBUF_HDR_SZ`).
const RING_RECORD: u32 = size_of::<HopEvent>() as u32 + 8;
/// What a CPU gets at least, unless less was asked for all of them.
const LEAST_BYTES: u32 = 1 << 20;

/// How records get out of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BufferMode {
    /// By buffers of each CPU where this kernel can (x86-64, Linux 5.12), else by the ring
    #[default]
    Auto,
    /// One ring buffer of all CPUs
    Ring,
    /// A buffer of each CPU
    PerCpu,
}

/// How records get out, and how much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    outlet: Way,
    ring_bytes: u32,
}

/// By which way records get out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    PerCpu(Geometry),
    Ring,
    /// By none: what they would tell is counted in histograms.
    Histograms,
}

/// The buffers of all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    cpus: u32,
    /// Each has two to the power of this many slots.
    shift: u32,
}

impl Geometry {
    /// `bytes` are for all CPUs together, and are rounded up.
    fn new(cpus: u32, bytes: u32) -> Geometry {
        let each = (bytes / cpus).max(bytes.min(LEAST_BYTES));
        let slots = (each / size_of::<HopEvent>() as u32).max(2 * MARGIN as u32);
        Geometry { cpus, shift: slots.next_power_of_two().ilog2() }
    }
}

impl Buffers {
    /// Room for `bytes` of records, a power of two and a multiple of the page.
    ///
    /// # Errors
    /// Buffers of each CPU are asked for where this kernel has none.
    pub fn new(mode: BufferMode, bytes: u32) -> Result<Buffers> {
        let able = cfg!(target_arch = "x86_64") && kernel_version() >= Some(ATOMIC_FETCH);
        let per_cpu = match mode {
            BufferMode::Auto => able,
            BufferMode::Ring => false,
            BufferMode::PerCpu if able => true,
            BufferMode::PerCpu => {
                return Err(anyhow!("buffers of each CPU need Linux 5.12 on x86-64: take --buffers ring"));
            }
        };
        if !per_cpu {
            return Ok(Buffers { outlet: Way::Ring, ring_bytes: bytes });
        }
        let geometry = Geometry::new(online_cpus(), bytes);
        Ok(Buffers { outlet: Way::PerCpu(geometry), ring_bytes: FLOW_RING_BYTES })
    }

    /// None: the programs count in histograms.
    pub fn histograms() -> Buffers {
        Buffers { outlet: Way::Histograms, ring_bytes: UNUSED_RING_BYTES }
    }

    /// Whether the programs count in histograms.
    pub fn are_histograms(&self) -> bool {
        self.outlet == Way::Histograms
    }

    /// Loads the object whose programs write into these.
    pub(super) fn load<'a>(&'a self, loader: &mut EbpfLoader<'a>) -> Result<Ebpf, aya::EbpfError> {
        // Its name carries the version: an object that writes other records lacks it and does not load.
        loader.override_global("VMHOP_ABI_3", &ABI_VERSION, true);
        loader.map_max_entries("EVENTS", self.ring_bytes);
        match &self.outlet {
            Way::Ring => loader.load(RING_OBJECT),
            Way::Histograms => loader.load(HISTOGRAM_OBJECT),
            Way::PerCpu(Geometry { cpus, shift }) => {
                loader.map_max_entries("CURSORS", *cpus).map_max_entries("RECORDS", cpus << shift);
                loader.override_global("BUFFER_SHIFT", shift, true).load(PER_CPU_OBJECT)
            }
        }
    }

    /// Takes what the programs write to; can be taken once.
    pub(super) fn outlet(&self, ebpf: &mut Ebpf) -> Result<Outlet> {
        let ring = RingBuf::try_from(take(ebpf, "EVENTS")?).context("failed to map the ring buffer")?;
        let slots = match self.outlet {
            Way::PerCpu(geometry) => Some(Slots::map(ebpf, geometry)?),
            Way::Ring | Way::Histograms => None,
        };
        let room = match self.outlet {
            Way::PerCpu(geometry) => 1 << geometry.shift,
            Way::Ring => self.ring_bytes / RING_RECORD / online_cpus(),
            // No records come.
            Way::Histograms => u32::MAX,
        };
        Ok(Outlet { ring, slots, room: room as usize })
    }
}

fn kernel_version() -> Option<(u32, u32)> {
    host::version(&Host::here().kernel)
}

/// Where that cannot be read there is one CPU; what runs on others is counted as lost.
fn online_cpus() -> u32 {
    host::cpu_slots(&fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default())
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).ok_or_else(|| anyhow!("the BPF map {name} is not there, or was taken before"))
}

/// What the programs write to.
pub struct Outlet {
    pub(crate) ring: RingBuf<MapData>,
    pub(crate) slots: Option<Slots>,
    /// Records that one CPU has room for: of one ring, its share.
    pub(crate) room: usize,
}

/// The buffers of all CPUs, as memory.
pub struct Slots {
    geometry: Geometry,
    cursors: MmapRaw,
    records: MmapRaw,
}

impl Slots {
    fn map(ebpf: &mut Ebpf, geometry: Geometry) -> Result<Slots> {
        let (cpus, slots) = (geometry.cpus as usize, 1usize << geometry.shift);
        Ok(Slots {
            geometry,
            cursors: memory(ebpf, "CURSORS", cpus * size_of::<Cursor>())?,
            records: memory(ebpf, "RECORDS", cpus * slots * size_of::<HopEvent>())?,
        })
    }

    /// Number of CPUs with a buffer.
    pub(crate) fn cpus(&self) -> usize {
        self.geometry.cpus as usize
    }

    /// The time of a CPU's record at this count of slots, `CLOCK_MONOTONIC`, ns; none while there is none.
    pub(crate) fn time(&self, cpu: usize, at: u64) -> Option<u64> {
        // SAFETY: within the mapped memory by `slot`, aligned to a slot; the kernel writes meanwhile, so volatile. On
        // x86-64 what was written before this word is visible when it is.
        let marked = unsafe { self.slot(cpu, at).cast::<u64>().read_volatile() };
        time_of(marked, at >> self.geometry.shift)
    }

    /// That record, after [`Slots::time`] has told its time.
    pub(crate) fn record(&self, cpu: usize, at: u64, time_ns: u64) -> HopEvent {
        // SAFETY: as above, and of integers alone; a whole record, which no program writes to until it is given back.
        let record = unsafe { self.slot(cpu, at).cast::<HopEvent>().read_volatile() };
        HopEvent { time_ns, ..record }
    }

    /// Gives all slots before `at` back to the programs.
    pub(crate) fn give_back(&self, cpu: usize, at: u64) {
        let offset = cpu * size_of::<Cursor>() + std::mem::offset_of!(Cursor, read);
        // SAFETY: within the mapped memory: there is a cursor for each CPU. The word is this side's alone.
        unsafe { self.cursors.as_mut_ptr().add(offset).cast::<u64>().write_volatile(at) };
    }

    fn slot(&self, cpu: usize, at: u64) -> *const u8 {
        let shift = self.geometry.shift;
        let slot = (cpu << shift) + (at & ((1 << shift) - 1)) as usize;
        // SAFETY: a slot of a CPU that has a buffer.
        unsafe { self.records.as_ptr().add(slot * size_of::<HopEvent>()) }
    }
}

fn memory(ebpf: &mut Ebpf, name: &str, bytes: usize) -> Result<MmapRaw> {
    let Map::Array(map) = take(ebpf, name)? else { bail!("the BPF map {name} is no array") };
    // What is mapped stays when the descriptor is closed.
    MmapOptions::new().len(bytes).map_raw(&map.fd().as_fd()).context("failed to map the buffers of the CPUs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpus_share_the_room_and_have_enough_each() {
        let slots = |cpus, bytes| 1u32 << Geometry::new(cpus, bytes).shift;
        assert_eq!(slots(2, 32 << 20), 1 << 18);
        assert_eq!(slots(6, 32 << 20), 1 << 17);
        assert_eq!(slots(128, 32 << 20), 1 << 14);
        assert_eq!(slots(2, 4096), 128);
    }
}
