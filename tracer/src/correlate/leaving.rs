//! The ends of a frame's way: transmitted, copied into the guest and taken there, dropped, freed elsewhere.

use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use super::{
    ANNOUNCE_WITHIN_NS, Correlator, ENTER_WITHIN_NS, End, Passage, Rule, Side, Stamp, cutting::can_be_cut,
    open::Open,
};
use crate::decode::Event;

/// Frames that may wait in a guest for a vCPU: as many as the largest receive rings of virtio hold, of eight queues.
const MOST_COPIED: usize = 8 * 1024;

/// Whether a frame may be one that the host was given copies of and that is then dropped for want of a socket: an echo
/// reply, which programs read through raw sockets (`icmp_rcv` and `ping_rcv`, net/ipv4, know only those for pings).
fn is_taken(passage: &Passage) -> bool {
    let in_stack = Hop::NicStack.stage()..Hop::NicQueue.stage();
    passage.kind == Some(Kind::EchoReply) && passage.to == Side::Host && in_stack.contains(&passage.stage())
}

impl Correlator {
    /// The driver is done with a frame: `nic.done`.
    pub(super) fn transmitted(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get_mut(slot) else { return };
        // Its handing to the driver may have been missed.
        if !matches!(open.passage.last_hop(), Hop::NicXmit | Hop::NicQueue) {
            return;
        }
        open.passage.add(&Event { hop: Hop::NicDone, ..*event }, Rule::Pointer);
        self.close(slot, End::Done);
    }

    /// The VMM's copy to the guest starts.
    pub(super) fn read(&mut self, event: &Event) {
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
        open.passage.stamps.extend(self.threads.woken_between(event.tid, ring_ns, event.time_ns));
        self.threads.moved(event.tid, event.time_ns);
        open.passage.add(event, Rule::Pointer);
        open.reader = event.tid;
    }

    /// An skb is freed: that ends `nic.xmit`, `vmm.read`, or the passage.
    pub(super) fn free(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get(slot) else { return };
        // Of a runt too little was read to tell it from the next frame at its address.
        let is_read = open.passage.kind != Some(Kind::Truncated);
        match open.passage.last_hop() {
            Hop::NicXmit => self.transmitted_by_free(event),
            Hop::VmmRead => self.copied_out(slot, event),
            // The copy's start was not seen.
            Hop::TapRing if is_read => {
                self.copied_out(slot, event);
            }
            _ if can_be_cut(&open.passage, self.options.segments_told) => {
                self.cut(slot, if open.branches > 0 { End::Branched } else { End::Consumed });
            }
            Hop::NicQueue if open.branches == 0 && self.options.segments_told => {
                self.transmitted_by_free(event)
            }
            // Its place in the ring and the copy's start were not seen. What a queue or a full ring discards is dropped, not
            // consumed (`tun_net_xmit`, `tun_do_read`; drivers/net/tun.c).
            Hop::TapQueue if is_read && open.branches == 0 && self.options.segments_told => {
                self.copied_out(slot, event);
            }
            _ if open.branches > 0 => self.close(slot, End::Branched),
            _ => self.vacate(slot, End::Consumed),
        }
    }

    pub(super) fn transmitted_by_free(&mut self, event: &Event) {
        self.seen.events[Hop::NicDone as usize] += 1;
        self.transmitted(event);
    }

    pub(super) fn copied_out(&mut self, slot: usize, event: &Event) {
        self.seen.events[Hop::VmmReadEnd as usize] += 1;
        let Some(open) = self.open.get_mut(slot) else { return };
        open.passage.add(&Event { hop: Hop::VmmReadEnd, ..*event }, Rule::Pointer);
        let number = open.number;
        let vm = match open.passage.to {
            Side::Guest(tap) if self.options.waits_for_vcpu => {
                let waits = |vm: &usize| self.threads.has_vcpus(*vm) && !self.threads.has_running_vcpu(*vm);
                self.threads.vm_of_tap(tap).filter(waits)
            }
            _ => None,
        };
        let Some(vm) = vm.filter(|vm| *vm < self.copied.len()) else { return self.close(slot, End::Done) };
        self.open.detach(slot);
        self.copied[vm].push((slot, number));
        if self.copied[vm].len() > 2 * MOST_COPIED {
            self.make_room(vm);
        }
    }

    /// Takes the oldest frames that were copied into a guest for taken.
    fn make_room(&mut self, vm: usize) {
        let mut waiting = std::mem::take(&mut self.copied[vm]);
        waiting.retain(|&(slot, number)| self.open.is(slot, number));
        let crowd = waiting.len().saturating_sub(MOST_COPIED);
        self.untaken += crowd as u64;
        waiting.drain(..crowd).for_each(|(slot, _)| self.close(slot, End::Done));
        self.copied[vm] = waiting;
    }

    pub(super) fn dropped(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get_mut(slot) else { return };
        open.passage.dropped_at = event.digest;
        let branches = open.branches;
        let taken = is_taken(&open.passage) && self.options.no_socket == Some(event.seq);
        let end = match branches {
            0 if taken => End::Consumed,
            0 => End::Dropped { reason: event.seq, device: event.device },
            _ => End::Branched,
        };
        self.vacate(slot, end);
    }

    /// A thread that moves frames signals its guest: for all that it has copied since. What it announced before a vCPU
    /// was entered for another thread was taken at that entry: of the signals to one vCPU the last one is named.
    pub(super) fn interrupt(&mut self, event: &Event) {
        let Some(vm) = self.threads.vm_of_thread(event.tid) else { return };
        self.take(vm, |open, _, _| open.reader == event.tid && open.passed_over);
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

    /// A vCPU runs: it takes what has been copied before. KVM says which thread signalled it: then only what that
    /// thread has copied and announced.
    pub(super) fn enter(&mut self, event: &Event) {
        // KVM's entries come without an end; the scheduler's have one.
        if matches!(event.hook, Hook::SchedSwitch | Hook::RawSchedSwitch) {
            self.threads.vcpu_runs(event.tid, true);
        }
        let Some(vm) = self.threads.vm_of_thread(event.tid) else { return };
        let mut waiting = std::mem::take(&mut self.copied[vm]);
        waiting.retain(|&(slot, number)| {
            let Some(open) = self.open.get_mut(slot).filter(|open| open.number == number) else {
                return false;
            };
            let Some(last) = open.passage.stamps.last() else { return false };
            let taken = match event.seq {
                0 => last.time_ns + ENTER_WITHIN_NS >= event.time_ns,
                signaller if open.reader == signaller && last.hop == Hop::VmmIrq => true,
                _ => {
                    open.passed_over |= last.hop == Hop::VmmIrq;
                    return true;
                }
            };
            if taken {
                open.passage.stamps.push(Stamp::of(event, Rule::Thread));
            }
            self.close(slot, End::Done);
            false
        });
        self.copied[vm] = waiting;
    }

    /// A thread turns to something else. One that is woken, or that moves frames out of the guest, is through with those
    /// that it moved in: what it did not announce, the guest did not want announced. A kick or a write shows that the
    /// guest runs.
    pub(super) fn turned_to(&mut self, event: &Event) {
        let Some(vm) = self.threads.vm_of_thread(event.tid) else { return };
        if self.announces(vm) {
            self.take(vm, |open, last, _| open.reader == event.tid && last.hop == Hop::VmmReadEnd);
        }
        if matches!(event.hop, Hop::VmmKick | Hop::TapWrite) {
            self.guest_ran(vm);
        }
    }

    /// Whether the guest of a VM is told of its frames by interrupts that can be seen.
    fn announces(&self, vm: usize) -> bool {
        self.options.irqs && self.threads.is_on_kvm(vm)
    }

    /// A frame comes out of a guest's tap, so it runs.
    pub(super) fn guest_behind(&mut self, tap: Option<u8>) {
        if let Some(vm) = tap.and_then(|slot| self.threads.vm_of_tap(slot)) {
            self.guest_ran(vm);
        }
    }

    /// The guest of a VM shows that it runs: what it was given before was taken, whether an entry was seen or not. Where
    /// interrupts announce them, these and the entry that follows tell better: a guest may have run for another reason.
    pub(super) fn guest_ran(&mut self, vm: usize) {
        let announces = self.announces(vm);
        self.take(vm, |_, last, now_ns| !announces || last.time_ns + ANNOUNCE_WITHIN_NS < now_ns);
    }

    /// Ends the passages copied into a guest for which `taken` holds, by its last hop and the time.
    fn take(&mut self, vm: usize, taken: impl Fn(&Open, &Stamp, u64) -> bool) {
        let mut waiting = std::mem::take(&mut self.copied[vm]);
        waiting.retain(|&(slot, number)| {
            let Some(open) = self.open.get(slot).filter(|open| open.number == number) else { return false };
            let over = open.passage.stamps.last().is_none_or(|last| taken(open, last, self.now_ns));
            if over {
                self.close(slot, End::Done);
            }
            !over
        });
        self.copied[vm] = waiting;
    }
}
