//! Correlation: from events to passages, and from passages to exchanges. Pure: no clock but the events' own,
//! no I/O, memory bounded by [`Limits`]. The same events give the same passages, in whatever pieces they come.
//!
//! # The rules, in their order
//! 1. **pointer**: an event of an `sk_buff` address whose life is open belongs to that passage, if its hop
//!    lies further on the way ([`Hop::stage`]) and the content, where both were read, is the same. At
//!    the user's hooks, where no content was read, the buffer must be the same, and what shows content next
//!    must not say that the address was another's by then; at `ip.out`, where it may have another buffer, the content
//!    must. Otherwise
//!    the address was recycled: the old passage ends there, unfinished. Only a driver sees a frame twice (it was
//!    busy), and IP, if it goes into a tunnel; whatever else comes again is another frame, however alike: frames that the host itself takes in
//!    are freed out of sight, and their addresses come back within microseconds.
//! 2. **head**: an unknown address whose `skb->head` is open and whose content is the same is a clone that a
//!    flood made: a branch, which shares its parent's hops so far. Other content: the buffer was recycled. A frame
//!    that arrives from outside is a clone of nothing: the passage that its buffer is still known for is over.
//! 3. **range**: an unknown address behind a super-frame that was freed on its way, whose bytes lie inside it, is one of
//!    its segments: a branch ([`cutting`]).
//!    The other way round, at GRO, the super-frame stands for the frames inside it ([`arriving`]).
//! 4. **content**: an XDP program saw the frame before it had an address; the next birth on that device with
//!    the same digest is it. More than one waiting: paired in order, and counted as ambiguous. Generic XDP runs
//!    after the tracepoints (`__netif_receive_skb_core`, v5.4 and later): what it sees is born already.
//! 5. **thread** and **cpu**: events that belong to no frame ([`threads`]).
//!
//! An event that no rule joins and that cannot begin a passage is counted as seen and not matched.

mod arriving;
mod cutting;
pub mod exchange;
mod joining;
mod kicks;
mod leaving;
mod open;
mod order;
pub(crate) mod origin;
mod passage;
mod recent;
mod release;
mod sights;
mod spare;
pub mod threads;

use rustc_hash::FxHashMap;
use tracer_common::hop::{Hook, Hop};

pub use self::passage::{Branch, End, Passage, Rule, Side, Stamp};
use self::{
    arriving::Arriving, cutting::Cutting, open::OpenTable, order::Reorder, origin::Origins, release::Release,
    sights::Sights, spare::Spare, threads::Threads,
};
use crate::{decode::Event, per_hop::PerHop, topology::Topology};

/// Bounds of memory and patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Passages open at once; beyond, the oldest is given up.
    pub open: usize,
    /// Event time after which an open passage is given up, ns.
    pub patience_ns: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::of_frames(1 << 18)
    }
}

impl Limits {
    /// Limits that allow for so many frames on their way at once.
    pub fn of_frames(frames: usize) -> Limits {
        Limits { open: frames, patience_ns: 30_000_000_000 }
    }
}

/// Events that wait to be put in order, for each frame that the limits allow.
const EVENTS_PER_FRAME: usize = 4;
/// How long a frame may be on its way through the stack, ns of event time: what is not queued by then was taken in
/// by the host itself, out of sight. Shorter than a passage may hold back its answer ([`release`]).
const STACK_WITHIN_NS: u64 = 500_000_000;
/// How often what is too old is looked for, ns of event time.
const EXPIRE_EVERY_NS: u64 = 100_000;
/// How long after its copy into the guest a frame may wait for a vCPU, ns of event time.
const ENTER_WITHIN_NS: u64 = 10_000_000;
/// How long after its copy into the guest a frame may wait for the interrupt that announces it, and for the entry of
/// the vCPU that has it, ns of event time. As long as a passage may hold back its answer ([`release`]).
const ANNOUNCE_WITHIN_NS: u64 = 1_000_000_000;

/// What was seen at each hop, indexed by `Hop as usize`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events.
    pub events: PerHop<u64>,
    /// Events that could have belonged to more than one passage.
    pub ambiguous: PerHop<u64>,
}

/// What the plan of a recording means for its passages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `vmm.irq` or `vcpu.enter` is served, so that a passage is not over when the frame has been copied into the
    /// guest.
    pub waits_for_vcpu: bool,
    /// `vmm.irq` is served: a frame copied into a guest on KVM is announced by one, unless the guest polls.
    pub irqs: bool,
    /// XDP programs are in use.
    pub xdp: bool,
    /// The kernel's number of the drop reason `NO_SOCKET`, where it has reasons.
    pub no_socket: Option<u32>,
    /// Events say of super-frames how long their segments are; before version 3 they did not.
    pub segments_told: bool,
}

/// The state machine.
pub struct Correlator {
    limits: Limits,
    order: Reorder,
    threads: Threads,
    release: Release,
    open: OpenTable,
    /// Frames that only XDP programs have seen.
    sights: Sights,
    /// Frames that GRO may merge.
    arriving: Arriving,
    /// Super-frames that were cut.
    cutting: Cutting,
    /// Where flows come from.
    origins: Origins,
    /// By VM: passages copied into the guest that no vCPU has taken yet.
    copied: Vec<Vec<(usize, u64)>>,
    /// How many of these were taken for taken, for want of room.
    untaken: u64,
    options: Options,
    /// Last birth by device and digest, where XDP programs are in use.
    born: FxHashMap<(u8, u64), (usize, u64)>,
    spare: Spare,
    now_ns: u64,
    /// When to look again for what is too old.
    expire_ns: u64,
    /// What was seen.
    pub seen: Seen,
    /// Passages given up because too many were open.
    pub evicted: u64,
}

impl Correlator {
    /// A correlator for a recording of `vms` VMs.
    pub fn new(limits: Limits, threads: Threads, vms: usize, options: Options) -> Correlator {
        Correlator {
            limits,
            order: Reorder::new(limits.open.saturating_mul(EVENTS_PER_FRAME)),
            threads,
            release: Release::default(),
            open: OpenTable::default(),
            sights: Sights::new(limits.open),
            arriving: Arriving::default(),
            cutting: Cutting::default(),
            origins: Origins::new(limits.open, origin::WITHIN_NS),
            copied: vec![Vec::new(); vms],
            untaken: 0,
            options,
            born: FxHashMap::default(),
            spare: Spare::new(limits.open),
            now_ns: 0,
            expire_ns: 0,
            seen: Seen::default(),
            evicted: 0,
        }
    }

    /// Learns of further VMs, and of what those that are known have got; see [`Threads::meet`].
    pub fn meet(&mut self, topology: &Topology, slot_of: impl Fn(u32, u32) -> Option<u8>) {
        self.threads.meet(topology, slot_of);
        self.copied.resize_with(topology.vms.len(), Vec::new);
    }

    /// Takes the next event, in the order in which the ring delivered it.
    pub fn push(&mut self, event: Event) {
        self.order.push(event);
        while let Some(&event) = self.order.due() {
            self.order.pop();
            self.step(&event);
            self.release.advance(self.now_ns);
        }
    }

    /// The next passage that is over, in the order of their beginnings.
    pub fn poll(&mut self) -> Option<Box<Passage>> {
        self.release.pop()
    }

    /// Takes back the memory of a passage that [`poll`](Self::poll) gave, for one to come.
    pub fn take_back(&mut self, passage: Box<Passage>) {
        self.spare.give(passage);
    }

    /// Takes what is left as the end of the recording; [`Correlator::poll`] then gives the rest.
    pub fn finish(&mut self) {
        while let Some(&event) = self.order.first() {
            self.order.pop();
            self.step(&event);
        }
        let under_way_ns = std::mem::replace(&mut self.now_ns, u64::MAX).saturating_sub(STACK_WITHIN_NS);
        for vm in 0..self.copied.len() {
            self.guest_ran(vm);
        }
        self.expire_cut();
        while let Some((slot, _)) = self.open.oldest() {
            let last_ns =
                self.open.get(slot).and_then(|open| open.passage.stamps.last()).map(|stamp| stamp.time_ns);
            let under_way = last_ns.is_some_and(|last_ns| last_ns >= under_way_ns);
            self.close(slot, if under_way { End::Open } else { End::Unfinished });
        }
        self.release.advance(self.now_ns);
    }

    /// Events that came too late to be put in order.
    pub fn late(&self) -> u64 {
        self.order.late
    }

    /// What was given up for want of room, beside whole passages: it lowers what is found, and makes nothing else of it.
    pub fn given_up(&self) -> [(&'static str, u64); 6] {
        let (threads, doorbells) = self.threads.evicted();
        [
            ("frames that only XDP has seen", self.sights.evicted),
            ("frames that GRO may have merged", self.arriving.evicted),
            ("super-frames that were cut", self.cutting.evicted),
            ("frames that a guest may not have taken", self.untaken),
            ("doorbells and queues", doorbells),
            ("threads that came up meanwhile", threads),
        ]
    }

    fn step(&mut self, event: &Event) {
        self.now_ns = self.now_ns.max(event.time_ns);
        if self.now_ns >= self.expire_ns || self.is_full() {
            self.expire();
            self.expire_ns = self.now_ns.saturating_add(EXPIRE_EVERY_NS);
        }
        self.seen.events[event.hop as usize] += 1;
        match event.hop {
            Hop::VmmKick | Hop::TapWrite | Hop::VmmRunnable | Hop::VhostTransmit => {
                self.turned_to(event);
                self.threads.remember(event);
            }
            Hop::VmmWake | Hop::NicIrq | Hop::VhostNotify => self.threads.remember(event),
            Hop::VmmIrq => self.interrupt(event),
            Hop::VcpuEnter => self.enter(event),
            Hop::VcpuLeave => self.threads.vcpu_runs(event.tid, false),
            Hop::SkbFree => self.free(event),
            Hop::SkbDrop => self.dropped(event),
            Hop::NicDone => self.transmitted(event),
            Hop::VmmRead => self.read(event),
            Hop::IpOut => self.switched(event),
            hop if hop.user_number().is_some() => self.switched(event),
            _ if event.hook == Hook::Xdp => self.sighted(event),
            _ => self.frame(event),
        }
    }

    fn is_full(&self) -> bool {
        self.open.len().max(self.release.held()) > self.limits.open
    }

    /// Gives up what is too old or too much.
    fn expire(&mut self) {
        self.sights.expire(self.now_ns);
        while let Some((slot, began_ns)) = self.open.oldest() {
            let full = self.is_full();
            if !full && began_ns.saturating_add(self.limits.patience_ns) > self.now_ns {
                break;
            }
            let copied =
                self.open.get(slot).is_some_and(|open| open.passage.time_at(Hop::VmmReadEnd).is_some());
            let end = match (copied, full) {
                (true, _) => End::Done,
                (false, true) => End::Evicted,
                (false, false) => End::Unfinished,
            };
            self.evicted += u64::from(end == End::Evicted);
            self.untaken += u64::from(copied && full);
            self.close(slot, end);
            self.release.advance(self.now_ns);
        }
        self.expire_cut();
        while let Some(slot) = self.open.lingering(self.now_ns.saturating_sub(STACK_WITHIN_NS)) {
            self.close(slot, End::Unfinished);
        }
    }

    fn close(&mut self, slot: usize, end: End) {
        if let Some(open) = self.open.remove(slot) {
            if open.cut.is_some() {
                self.cutting.forget(open.passage.flow_to, (slot, open.number));
            }
            let mut passage = open.passage;
            passage.end = open.ended.unwrap_or(end);
            passage.of_guest = !passage.is_at_guest() && self.origins.is_of_guest(passage.flow_to);
            self.release.close(open.number, passage);
        }
    }
}

#[cfg(test)]
mod tests;
