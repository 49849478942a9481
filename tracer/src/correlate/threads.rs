//! Events that belong to no frame, kept until a frame claims them: which thread woke, kicked, wrote, when.
//!
//! Joined by causality alone: same thread, or same VM, nearest in order. What nothing claims is no defect:
//! threads also wake for timers, and write frames that the filter leaves out.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tracer_common::hop::{Hook, Hop};

use crate::{
    correlate::{
        kicks::Kicks,
        passage::{Rule, Stamp},
    },
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
    /// Of a vCPU: its last kick, unless that was for a vhost queue.
    kick: Option<Stamp>,
    /// Last time it was told to run.
    runnable: Option<Stamp>,
    /// Last time it got the CPU.
    wake: Option<Stamp>,
    /// Whether it moved a frame since then.
    moved_since_wake: bool,
    /// Last time it moved a frame, ns. What told it to run before that told it of another frame.
    moved_ns: u64,
    /// A write to a tap that has not become a frame yet; of vhost's, which hand over many frames at once, the last one.
    write: Option<Write>,
    /// Of a vhost worker: whether it says which queue it serves, and the kick that made it.
    queue_kick: Option<Option<Stamp>>,
}

/// A write to a tap, and what led to it.
#[derive(Debug)]
struct Write {
    stamp: Stamp,
    slot: Option<u8>,
    causes: Causes,
    /// Whether a frame of it has been seen.
    taken: bool,
}

/// What led to a frame, in order: kick, `vmm.runnable`, `vmm.wake`, and the write itself.
pub(super) type Causes = SmallVec<[Stamp; 4]>;

impl Thread {
    /// It does something else now: what it handed over, it has handed over.
    fn ends_batch(&mut self) {
        self.write.take_if(|write| write.taken);
    }

    /// When it was told to run, and when it got the CPU, as far as both lie between two times.
    fn woken(&self, since_ns: u64, until_ns: u64) -> [Option<Stamp>; 2] {
        let wake = self.wake.filter(|wake| since_ns <= wake.time_ns && wake.time_ns <= until_ns);
        let Some(wake) = wake else { return [None; 2] };
        let told = |told: &Stamp| since_ns <= told.time_ns && told.time_ns <= wake.time_ns;
        [self.runnable.filter(told), Some(wake)]
    }
}

/// Whether a write is a vhost worker's, which hands over many frames at once.
fn is_of_vhost(hook: Hook) -> bool {
    matches!(hook, Hook::TunSendmsg | Hook::TapSendmsg)
}

/// Threads that came up only in the recording, which can be any: more are not kept apart.
const MOST_UNKNOWN: usize = 4096;

/// Per-thread and per-VM memory.
#[derive(Debug, Default)]
pub struct Threads {
    threads: FxHashMap<u32, Thread>,
    /// How many of these came up only in the recording.
    unknown: usize,
    /// How many of those were given up, for want of room.
    evicted: u64,
    /// By VM.
    kicks: Vec<Kicks>,
    /// By CPU: the last NIC interrupt that no frame has claimed, with the NIC's slot.
    interrupts: FxHashMap<u16, (Stamp, Option<u8>)>,
    /// Slot of a tap → VM.
    vm_of_tap: FxHashMap<u8, usize>,
    /// Whether the recording says when vCPUs stop running; without, none is known to run.
    leaves_seen: bool,
    /// Whether the recording says which queues kicks are for; then no other kick is a vhost worker's.
    queues_told: bool,
    /// By VM: how many of its vCPUs run.
    running: Vec<usize>,
    /// By VM: whether threads that run its guest are known.
    has_vcpus: Vec<bool>,
    /// By VM: whether its guest runs on KVM.
    kvm: Vec<bool>,
}

impl Threads {
    /// Threads and taps of the traced VMs. `slot_of` names a device's slot by namespace and index.
    pub fn new(topology: &Topology, slot_of: impl Fn(u32, u32) -> Option<u8>) -> Threads {
        let mut threads = Threads::default();
        threads.meet(topology, slot_of);
        threads
    }

    /// The same, with more VMs behind those that were known, and more of what these have; nothing is forgotten.
    pub fn meet(&mut self, topology: &Topology, slot_of: impl Fn(u32, u32) -> Option<u8>) {
        let vms = topology.vms.len();
        self.kicks.resize_with(vms, Kicks::default);
        self.running.resize(vms, 0);
        self.kvm = topology.vms.iter().map(|vm| vm.kvm).collect();
        let is_vcpu = |thread: &topology::Thread| matches!(thread.role, ThreadRole::Vcpu(_));
        self.has_vcpus = topology.vms.iter().map(|vm| vm.threads.iter().any(is_vcpu)).collect();
        for (vm, entry) in topology.vms.iter().enumerate() {
            let moves_frames = |thread: &&topology::Thread| thread.role != ThreadRole::Other;
            for thread in entry.threads.iter().filter(moves_frames) {
                self.meet_thread(thread.tid as u32, vm);
            }
            for tap in &entry.taps {
                if let Some(slot) = slot_of(tap.device.netns, tap.device.ifindex) {
                    self.vm_of_tap.insert(slot, vm);
                }
            }
        }
    }

    /// One that is known already keeps what is known of it.
    fn meet_thread(&mut self, tid: u32, vm: usize) {
        let thread = self.threads.entry(tid).or_insert_with(|| Thread { vm: Some(vm), ..Thread::default() });
        if thread.vm.is_none() {
            thread.vm = Some(vm);
            self.running[vm] += usize::from(thread.runs);
            self.unknown = self.unknown.saturating_sub(1);
        }
    }

    /// Whether a frame copied into this VM's guest can be seen to be taken by a vCPU.
    pub fn has_vcpus(&self, vm: usize) -> bool {
        self.has_vcpus.get(vm).copied().unwrap_or_default()
    }

    /// Whether this VM's guest runs on KVM, which announces frames by interrupts that can be seen.
    pub fn is_on_kvm(&self, vm: usize) -> bool {
        self.kvm.get(vm).copied().unwrap_or_default()
    }

    /// Notes that a vCPU starts or stops running.
    pub fn vcpu_runs(&mut self, tid: u32, runs: bool) {
        self.leaves_seen |= !runs;
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let ran = std::mem::replace(&mut thread.runs, runs && self.leaves_seen);
        if let Some(running) = thread.vm.and_then(|vm| self.running.get_mut(vm)) {
            *running = *running + usize::from(thread.runs) - usize::from(ran);
        }
    }

    /// Whether a vCPU of this VM runs, so that it can take an interrupt without an entry that shows.
    pub fn has_running_vcpu(&self, vm: usize) -> bool {
        self.running.get(vm).is_some_and(|running| *running > 0)
    }

    /// The VM behind a tap's slot.
    pub fn vm_of_tap(&self, slot: u8) -> Option<usize> {
        self.vm_of_tap.get(&slot).copied()
    }

    /// The VM that a thread works for.
    pub fn vm_of_thread(&self, tid: u32) -> Option<usize> {
        self.threads.get(&tid)?.vm
    }

    /// What was given up for want of room: threads, and doorbells and queues of vhost.
    pub fn evicted(&self) -> (u64, u64) {
        (self.evicted, self.kicks.iter().map(|kicks| kicks.evicted).sum())
    }

    /// What is known of a thread, or will be.
    fn thread(&mut self, tid: u32) -> &mut Thread {
        if self.unknown >= MOST_UNKNOWN && !self.threads.contains_key(&tid) {
            self.threads.retain(|_, thread| thread.vm.is_some());
            self.evicted += std::mem::take(&mut self.unknown) as u64;
        }
        self.threads.entry(tid).or_insert_with(|| {
            self.unknown += 1;
            Thread::default()
        })
    }

    /// Keeps an event of a thread or CPU for the frame that it belongs to.
    pub fn remember(&mut self, event: &Event) {
        let stamp = Stamp::of(event, Rule::Thread);
        match event.hop {
            Hop::VmmKick => {
                let Some(vm) = self.vm_of_thread(event.tid) else { return };
                self.kicks[vm].ring(event.digest, stamp, event.tid);
                self.thread(event.tid).kick = Some(stamp);
            }
            Hop::VhostNotify => {
                self.queues_told = true;
                self.notify(event);
            }
            Hop::VhostTransmit => self.transmit(event),
            Hop::VmmRunnable => self.thread(event.tid).runnable = Some(stamp),
            Hop::VmmWake => {
                let thread = self.thread(event.tid);
                (thread.wake, thread.moved_since_wake) = (Some(stamp), false);
                thread.ends_batch();
            }
            Hop::TapWrite => {
                if self.queues_told && is_of_vhost(event.hook) {
                    self.thread(event.tid).queue_kick.get_or_insert_default();
                }
                let causes = self.causes_of_write(event.tid, event.time_ns);
                let write = Write { stamp, slot: event.device, causes, taken: false };
                self.thread(event.tid).write = Some(write);
            }
            Hop::NicIrq => {
                self.interrupts.insert(event.cpu, (Stamp { rule: Rule::Cpu, ..stamp }, event.device));
            }
            _ => {}
        }
    }

    /// The vCPU's last kick reaches a queue of vhost: from now on it is that queue's. The first one since the worker
    /// last began there is what makes it begin again.
    fn notify(&mut self, event: &Event) {
        let Some(thread) = self.threads.get_mut(&event.tid) else { return };
        let (Some(vm), Some(kick)) = (thread.vm, thread.kick.take()) else { return };
        self.kicks[vm].reached(event.digest, kick, event.tid);
    }

    /// A vhost worker begins to take frames from a queue.
    fn transmit(&mut self, event: &Event) {
        let vm = self.vm_of_thread(event.tid);
        let kick = vm.and_then(|vm| self.kicks[vm].begun(event.digest));
        let thread = self.thread(event.tid);
        (thread.queue_kick, thread.write) = (Some(kick), None);
    }

    /// Takes what led to a write that begins now: the kick, and, where it is the first since, what set the thread
    /// running. Later writes of the same run found their frames by looking, not by being told.
    fn causes_of_write(&mut self, tid: u32, time_ns: u64) -> Causes {
        let Some(thread) = self.threads.get_mut(&tid) else { return Causes::new() };
        let first = !std::mem::replace(&mut thread.moved_since_wake, true);
        let kick = match &mut thread.queue_kick {
            Some(kick) => kick.take(),
            None => thread.vm.and_then(|vm| self.kicks.get_mut(vm)).and_then(|kicks| kicks.claim(time_ns)),
        };
        // A kick that found the thread running already was not what woke it. One that has moved frames since it was told
        // to run, and only lost the CPU for a while, was not told again.
        let moved_ns = std::mem::replace(&mut thread.moved_ns, time_ns);
        let since_ns = kick.map_or(moved_ns, |kick| kick.time_ns.max(moved_ns));
        let woken = if first { thread.woken(since_ns, time_ns) } else { [None; 2] };
        kick.into_iter().chain(woken.into_iter().flatten()).collect()
    }

    /// Claims what led to a frame that enters at a tap: its write, with the wake and the kick before that. The frame
    /// was first seen at `seen_ns`, by its birth or an XDP program before it.
    pub fn claim_write(&mut self, birth: &Event, seen_ns: u64) -> Causes {
        let Some(thread) = self.threads.get_mut(&birth.tid) else { return Causes::new() };
        let Some(write) = thread.write.take() else {
            // Its write was not seen; what led to it leads to no later one.
            self.causes_of_write(birth.tid, birth.time_ns);
            return Causes::new();
        };
        // The descriptor of a system call tells the tap; other hooks are in the thread that takes the frame in at once.
        let other_tap = write.slot.is_some() && write.slot != birth.device;
        if other_tap || write.stamp.time_ns > seen_ns {
            return Causes::new();
        }
        let mut stamps = write.causes;
        stamps.push(write.stamp);
        if is_of_vhost(write.stamp.hook) {
            thread.write = Some(Write { causes: Causes::new(), taken: true, ..write });
        }
        stamps
    }

    /// Says that a thread has read a frame: what it writes later in the same run it was not woken for.
    pub fn moved(&mut self, tid: u32, time_ns: u64) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            (thread.moved_since_wake, thread.moved_ns) = (true, time_ns);
            thread.ends_batch();
        }
    }

    /// What set the thread running that reads a frame, if it came after the frame was in the ring.
    pub fn woken_between(&self, tid: u32, ring_ns: u64, read_ns: u64) -> impl Iterator<Item = Stamp> {
        let woken = self.threads.get(&tid).map_or([None; 2], |thread| thread.woken(ring_ns, read_ns));
        woken.into_iter().flatten()
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
