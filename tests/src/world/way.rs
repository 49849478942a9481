//! The ways of frames through a world's host: which hops, when, and which of their stamps must be found.

use std::collections::HashMap;

use tracer_common::hop::Hop;

use super::{
    Content, Machine, NIC, Place, Xdp,
    build::{Builder, Draft},
    io_thread, tap, vcpu_thread, worker,
};

/// What became of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Its number.
    pub(super) frame: usize,
    /// When it was where it should be; none where it got lost.
    pub(super) delivered_ns: Option<u64>,
}

/// A frame's copy on its way.
#[derive(Clone, Copy)]
pub(super) struct Copy<'a> {
    pub(super) content: &'a Content,
    memory: (usize, usize),
    pub(super) journey: usize,
}

impl Builder {
    /// Sends a frame from `from` to `to`; a flood's further copies go to all other ports. The wire may deliver it twice.
    pub(super) fn send(
        &mut self,
        at_ns: u64,
        from: Place,
        to: Place,
        content: Content,
        flood: bool,
        answers: Option<usize>,
    ) -> Sent {
        let sent = self.send_once(at_ns, from, to, content, flood, answers);
        let duplicates = self.recipe.duplicates;
        if from == Place::Peer && self.random.below(1000) < duplicates {
            self.troubled.insert(content.flow & !1);
            self.send_once(at_ns + 2000, from, to, content, false, answers);
        }
        sent
    }

    fn send_once(
        &mut self,
        at_ns: u64,
        from: Place,
        to: Place,
        content: Content,
        flood: bool,
        answers: Option<usize>,
    ) -> Sent {
        self.frames += 1;
        let frame = self.frames;
        let memory = self.allocate();
        let others = if flood { self.others(from, to) } else { Vec::new() };
        let main = self.journey(content, (from, to), frame, answers);
        let mut owners = vec![main];
        owners.extend(others.iter().map(|&other| self.journey(content, (from, other), frame, answers)));
        for &owner in &owners {
            self.journeys[owner].flooded = !others.is_empty();
        }
        let entered_ns = match from {
            Place::Guest(vm) => self.leave_guest(at_ns, vm, &content, memory, &owners),
            Place::Peer => self.arrive(at_ns, &content, memory, &owners),
            Place::Host => {
                let last_ns = self.arrived_ns.get(&content.flow).copied().unwrap_or_default();
                let now_ns = at_ns.max(last_ns + 300_000);
                self.arrived_ns.insert(content.flow, now_ns);
                now_ns
            }
        };
        let mut now_ns = entered_ns + self.random.latency();
        if from != Place::Host && self.recipe.bridge {
            let time_ns = self.frame(now_ns, Hop::BridgeIn, tap(0), memory, &content, &owners);
            self.expect(time_ns, &owners);
            now_ns = time_ns + self.random.latency();
        }
        now_ns = self.network(now_ns, (from, to), memory, &content, &owners);
        for (&place, &journey) in others.iter().zip(&owners[1..]) {
            let copy = Copy { content: &content, memory: (self.clone_of(), memory.1), journey };
            self.go(now_ns, place, copy);
            now_ns += 100;
        }
        let copy = Copy { content: &content, memory, journey: main };
        if from != Place::Host && self.drops() {
            self.lose(now_ns, copy, tap(0));
            return Sent { frame, delivered_ns: None };
        }
        Sent { frame, delivered_ns: self.go(now_ns, to, copy) }
    }

    /// Through IP, and past the user's hooks. Frames of the host's own are not known there yet; copies go with the
    /// original.
    fn network(
        &mut self,
        at_ns: u64,
        (from, to): (Place, Place),
        memory: (usize, usize),
        content: &Content,
        owners: &[usize],
    ) -> u64 {
        let (routed, user) = (self.recipe.routed && owners.len() == 1, self.recipe.user);
        let taken = routed && from != Place::Host && to != Place::Host;
        let way = [
            (Hop::User2, user && self.random.one_in(2)),
            (Hop::IpIn, taken),
            (Hop::User0, user && self.random.one_in(2)),
            (Hop::IpOut, taken || (routed && from == Place::Host)),
            (Hop::User1, user && self.random.one_in(2)),
        ];
        let mut now_ns = at_ns;
        for (hop, _) in way.into_iter().filter(|(_, passes)| *passes) {
            // Behind the translation, if there is one.
            let device = if hop == Hop::IpOut && to == Place::Peer { NIC } else { tap(0) };
            let time_ns = self.frame(now_ns, hop, device, memory, content, owners);
            // Of a frame that the host takes in, what comes next at its address may take it back.
            if from != Place::Host && (to != Place::Host || owners.len() > 1) {
                self.expect(time_ns, owners);
            }
            now_ns = time_ns + 100 + self.random.below(1000);
        }
        now_ns
    }

    fn others(&self, from: Place, to: Place) -> Vec<Place> {
        let guests = (0..self.recipe.vms).map(Place::Guest);
        let ports = guests.chain([Place::Peer]);
        ports.filter(|place| *place != from && *place != to).collect()
    }

    fn go(&mut self, at_ns: u64, to: Place, copy: Copy<'_>) -> Option<u64> {
        match to {
            Place::Guest(vm) => self.enter_guest(at_ns, vm, copy),
            Place::Peer => self.leave_host(at_ns, copy),
            Place::Host => Some(self.consume(at_ns, copy)),
        }
    }

    /// An event of a frame that must be found in its passage.
    pub(super) fn stamp(&mut self, at_ns: u64, hop: Hop, device: u8, copy: Copy<'_>) -> u64 {
        let time_ns = self.frame(at_ns, hop, device, copy.memory, copy.content, &[copy.journey]);
        self.expect(time_ns, &[copy.journey]);
        time_ns
    }

    /// Out of a guest: kick, wake, write, `tap.rx`. Further frames of the same run are only written.
    fn leave_guest(
        &mut self,
        at_ns: u64,
        vm: usize,
        content: &Content,
        memory: (usize, usize),
        owners: &[usize],
    ) -> u64 {
        if self.recipe.machine.is_kvm() {
            return self.leave_kvm(at_ns, vm, content, memory, owners);
        }
        let tid = io_thread(vm);
        let mut now_ns = at_ns.max(self.busy_ns[vm] + 50);
        if now_ns > self.busy_ns[vm] + 20_000 || self.random.one_in(4) {
            now_ns = self.thread(now_ns, Hop::VmmKick, vcpu_thread(vm), None) + self.random.latency();
            now_ns = self.thread(now_ns, Hop::VmmWake, tid, None) + self.random.latency();
        }
        let write_ns = self.thread(now_ns, Hop::TapWrite, tid, Some(tap(vm)));
        self.owners.insert(write_ns, owners.to_vec());
        self.expect(write_ns, owners);
        now_ns = write_ns + 100 + self.random.below(2000);
        now_ns = self.enter_stack(now_ns, (vm, tid), content, memory, owners);
        self.busy_ns[vm] = now_ns + 500;
        now_ns
    }

    /// A thread brings a frame of a VM's into the stack.
    pub(super) fn enter_stack(
        &mut self,
        at_ns: u64,
        (vm, tid): (usize, u32),
        content: &Content,
        memory: (usize, usize),
        owners: &[usize],
    ) -> u64 {
        let now_ns = self.first_sight(at_ns, Hop::TapRx, tap(vm), content, memory, owners);
        if let Some(draft) =
            self.drafts.iter_mut().rev().find(|draft| draft.event.hop == Hop::TapRx && draft.skb.is_some())
        {
            draft.event.tid = tid;
        }
        now_ns
    }

    /// Over the wire: interrupt, `nic.rx`, `nic.stack`.
    fn arrive(&mut self, at_ns: u64, content: &Content, memory: (usize, usize), owners: &[usize]) -> u64 {
        let last_ns = self.arrived_ns.get(&content.flow).copied().unwrap_or_default();
        // One CPU takes in one frame after another.
        let cpu = usize::from(cpu_of(content));
        let mut now_ns = at_ns.max(last_ns + 1000).max(self.polled_ns[cpu] + 100);
        if self.random.one_in(2) {
            now_ns = self.thread(now_ns, Hop::NicIrq, 0, Some(NIC)) + 300;
            self.cpu_of_last(cpu_of(content));
        }
        now_ns = self.come_in(now_ns, content, memory, owners);
        self.polled_ns[cpu] = now_ns;
        self.arrived_ns.insert(content.flow, now_ns);
        now_ns += self.random.latency();
        let time_ns = self.frame(now_ns, Hop::NicStack, NIC, memory, content, owners);
        self.expect(time_ns, owners);
        time_ns
    }

    /// First sight of a frame from the wire: of a super-frame as a whole, as between virtual devices, or of each segment
    /// that GRO then merges.
    fn come_in(&mut self, at_ns: u64, content: &Content, memory: (usize, usize), owners: &[usize]) -> u64 {
        if !content.is_super_frame() || self.recipe.xdp.is_some() || self.random.one_in(2) {
            return self.first_sight(at_ns, Hop::NicRx, NIC, content, memory, owners);
        }
        let mut now_ns = at_ns;
        for (index, part) in content.segments().enumerate() {
            let memory = if index == 0 { memory } else { self.allocate() };
            now_ns = self.frame(now_ns, Hop::NicRx, NIC, memory, &part, owners) + 50;
            self.expect(now_ns - 50, owners);
        }
        now_ns
    }

    /// The hop at which a frame is born, with what an XDP program there sees of it: in the driver that comes
    /// first, and counts; behind the tracepoint it says nothing new.
    fn first_sight(
        &mut self,
        at_ns: u64,
        hop: Hop,
        device: u8,
        content: &Content,
        memory: (usize, usize),
        owners: &[usize],
    ) -> u64 {
        let xdp = self.recipe.xdp;
        let mut now_ns = at_ns;
        if xdp == Some(Xdp::Native) {
            now_ns = self.sight(at_ns, hop, device, content, owners[0]);
            self.owners.insert(now_ns, owners.to_vec());
            self.expect(now_ns, owners);
            now_ns += 100 + self.random.below(1000);
        }
        let born_ns = self.frame(now_ns, hop, device, memory, content, owners);
        if xdp != Some(Xdp::Native) {
            self.expect(born_ns, owners);
        }
        if xdp == Some(Xdp::Generic) {
            let seen_ns = self.sight(born_ns + 50, hop, device, content, owners[0]);
            self.owners.insert(seen_ns, owners.to_vec());
            return seen_ns;
        }
        born_ns
    }

    /// To the wire: qdisc, driver, done; a super-frame is cut up before the driver.
    fn leave_host(&mut self, at_ns: u64, copy: Copy<'_>) -> Option<u64> {
        let at_ns = self.leave_bridge(at_ns, copy);
        let queued_ns = self.stamp(at_ns, Hop::NicQueue, NIC, copy);
        let now_ns = queued_ns + self.random.latency();
        if self.drops() {
            return self.lose(now_ns, copy, NIC);
        }
        if copy.content.is_super_frame() {
            return Some(self.segments(now_ns, copy));
        }
        let now_ns = self.stamp(now_ns, Hop::NicXmit, NIC, copy) + self.random.latency();
        let hop = if self.random.one_in(2) { Hop::NicDone } else { Hop::SkbFree };
        Some(self.stamp(now_ns, hop, NIC, copy))
    }

    /// The bridge hands on a frame or a copy of it. Frames of the host's own are not known there yet.
    fn leave_bridge(&mut self, at_ns: u64, copy: Copy<'_>) -> u64 {
        if !self.recipe.bridge {
            return at_ns;
        }
        let known = self.journeys[copy.journey].began_ns < at_ns;
        let time_ns = match known {
            true => self.stamp(at_ns, Hop::BridgeOut, NIC, copy),
            false => self.frame(at_ns, Hop::BridgeOut, NIC, copy.memory, copy.content, &[copy.journey]),
        };
        time_ns + 100 + self.random.below(1000)
    }

    fn segments(&mut self, at_ns: u64, copy: Copy<'_>) -> u64 {
        let mut now_ns = self.cut(at_ns, NIC, copy);
        for part in copy.content.segments() {
            let part = Copy { content: &part, memory: self.allocate(), journey: copy.journey };
            let xmit_ns = self.stamp(now_ns, Hop::NicXmit, NIC, part);
            let done_ns = self.stamp(xmit_ns + 400, Hop::SkbFree, NIC, part);
            now_ns = if self.random.one_in(2) { done_ns + 100 } else { xmit_ns + 100 };
        }
        self.cut_ns.insert(copy.content.flow, now_ns);
        now_ns + 1000
    }

    /// A super-frame is cut up and freed, when those of its flow before it have gone.
    fn cut(&mut self, at_ns: u64, device: u8, copy: Copy<'_>) -> u64 {
        let before_ns = self.cut_ns.get(&copy.content.flow).copied().unwrap_or_default();
        let at_ns = at_ns.max(before_ns + 100);
        self.frame(at_ns, Hop::SkbFree, device, copy.memory, copy.content, &[copy.journey]) + 100
    }

    /// To a guest: the tap's qdisc and ring, the VMM's copy, the vCPU.
    fn enter_guest(&mut self, at_ns: u64, vm: usize, copy: Copy<'_>) -> Option<u64> {
        let tid = io_thread(vm);
        let at_ns = self.leave_bridge(at_ns, copy);
        let now_ns = self.stamp(at_ns, Hop::TapQueue, tap(vm), copy) + self.random.latency();
        if !(copy.content.is_super_frame() && self.recipe.tap_cuts) {
            return self.enter_ring(now_ns, (vm, tid), copy);
        }
        let mut now_ns = self.cut(now_ns, tap(vm), copy);
        let mut delivered_ns = Some(now_ns);
        for part in copy.content.segments() {
            let part = Copy { content: &part, memory: self.allocate(), journey: copy.journey };
            let taken_ns = self.enter_ring(now_ns, (vm, tid), part);
            now_ns = taken_ns.unwrap_or(now_ns).max(now_ns) + 100;
            delivered_ns = delivered_ns.and(taken_ns);
        }
        self.cut_ns.insert(copy.content.flow, now_ns);
        delivered_ns
    }

    /// Into the tap's ring, and out of it into the guest.
    fn enter_ring(&mut self, at_ns: u64, (vm, tid): (usize, u32), copy: Copy<'_>) -> Option<u64> {
        let ring_ns = self.stamp(at_ns, Hop::TapRing, tap(vm), copy);
        if self.drops() {
            return self.lose(ring_ns + 100, copy, tap(vm));
        }
        if self.recipe.machine.is_kvm() {
            return Some(self.enter_kvm(ring_ns, vm, copy));
        }
        let mut now_ns = (ring_ns + self.random.latency()).max(self.busy_ns[vm] + 50);
        if self.random.one_in(2) {
            now_ns = self.thread(now_ns, Hop::VmmWake, tid, None) + self.random.latency();
        }
        let read_ns = self.stamp(now_ns, Hop::VmmRead, tap(vm), copy);
        self.tid_of_last(tid);
        let copied_ns = read_ns + self.random.latency();
        let end_ns = self.stamp(copied_ns, Hop::SkbFree, tap(vm), copy);
        self.busy_ns[vm] = end_ns + 500;
        let mut now_ns = end_ns + 200;
        if self.recipe.vcpu && self.random.one_in(2) {
            now_ns = self.thread(now_ns, Hop::VmmIrq, tid, None) + 300;
            self.busy_ns[vm] = now_ns;
        }
        if self.recipe.vcpu && !self.random.one_in(4) {
            now_ns = self.thread(now_ns, Hop::VcpuEnter, vcpu_thread(vm), None) + 300;
        }
        Some(now_ns)
    }

    fn cpu_of_last(&mut self, cpu: u16) {
        if let Some(draft) = self.drafts.last_mut() {
            draft.event.cpu = cpu;
        }
    }

    pub(super) fn tid_of_last(&mut self, tid: u32) {
        if let Some(draft) = self.drafts.last_mut() {
            draft.event.tid = tid;
        }
    }

    /// The host takes the frame for itself; its death may be seen or not.
    fn consume(&mut self, at_ns: u64, copy: Copy<'_>) -> u64 {
        if self.random.one_in(2) {
            return at_ns;
        }
        self.frame(at_ns, Hop::SkbFree, tap(0), copy.memory, copy.content, &[copy.journey])
    }

    fn lose(&mut self, at_ns: u64, copy: Copy<'_>, device: u8) -> Option<u64> {
        self.frame(at_ns, Hop::SkbDrop, device, copy.memory, copy.content, &[copy.journey]);
        self.journeys[copy.journey].dropped = true;
        self.troubled.insert(copy.content.flow & !1);
        None
    }
}

/// The CPU that takes a flow's frames in.
pub(super) fn cpu_of(content: &Content) -> u16 {
    (content.flow / 1000 % 2) as u16
}

/// The truth about threads, from the whole of the events in order: a kick and a wake belong to the next write,
/// a wake also to what is read in its run, an interrupt of the NIC to the next arrival, an interrupt and an
/// entry to all that was copied since the guest last ran.
pub(super) fn own_threads(builder: &mut Builder) {
    builder.drafts.sort_by_key(|draft| draft.event.time_ns);
    let mut truth: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut interrupts = [None; 2];
    for vm in 0..builder.recipe.vms {
        match builder.recipe.machine {
            Machine::Emulated => own_run(builder, vm, &mut truth),
            Machine::Kvm { queues, .. } => {
                (0..queues).for_each(|queue| super::kvm::own_reads(builder, worker(vm, queue), &mut truth));
            }
        }
    }
    for draft in &builder.drafts {
        match draft.event.hop {
            Hop::NicIrq => interrupts[usize::from(draft.event.cpu)] = Some(draft.event.time_ns),
            // Behind a native XDP program `nic.rx` still is what claims the interrupt.
            Hop::NicRx if draft.skb.is_some() => {
                let owners = builder.owners.get(&draft.event.time_ns).cloned().unwrap_or_default();
                interrupts[usize::from(draft.event.cpu)].take().into_iter().for_each(|time_ns| {
                    truth.insert(time_ns, owners.clone());
                });
            }
            _ => {}
        }
    }
    for (time_ns, owners) in truth {
        builder.owners.entry(time_ns).or_default().extend(owners);
    }
}

fn own_run(builder: &Builder, vm: usize, truth: &mut HashMap<u64, Vec<usize>>) {
    let (io, vcpu) = (io_thread(vm), vcpu_thread(vm));
    let owners = |draft: &Draft| builder.owners.get(&draft.event.time_ns).cloned().unwrap_or_default();
    let (mut kick, mut wake) = (None, None);
    let (mut ring, mut copied): (Vec<(u64, usize)>, Vec<usize>) = Default::default();
    let mut last_wake = None;
    for draft in &builder.drafts {
        let time_ns = draft.event.time_ns;
        match draft.event.hop {
            Hop::VmmKick if draft.event.tid == vcpu => {
                kick = Some(time_ns);
                copied.clear();
            }
            Hop::VmmWake if draft.event.tid == io => (wake, last_wake) = (Some(time_ns), Some(time_ns)),
            Hop::TapWrite if draft.event.tid == io => {
                for taken in [kick.take(), wake.take()].into_iter().flatten() {
                    truth.entry(taken).or_default().extend(owners(draft));
                }
                copied.clear();
            }
            Hop::TapRing if draft.event.device == Some(tap(vm)) => {
                ring.extend(owners(draft).iter().map(|owner| (time_ns, *owner)));
            }
            Hop::VmmRead if draft.event.tid == io => {
                let read = owners(draft);
                if let Some(wake_ns) = last_wake {
                    let woken =
                        ring.iter().filter(|(ring_ns, owner)| *ring_ns <= wake_ns && read.contains(owner));
                    truth.entry(wake_ns).or_default().extend(woken.map(|(_, owner)| *owner));
                }
                copied.extend(read);
            }
            Hop::VmmIrq if draft.event.tid == io => {
                truth.entry(time_ns).or_default().extend(copied.iter().copied());
            }
            Hop::VcpuEnter if draft.event.tid == vcpu => {
                truth.entry(time_ns).or_default().append(&mut copied);
            }
            _ => {}
        }
    }
}
