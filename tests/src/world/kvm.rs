//! Guests on KVM: a thread for each queue, which one kick sets running for many frames, and which tells the guest of
//! what it copied by an interrupt, unless the guest polls.

use std::collections::HashMap;

use tracer_common::hop::{Hook, Hop};

use super::{Content, Machine, build::Builder, tap, way::Copy, worker};

/// Doorbells and names of queues; numbers of queues are added.
const TRANSMIT: u64 = 0x1000;
const RECEIVE: u64 = 0x2000;
const DISK: u64 = 0x3000;
/// After this a thread that has nothing to do is asleep, ns.
const IDLE_NS: u64 = 20_000;

/// The state of a thread that moves frames.
#[derive(Clone, Debug, Default)]
struct Worker {
    vm: usize,
    busy_ns: u64,
    /// Whether it has begun on its queue.
    begun: bool,
    /// Frames copied that the guest has not been told of, and when the last copy ended.
    copied: Vec<usize>,
    copied_ns: u64,
    /// What was copied before was not announced: the guest polled, until the thread sleeps.
    must_sleep: bool,
    /// A write that further frames may belong to.
    batch_ns: Option<u64>,
}

/// An entry that an interrupt waits for.
#[derive(Clone, Debug)]
struct Entry {
    entry_ns: u64,
    /// The first signal that it is for.
    since_ns: u64,
    /// The last signal before it, and by whom.
    signalled_ns: u64,
    signaller: u32,
    /// Frames, and who announced them.
    taken: Vec<(usize, u32)>,
}

/// All threads that move frames of guests on KVM.
#[derive(Debug, Default)]
pub(super) struct Workers {
    workers: HashMap<u32, Worker>,
    /// By vCPU.
    entries: HashMap<u32, Vec<Entry>>,
}

impl Builder {
    fn worker(&mut self, tid: u32) -> &mut Worker {
        self.kvm.workers.entry(tid).or_default()
    }

    /// The queue that a flow takes.
    fn queue_of(&self, content: &Content) -> usize {
        (content.flow / 1000) as usize % self.recipe.machine.queues()
    }

    fn is_vhost(&self) -> bool {
        matches!(self.recipe.machine, Machine::Kvm { vhost: true, .. })
    }

    /// An event of a thread that names a queue or doorbell.
    fn named(&mut self, at_ns: u64, hop: Hop, hook: Hook, tid: u32, name: u64) -> u64 {
        let time_ns = self.thread(at_ns, hop, tid, None);
        if let Some(draft) = self.drafts.last_mut() {
            (draft.event.digest, draft.event.hook) = (name, hook);
        }
        time_ns
    }

    /// Out of a guest.
    pub(super) fn leave_kvm(
        &mut self,
        at_ns: u64,
        vm: usize,
        content: &Content,
        memory: (usize, usize),
        owners: &[usize],
    ) -> u64 {
        let queue = self.queue_of(content);
        let tid = worker(vm, queue);
        self.worker(tid).vm = vm;
        let since_ns = self.worker(tid).busy_ns;
        let mut now_ns = at_ns.max(since_ns + 200);
        self.announce(tid);
        let sleeps = now_ns > since_ns + IDLE_NS || self.random.one_in(4);
        let batch_ns = self.worker(tid).batch_ns.take_if(|_| !sleeps);
        if let Some(write_ns) = batch_ns.filter(|_| self.random.one_in(2)) {
            self.owned(write_ns, owners);
            self.worker(tid).batch_ns = Some(write_ns);
        } else {
            let begun = std::mem::replace(&mut self.worker(tid).begun, true);
            let kicked = sleeps || !begun || self.random.one_in(3);
            now_ns = self.set_running(now_ns, (tid, queue), sleeps, kicked, owners);
            let hook = if self.is_vhost() { Hook::TunSendmsg } else { Hook::TunChrWriteIter };
            now_ns = self.named(now_ns, Hop::TapWrite, hook, tid, 0);
            self.owned(now_ns, owners);
            let vhost = self.is_vhost();
            self.worker(tid).batch_ns = Some(now_ns).filter(|_| vhost);
        }
        now_ns = self.enter_stack(now_ns + 100, (vm, tid), content, memory, owners);
        let worker = self.worker(tid);
        (worker.busy_ns, worker.must_sleep) = (now_ns + 500, false);
        if self.random.one_in(5) {
            // What was sent is done with.
            let time_ns = self.signal(now_ns + 300, tid, &[]);
            self.worker(tid).busy_ns = time_ns + 200;
        }
        now_ns
    }

    /// What goes before a thread's write: kicks, perhaps of other queues and devices, and the scheduler.
    fn set_running(
        &mut self,
        at_ns: u64,
        (tid, queue): (u32, usize),
        sleeps: bool,
        kicked: bool,
        owners: &[usize],
    ) -> u64 {
        let (vcpu, vhost, queue) = (tid + 1, self.is_vhost(), queue as u64);
        let mut now_ns = at_ns;
        if vhost && self.random.one_in(4) {
            now_ns = self.named(now_ns, Hop::VmmKick, Hook::IoeventfdWrite, vcpu, RECEIVE + queue) + 20;
            now_ns =
                self.named(now_ns, Hop::VhostNotify, Hook::VhostPollWakeup, vcpu, RECEIVE + u64::from(tid))
                    + 50;
        }
        if vhost && self.random.one_in(4) {
            now_ns = self.named(now_ns, Hop::VmmKick, Hook::IoeventfdWrite, vcpu, DISK) + 50;
        }
        if kicked {
            now_ns = self.named(now_ns, Hop::VmmKick, Hook::IoeventfdWrite, vcpu, TRANSMIT + queue);
            self.owned(now_ns, owners);
            now_ns += 20;
            if vhost {
                let name = TRANSMIT + u64::from(tid);
                now_ns = self.named(now_ns, Hop::VhostNotify, Hook::VhostPollWakeup, vcpu, name) + 20;
            }
        }
        if sleeps {
            now_ns = self.wake(now_ns, tid, owners);
        }
        if vhost && (kicked || self.random.one_in(2)) {
            let name = TRANSMIT + u64::from(tid);
            now_ns = self.named(now_ns, Hop::VhostTransmit, Hook::HandleTxKick, tid, name) + 100;
        }
        now_ns
    }

    /// A thread that sleeps is told to run, and runs, for these frames.
    fn wake(&mut self, at_ns: u64, tid: u32, owners: &[usize]) -> u64 {
        let told_ns = self.named(at_ns, Hop::VmmRunnable, Hook::SchedWaking, tid, 0);
        let pause_ns = self.random.latency();
        let wake_ns = self.named(told_ns + pause_ns, Hop::VmmWake, Hook::SchedSwitch, tid, 0);
        for time_ns in [told_ns, wake_ns] {
            self.owned(time_ns, owners);
        }
        let pause_ns = self.random.latency();
        wake_ns + pause_ns
    }

    /// An event of a thread that must be found in the passages of these frames.
    fn owned(&mut self, time_ns: u64, owners: &[usize]) {
        self.owners.entry(time_ns).or_default().extend(owners);
        self.expect(time_ns, owners);
    }

    /// Out of the tap's ring, into a guest.
    pub(super) fn enter_kvm(&mut self, ring_ns: u64, vm: usize, copy: Copy<'_>) -> u64 {
        let tid = worker(vm, self.queue_of(copy.content));
        let latency_ns = self.random.latency();
        let Worker { busy_ns, must_sleep, .. } = *self.worker(tid);
        let mut now_ns = (ring_ns + latency_ns).max(busy_ns + 200);
        let more = !self.worker(tid).copied.is_empty() && now_ns < busy_ns + IDLE_NS && self.random.one_in(3);
        if !more {
            let polls = self.announce(tid);
            if polls || must_sleep || now_ns > busy_ns + IDLE_NS || self.random.one_in(2) {
                now_ns = self.wake(now_ns, tid, &[copy.journey]);
            }
        }
        let read_ns = self.stamp(now_ns, Hop::VmmRead, tap(vm), copy);
        self.tid_of_last(tid);
        let latency_ns = self.random.latency();
        let end_ns = self.stamp(read_ns + latency_ns, Hop::SkbFree, tap(vm), copy);
        let worker = self.worker(tid);
        worker.copied.push(copy.journey);
        (worker.vm, worker.busy_ns, worker.copied_ns) = (vm, end_ns, end_ns);
        (worker.must_sleep, worker.batch_ns) = (false, None);
        end_ns + 500
    }

    /// A thread is through with what it copies: it tells the guest, unless the guest polls. Says whether it does.
    fn announce(&mut self, tid: u32) -> bool {
        let copied = std::mem::take(&mut self.worker(tid).copied);
        if copied.is_empty() || !self.recipe.vcpu {
            return false;
        }
        let polls = self.random.one_in(4);
        self.worker(tid).must_sleep = polls;
        if !polls {
            let copied_ns = self.worker(tid).copied_ns;
            self.signal(copied_ns + 50, tid, &copied);
        }
        polls
    }

    /// A thread signals its guest, for these frames; a vCPU is entered, once for all that has signalled to it.
    fn signal(&mut self, at_ns: u64, tid: u32, frames: &[usize]) -> u64 {
        if !self.recipe.vcpu {
            return at_ns;
        }
        let irq_ns = self.named(at_ns, Hop::VmmIrq, Hook::IrqfdWakeup, tid, 0);
        self.owned(irq_ns, frames);
        // The third queue shares the first one's vCPU.
        let vcpu = if tid % 10 == 4 { tid - 3 } else { tid + 1 };
        let taken = frames.iter().map(|frame| (*frame, tid));
        let entered_ns = irq_ns + self.random.latency();
        let entries = self.kvm.entries.entry(vcpu).or_default();
        let waits = |entry: &&mut Entry| entry.since_ns <= entered_ns && irq_ns < entry.entry_ns;
        if let Some(entry) = entries.iter_mut().filter(waits).min_by_key(|entry| entry.entry_ns) {
            if entry.signalled_ns < irq_ns {
                (entry.signalled_ns, entry.signaller) = (irq_ns, tid);
            }
            entry.since_ns = entry.since_ns.min(irq_ns);
            entry.taken.extend(taken);
            return irq_ns;
        }
        let taken = taken.collect();
        let entry_ns = self.named(entered_ns, Hop::VcpuEnter, Hook::KvmEntry, vcpu, 0);
        let entry = Entry { entry_ns, since_ns: irq_ns, signalled_ns: irq_ns, signaller: tid, taken };
        self.kvm.entries.entry(vcpu).or_default().push(entry);
        irq_ns
    }

    /// Tells what has not been told yet, and says of every entry who had signalled last.
    pub(super) fn settle(&mut self) {
        let mut tids: Vec<_> = self.kvm.workers.keys().copied().collect();
        tids.sort_unstable();
        for tid in tids {
            self.announce(tid);
        }
        let entries: Vec<_> = std::mem::take(&mut self.kvm.entries).into_values().flatten().collect();
        let mut signallers = HashMap::new();
        for entry in entries {
            signallers.insert(entry.entry_ns, entry.signaller);
            for (frame, announcer) in entry.taken {
                self.owners.entry(entry.entry_ns).or_default().push(frame);
                if announcer == entry.signaller {
                    self.expect(entry.entry_ns, &[frame]);
                }
            }
        }
        for draft in self.drafts.iter_mut().filter(|draft| draft.event.hop == Hop::VcpuEnter) {
            draft.event.seq = signallers.get(&draft.event.time_ns).copied().unwrap_or_default();
        }
    }
}

/// The truth about what else set a thread running that reads a frame: whatever told it to after the frame was in the
/// ring.
pub(super) fn own_reads(builder: &Builder, tid: u32, truth: &mut HashMap<u64, Vec<usize>>) {
    let mut rings: HashMap<usize, u64> = HashMap::new();
    let (mut told, mut woken) = (None, None);
    for draft in &builder.drafts {
        let time_ns = draft.event.time_ns;
        let owners = || builder.owners.get(&time_ns).cloned().unwrap_or_default();
        match draft.event.hop {
            Hop::TapRing => rings.extend(owners().iter().map(|owner| (*owner, time_ns))),
            Hop::VmmRunnable if draft.event.tid == tid => told = Some(time_ns),
            Hop::VmmWake if draft.event.tid == tid => woken = Some(time_ns),
            Hop::VmmRead if draft.event.tid == tid => {
                for owner in owners() {
                    let ring_ns = rings.get(&owner).copied().unwrap_or(u64::MAX);
                    for since in [told, woken].into_iter().flatten().filter(|since| ring_ns <= *since) {
                        truth.entry(since).or_default().push(owner);
                    }
                }
            }
            _ => {}
        }
    }
}
