//! Correlation: from events to passages, and from passages to exchanges. Pure: no clock but the events' own,
//! no I/O, memory bounded by [`Limits`]. The same events give the same passages, in whatever pieces they come.
//!
//! # The rules, in their order
//! 1. **pointer**: an event of an `sk_buff` address whose life is open belongs to that passage, if its hop
//!    lies further on the way ([`Hop::stage`]) and the content, where both were read, is the same. Otherwise
//!    the address was recycled: the old passage ends there, unfinished. Only a driver sees a frame twice (it was
//!    busy); whatever else comes again is another frame, however alike: frames that the host itself takes in
//!    are freed out of sight, and their addresses come back within microseconds.
//! 2. **head**: an unknown address whose `skb->head` is open and whose content is the same is a clone that a
//!    flood made: a branch, which shares its parent's hops so far. Other content: the buffer was recycled. A frame
//!    that arrives from outside is a clone of nothing: the passage that its buffer is still known for is over.
//! 3. **range**: an unknown address at the driver, whose bytes lie inside a TCP super-frame that was freed
//!    between qdisc and driver, is one of its segments.
//!    The other way round, at a NIC's GRO, the super-frame stands for the segments inside it ([`arriving`]).
//! 4. **content**: an XDP program saw the frame before it had an address; the next birth on that device with
//!    the same digest is it. More than one waiting: paired in order, and counted as ambiguous. Generic XDP runs
//!    after the tracepoints (`__netif_receive_skb_core`, v5.4 and later): what it sees is born already.
//! 5. **thread** and **cpu**: events that belong to no frame ([`threads`]).
//!
//! An event that no rule joins and that cannot begin a passage is counted as seen and not matched.

mod arriving;
pub mod exchange;
mod open;
mod order;
mod passage;
mod release;
pub mod threads;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{
    frame::Kind,
    hop::{HOP_SLOTS, Hook, Hop},
};

pub use self::passage::{End, Parts, Passage, Rule, Side, Stamp};
use self::{
    arriving::Arriving,
    open::{Open, OpenTable, Segments},
    order::Reorder,
    release::Release,
    threads::Threads,
};
use crate::decode::Event;

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
        Limits { open: 1 << 18, patience_ns: 30_000_000_000 }
    }
}

/// How long a frame may be on its way through the stack, ns of event time: what is not queued by then was taken in
/// by the host itself, out of sight. Shorter than a passage may hold back its answer ([`release`]).
const STACK_WITHIN_NS: u64 = 500_000_000;
/// How long after its copy into the guest a frame may wait for a vCPU, ns of event time.
const ENTER_WITHIN_NS: u64 = 10_000_000;
/// How long an XDP program's sight of a frame waits for the frame's birth, ns of event time.
const CONTENT_WITHIN_NS: u64 = 1_000_000_000;

/// What was seen at each hop, indexed by `Hop as usize`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events.
    pub events: [u64; HOP_SLOTS],
    /// Events that could have belonged to more than one passage.
    pub ambiguous: [u64; HOP_SLOTS],
}

/// What the plan of a recording means for its passages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `vmm.irq` or `vcpu.enter` is served, so that a passage is not over when the frame has been copied into the
    /// guest.
    pub waits_for_vcpu: bool,
    /// XDP programs are in use.
    pub xdp: bool,
}

/// The state machine.
pub struct Correlator {
    limits: Limits,
    order: Reorder,
    threads: Threads,
    release: Release,
    open: OpenTable,
    /// XDP's sights by device and digest, oldest first.
    content: FxHashMap<(u8, u64), VecDeque<Event>>,
    /// Frames that GRO may merge.
    arriving: Arriving,
    /// Super-frames that were segmented, by flow.
    segmented: FxHashMap<u64, Vec<(usize, u64)>>,
    /// By VM: passages copied into the guest that no vCPU has taken yet.
    copied: Vec<Vec<(usize, u64)>>,
    options: Options,
    /// Last birth by device and digest, where XDP programs are in use.
    born: FxHashMap<(u8, u64), (usize, u64)>,
    now_ns: u64,
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
            order: Reorder::default(),
            threads,
            release: Release::default(),
            open: OpenTable::default(),
            content: FxHashMap::default(),
            arriving: Arriving::default(),
            segmented: FxHashMap::default(),
            copied: vec![Vec::new(); vms],
            options,
            born: FxHashMap::default(),
            now_ns: 0,
            seen: Seen::default(),
            evicted: 0,
        }
    }

    /// Takes the next event, in the order in which the ring delivered it.
    pub fn push(&mut self, event: Event) {
        self.order.push(event);
        while let Some(event) = self.order.pop() {
            self.step(&event);
        }
    }

    /// The next passage that is over, in the order of their beginnings.
    pub fn poll(&mut self) -> Option<Passage> {
        self.release.pop(self.now_ns)
    }

    /// Takes what is left as the end of the recording; [`Correlator::poll`] then gives the rest.
    pub fn finish(&mut self) {
        while let Some(event) = self.order.pop_any() {
            self.step(&event);
        }
        for vm in 0..self.copied.len() {
            self.guest_ran(vm);
        }
        while let Some((slot, _)) = self.open.oldest() {
            self.close(slot, End::Unfinished);
        }
        self.now_ns = u64::MAX;
    }

    /// Events that came too late to be put in order.
    pub fn late(&self) -> u64 {
        self.order.late
    }

    fn step(&mut self, event: &Event) {
        self.now_ns = self.now_ns.max(event.time_ns);
        self.expire();
        self.seen.events[event.hop as usize] += 1;
        match event.hop {
            Hop::VmmKick => {
                self.guest_of(event.tid);
                self.threads.remember(event);
            }
            Hop::TapWrite => {
                self.guest_of(event.tid);
                self.threads.remember(event);
            }
            Hop::VmmWake | Hop::NicIrq => self.threads.remember(event),
            Hop::VmmIrq => self.interrupt(event),
            Hop::VcpuEnter => self.enter(event),
            Hop::SkbFree => self.free(event),
            Hop::SkbDrop => self.dropped(event),
            Hop::NicDone => self.transmitted(event),
            Hop::VmmRead => self.read(event),
            _ if event.hook == Hook::Xdp => self.sighted(event),
            _ => self.frame(event),
        }
    }

    /// Gives up what is too old or too much.
    fn expire(&mut self) {
        while let Some((slot, began_ns)) = self.open.oldest() {
            if began_ns + self.limits.patience_ns > self.now_ns && self.open.len() <= self.limits.open {
                break;
            }
            let full = self.open.len() > self.limits.open;
            let copied =
                self.open.get(slot).is_some_and(|open| open.passage.time_at(Hop::VmmReadEnd).is_some());
            let end = match (copied, full) {
                (true, _) => End::Done,
                (false, true) => End::Evicted,
                (false, false) => End::Unfinished,
            };
            self.evicted += u64::from(end == End::Evicted);
            self.close(slot, end);
        }
        while let Some(slot) = self.open.lingering(self.now_ns.saturating_sub(STACK_WITHIN_NS)) {
            self.close(slot, End::Unfinished);
        }
    }

    /// An event with a frame's content and address.
    fn frame(&mut self, event: &Event) {
        if let Some(slot) = self.open.by_skb(event.skb) {
            let Some(open) = self.open.get_mut(slot) else { return };
            let at_driver = matches!(event.hop, Hop::NicXmit | Hop::TapRing);
            if at_driver && open.passage.time_at(event.hop).is_some() && open.is_same(event) {
                return;
            }
            if open.passage.last_hop().stage() < event.hop.stage() && open.fits(event) {
                open.passage.add(event, Rule::Pointer);
                self.open.note_head(slot, event.head);
                if event.hop == Hop::NicStack && event.kind == Some(Kind::Tcp) {
                    self.merge(slot, event);
                }
                return;
            }
            self.vacate(slot, End::Unfinished);
        }
        if matches!(event.hop, Hop::NicXmit) && self.segment(event) {
            return;
        }
        if matches!(event.hop, Hop::TapRx | Hop::NicRx | Hop::NicStack) {
            self.recycle(event.head);
        } else if self.branch(event) {
            return;
        }
        self.begin(event);
    }

    /// Ends the passage whose buffer now holds a frame that has just arrived.
    fn recycle(&mut self, head: u64) {
        if let Some(slot) = self.open.by_head(head) {
            self.vacate(slot, End::Unfinished);
        }
    }

    /// Begins a passage where a frame is born; anywhere else the event stays alone.
    fn begin(&mut self, event: &Event) {
        let births = [Hop::TapRx, Hop::NicRx, Hop::NicStack, Hop::NicQueue, Hop::TapQueue];
        if !births.contains(&event.hop) {
            return;
        }
        let mut passage = Passage::begin(event);
        if let Some(sight) = self.claim_sight(event, &mut passage) {
            passage.prepend(sight);
        }
        let seen_ns = passage.start_ns();
        let before = match event.hop {
            Hop::TapRx => {
                self.guest_behind(event.device);
                self.threads.claim_write(event, seen_ns)
            }
            Hop::NicRx => self.threads.claim_interrupt(event, seen_ns).into_iter().collect(),
            _ => Vec::new(),
        };
        passage.stamps.splice(0..0, before);
        let start_ns = passage.start_ns();
        let (slot, number) = self.open.insert(Open::new(passage));
        self.release.begin(number, start_ns);
        self.note_arrival(slot, number, event.flow);
        if let Some(device) = event.device.filter(|_| self.options.xdp) {
            if self.born.len() > self.limits.open {
                self.born.clear();
            }
            self.born.insert((device, event.digest), (slot, number));
        }
    }

    /// A clone of an open frame goes another way than the original. A frame that enters the host is no clone, and
    /// one that says something else has a buffer whose last user's end was not seen.
    fn branch(&mut self, event: &Event) -> bool {
        let Some(parent) = self.open.by_head(event.head) else { return false };
        let Some(open) = self.open.get_mut(parent) else { return false };
        if matches!(event.hop, Hop::TapRx | Hop::NicRx) || !open.is_same(event) {
            self.close(parent, End::Unfinished);
            return false;
        }
        // Ways part where the bridge hands on: what the original passed behind that, its copy did not.
        let parted = event.hop.stage().min(Hop::BridgeOut.stage());
        let shared = |stamp: &&Stamp| stamp.hop.stage() < parted;
        let stamps: Vec<_> = open.passage.stamps.iter().filter(shared).copied().collect();
        if stamps.is_empty() {
            return false;
        }
        open.branches += 1;
        let parts = Parts::default();
        let mut passage = Passage { stamps, branch: true, parts, ..open.passage.clone() };
        passage.skb = event.skb;
        passage.add(event, Rule::Head);
        let (_, number) = self.open.insert(Open::new(passage));
        self.release.begin(number, event.time_ns);
        true
    }

    /// A segment of a super-frame reaches the driver.
    fn segment(&mut self, event: &Event) -> bool {
        if event.kind != Some(Kind::Tcp) {
            return false;
        }
        let Some(candidates) = self.segmented.get(&event.flow) else { return false };
        let holds = |&&(slot, number): &&(usize, u64)| {
            self.open.is(slot, number) && self.open.get(slot).is_some_and(|open| open.holds(event))
        };
        // Of two that hold the same bytes the later one was sent again: its segments follow its cutting at once.
        let Some(&(slot, _)) = candidates.iter().rev().find(holds) else { return false };
        self.open.alias(slot, event.skb);
        if let Some(open) = self.open.get_mut(slot) {
            if open.passage.last_hop() == Hop::NicQueue {
                open.passage.add(event, Rule::Range);
            } else {
                open.passage.parts.sent += 1;
            }
            open.took_segment(event);
        }
        true
    }

    /// An XDP program saw a frame that has no address yet.
    fn sighted(&mut self, event: &Event) {
        let Some(device) = event.device else { return };
        if self.born.get(&(device, event.digest)).is_some_and(|&(slot, number)| self.open.is(slot, number)) {
            return;
        }
        let waiting = self.content.entry((device, event.digest)).or_default();
        while waiting.front().is_some_and(|old| old.time_ns + CONTENT_WITHIN_NS < event.time_ns) {
            waiting.pop_front();
        }
        waiting.push_back(*event);
        if self.content.len() > self.limits.open {
            self.content.clear();
        }
    }

    /// The XDP sight of a frame that is born now. It takes the place of a stamp of the same hop.
    fn claim_sight(&mut self, event: &Event, passage: &mut Passage) -> Option<Stamp> {
        let waiting = self.content.get_mut(&(event.device?, event.digest))?;
        let several = waiting.len() > 1;
        let sight = waiting.pop_front()?;
        if waiting.is_empty() {
            self.content.remove(&(event.device?, event.digest));
        }
        if several {
            passage.ambiguous = true;
            self.seen.ambiguous[sight.hop as usize] += 1;
        }
        passage.stamps.retain(|stamp| stamp.hop != sight.hop);
        Some(Stamp::of(&sight, Rule::Content))
    }

    /// The driver is done with a frame: `nic.done`.
    fn transmitted(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get_mut(slot) else { return };
        if open.passage.last_hop() != Hop::NicXmit {
            return;
        }
        if !open.is_last_segment(event.skb) {
            open.passage.parts.done += 1;
            return self.open.forget_alias(event.skb);
        }
        open.passage.add(&Event { hop: Hop::NicDone, ..*event }, Rule::Pointer);
        self.close(slot, End::Done);
    }

    /// The VMM's copy to the guest starts.
    fn read(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get_mut(slot) else { return };
        let Some(ring_ns) =
            open.passage.time_at(Hop::TapRing).or_else(|| open.passage.time_at(Hop::TapQueue))
        else {
            return;
        };
        if open.passage.time_at(Hop::VmmRead).is_some() {
            return;
        }
        let wake = self.threads.wake_between(event.tid, ring_ns, event.time_ns);
        self.threads.moved(event.tid);
        open.passage.stamps.extend(wake);
        open.passage.add(event, Rule::Pointer);
        open.reader = event.tid;
    }

    /// An skb is freed: that ends `nic.xmit`, `vmm.read`, or the passage.
    fn free(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get(slot) else { return };
        match open.passage.last_hop() {
            Hop::NicXmit => self.transmitted_by_free(event),
            Hop::VmmRead => self.copied_out(slot, event),
            Hop::NicQueue if open.is_super_frame() => self.await_segments(slot),
            _ if open.branches > 0 => self.close(slot, End::Branched),
            _ => self.vacate(slot, End::Consumed),
        }
    }

    fn transmitted_by_free(&mut self, event: &Event) {
        self.seen.events[Hop::NicDone as usize] += 1;
        self.transmitted(event);
    }

    fn copied_out(&mut self, slot: usize, event: &Event) {
        self.seen.events[Hop::VmmReadEnd as usize] += 1;
        let Some(open) = self.open.get_mut(slot) else { return };
        open.passage.add(&Event { hop: Hop::VmmReadEnd, ..*event }, Rule::Pointer);
        let number = open.number;
        let vm = match open.passage.to {
            Side::Guest(tap) if self.options.waits_for_vcpu => {
                self.threads.vm_of_tap(tap).filter(|vm| self.threads.has_vcpus(*vm))
            }
            _ => None,
        };
        match vm.and_then(|vm| self.copied.get_mut(vm)) {
            Some(waiting) => {
                waiting.push((slot, number));
                self.open.detach(slot);
            }
            None => self.close(slot, End::Done),
        }
    }

    /// A super-frame was cut up: its skb is gone, its segments are to come.
    fn await_segments(&mut self, slot: usize) {
        let Some(open) = self.open.get_mut(slot) else { return };
        let passage = &open.passage;
        open.segments = Some(Segments::of(passage));
        let (flow, number) = (open.wire_flow, open.number);
        self.open.detach(slot);
        let waiting = self.segmented.entry(flow).or_default();
        waiting.retain(|&(slot, number)| self.open.is(slot, number));
        waiting.push((slot, number));
    }

    fn dropped(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let branches = self.open.get(slot).map_or(0, |open| open.branches);
        let end = match branches {
            0 => End::Dropped { reason: event.seq, device: event.device },
            _ => End::Branched,
        };
        self.vacate(slot, end);
    }

    /// A thread that moves frames signals its guest: for all that it has copied since.
    fn interrupt(&mut self, event: &Event) {
        let Some(vm) = self.threads.vm_of_thread(event.tid) else { return };
        for &(slot, number) in &self.copied[vm] {
            if !self.open.is(slot, number) {
                continue;
            }
            let Some(open) = self.open.get_mut(slot) else { continue };
            if open.reader == event.tid && open.passage.last_hop() == Hop::VmmReadEnd {
                open.passage.stamps.push(Stamp::of(event, Rule::Thread));
            }
        }
    }

    /// A vCPU runs: it takes what has been copied before.
    fn enter(&mut self, event: &Event) {
        let Some(vm) = self.threads.vm_of_thread(event.tid) else { return };
        for &(slot, number) in &self.copied[vm] {
            if !self.open.is(slot, number) {
                continue;
            }
            let Some(open) = self.open.get_mut(slot) else { continue };
            let copied_ns = open.passage.stamps.last().map_or(0, |stamp| stamp.time_ns);
            if copied_ns + ENTER_WITHIN_NS >= event.time_ns {
                open.passage.stamps.push(Stamp::of(event, Rule::Thread));
            }
        }
        self.guest_ran(vm);
    }

    /// The guest shows that it runs: what it was given before was taken, whether a vCPU's entry was seen or not.
    fn guest_of(&mut self, tid: u32) {
        if let Some(vm) = self.threads.vm_of_thread(tid) {
            self.guest_ran(vm);
        }
    }

    /// The same, shown by a frame that comes out of its tap.
    fn guest_behind(&mut self, tap: Option<u8>) {
        if let Some(vm) = tap.and_then(|slot| self.threads.vm_of_tap(slot)) {
            self.guest_ran(vm);
        }
    }

    fn guest_ran(&mut self, vm: usize) {
        for (slot, number) in std::mem::take(&mut self.copied[vm]) {
            if self.open.is(slot, number) {
                self.close(slot, End::Done);
            }
        }
    }

    fn close(&mut self, slot: usize, end: End) {
        if let Some(open) = self.open.remove(slot) {
            let passage = Passage { end: open.ended.unwrap_or(end), ..open.passage };
            self.release.close(open.number, passage);
        }
    }
}

#[cfg(test)]
mod tests;
