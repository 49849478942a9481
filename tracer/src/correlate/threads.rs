//! Events that belong to no frame, kept until a frame claims them: which thread woke, kicked, wrote, when.
//!
//! Joined by causality alone: same thread, or same VM, nearest in order. What nothing claims is no defect:
//! threads also wake for timers, and write frames that the filter leaves out.

use rustc_hash::FxHashMap;
use tracer_common::hop::Hop;

use crate::{
    correlate::passage::{Rule, Stamp},
    decode::Event,
    topology::{self, ThreadRole, Topology},
};

/// What is known of one thread.
#[derive(Debug, Default)]
struct Thread {
    /// None for a thread that came up only in the recording.
    vm: Option<usize>,
    /// Of a vCPU: whether it is known to run.
    runs: bool,
    /// Last time it got the CPU.
    wake: Option<Stamp>,
    /// Whether it moved a frame since then.
    moved_since_wake: bool,
    /// A write to a tap that has not become a frame yet.
    write: Option<Write>,
}

/// A write to a tap, and what led to it.
#[derive(Debug)]
struct Write {
    stamp: Stamp,
    slot: Option<u8>,
    causes: Vec<Stamp>,
}

/// Per-thread and per-VM memory.
#[derive(Debug, Default)]
pub struct Threads {
    threads: FxHashMap<u32, Thread>,
    /// By VM: the last kick that no frame has claimed.
    kicks: Vec<Option<Stamp>>,
    /// By CPU: the last NIC interrupt that no frame has claimed, with the NIC's slot.
    interrupts: FxHashMap<u16, (Stamp, Option<u8>)>,
    /// Slot of a tap → VM.
    vm_of_tap: FxHashMap<u8, usize>,
    /// Whether the recording says when vCPUs stop running; without, none is known to run.
    leaves_seen: bool,
    /// By VM: whether threads that run its guest are known.
    has_vcpus: Vec<bool>,
}

impl Threads {
    /// Threads and taps of the traced VMs. `slot_of` names a device's slot by namespace and index.
    pub fn new(topology: &Topology, slot_of: impl Fn(u32, u32) -> Option<u8>) -> Threads {
        let mut threads = Threads { kicks: vec![None; topology.vms.len()], ..Threads::default() };
        for (vm, entry) in topology.vms.iter().enumerate() {
            let is_vcpu = |thread: &topology::Thread| matches!(thread.role, ThreadRole::Vcpu(_));
            threads.has_vcpus.push(entry.threads.iter().any(is_vcpu));
            let moves_frames = |role: ThreadRole| role != ThreadRole::Other;
            for thread in entry.threads.iter().filter(|thread| moves_frames(thread.role)) {
                threads.threads.insert(thread.tid as u32, Thread { vm: Some(vm), ..Thread::default() });
            }
            for tap in &entry.taps {
                if let Some(slot) = slot_of(tap.device.netns, tap.device.ifindex) {
                    threads.vm_of_tap.insert(slot, vm);
                }
            }
        }
        threads
    }

    /// Whether a frame copied into this VM's guest can be seen to be taken by a vCPU.
    pub fn has_vcpus(&self, vm: usize) -> bool {
        self.has_vcpus.get(vm).copied().unwrap_or_default()
    }

    /// Notes that a vCPU starts or stops running.
    pub fn vcpu_runs(&mut self, tid: u32, runs: bool) {
        self.leaves_seen |= !runs;
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.runs = runs && self.leaves_seen;
        }
    }

    /// Whether a vCPU of this VM runs, so that it can take an interrupt without an entry that shows.
    pub fn has_running_vcpu(&self, vm: usize) -> bool {
        self.threads.values().any(|thread| thread.runs && thread.vm == Some(vm))
    }

    /// The VM behind a tap's slot.
    pub fn vm_of_tap(&self, slot: u8) -> Option<usize> {
        self.vm_of_tap.get(&slot).copied()
    }

    /// The VM that a thread works for.
    pub fn vm_of_thread(&self, tid: u32) -> Option<usize> {
        self.threads.get(&tid)?.vm
    }

    /// Keeps an event of a thread or CPU for the frame that it belongs to.
    pub fn remember(&mut self, event: &Event) {
        let stamp = Stamp::of(event, Rule::Thread);
        match event.hop {
            Hop::VmmKick => {
                if let Some(vm) = self.vm_of_thread(event.tid) {
                    self.kicks[vm] = Some(stamp);
                }
            }
            Hop::VmmWake => {
                let thread = self.threads.entry(event.tid).or_default();
                (thread.wake, thread.moved_since_wake) = (Some(stamp), false);
            }
            Hop::TapWrite => {
                let causes = self.causes_of_write(event.tid, event.time_ns);
                let write = Write { stamp, slot: event.device, causes };
                self.threads.entry(event.tid).or_default().write = Some(write);
            }
            Hop::NicIrq => {
                self.interrupts.insert(event.cpu, (Stamp { rule: Rule::Cpu, ..stamp }, event.device));
            }
            _ => {}
        }
    }

    /// Takes what led to a write that begins now: the wake and the kick, where it is the first since. Later writes
    /// of the same run found their frames by looking, not by being told.
    fn causes_of_write(&mut self, tid: u32, time_ns: u64) -> Vec<Stamp> {
        let Some(thread) = self.threads.get_mut(&tid) else { return Vec::new() };
        let first = !std::mem::replace(&mut thread.moved_since_wake, true);
        let wake = thread.wake.filter(|wake| first && wake.time_ns <= time_ns);
        let kick = thread.vm.and_then(|vm| self.kicks.get_mut(vm));
        let kick = kick.and_then(|kick| kick.take_if(|kick| kick.time_ns <= time_ns));
        // A kick that found the thread running already was not what woke it.
        let wake = wake.filter(|wake| kick.is_none_or(|kick| kick.time_ns <= wake.time_ns));
        kick.into_iter().chain(wake).collect()
    }

    /// Claims what led to a frame that enters at a tap: its write, with the wake and the kick before that. The frame
    /// was first seen at `seen_ns`, by its birth or an XDP program before it.
    pub fn claim_write(&mut self, birth: &Event, seen_ns: u64) -> Vec<Stamp> {
        let Some(thread) = self.threads.get_mut(&birth.tid) else { return Vec::new() };
        let Some(write) = thread.write.take() else {
            // Its write was not seen; what led to it leads to no later one.
            self.causes_of_write(birth.tid, birth.time_ns);
            return Vec::new();
        };
        if write.slot != birth.device || write.stamp.time_ns > seen_ns {
            return Vec::new();
        }
        let mut stamps = write.causes;
        stamps.push(write.stamp);
        stamps
    }

    /// Says that a thread has read a frame: what it writes later in the same run it was not woken for.
    pub fn moved(&mut self, tid: u32) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.moved_since_wake = true;
        }
    }

    /// The wake of the thread that reads a frame, if it came after the frame was in the ring.
    pub fn wake_between(&self, tid: u32, ring_ns: u64, read_ns: u64) -> Option<Stamp> {
        let wake = self.threads.get(&tid)?.wake?;
        (ring_ns < wake.time_ns && wake.time_ns <= read_ns).then_some(wake)
    }

    /// Claims the interrupt that announced a frame: the last one of that NIC on this CPU, for the first frame
    /// taken in after it, which was first seen at `seen_ns`.
    pub fn claim_interrupt(&mut self, arrival: &Event, seen_ns: u64) -> Option<Stamp> {
        let (stamp, slot) = *self.interrupts.get(&arrival.cpu)?;
        if slot != arrival.device || stamp.time_ns > seen_ns {
            return None;
        }
        self.interrupts.remove(&arrival.cpu);
        Some(stamp)
    }
}
