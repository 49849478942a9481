//! Events that show a frame's content: they continue an open passage, branch off one, or begin one. The rules are
//! in the head of the parent module.

use tracer_common::hop::Hop;

use super::{Correlator, End, Passage, Rule, Stamp, cutting::may_be_segment, open::Open, threads::Causes};
use crate::decode::Event;

/// Whether a frame that is first seen at `hop` comes from outside, and has been nowhere on the host before.
fn is_arrival(hop: Hop) -> bool {
    matches!(hop, Hop::TapRx | Hop::NicRx | Hop::NicStack)
}

impl Correlator {
    /// An event with a frame's content and address.
    pub(super) fn frame(&mut self, event: &Event) {
        if let Some(slot) = self.open.by_skb(event.skb) {
            let Some(open) = self.open.get_mut(slot) else { return };
            let at_driver = matches!(event.hop, Hop::NicXmit | Hop::TapRing);
            if at_driver && open.passage.time_at(event.hop).is_some() && open.is_same(event) {
                return;
            }
            if open.passage.goes_on_at(event.hop) && open.fits(event) {
                let grew = open.grew(event);
                open.passage.add(event, Rule::Pointer);
                self.origins.went_on(&open.passage);
                self.open.note_head(slot, event.head);
                if grew {
                    self.merge(slot, event);
                }
                return;
            }
            if !is_arrival(event.hop) {
                open.passage.withdraw_unread();
            }
            self.vacate(slot, End::Unfinished);
        }
        if may_be_segment(event) && self.segment(event) {
            return;
        }
        if is_arrival(event.hop) {
            self.recycle(event.head);
        } else if self.branch(event) {
            return;
        }
        self.begin(event);
    }

    /// A frame passes a hook where the host's own frames come along too: what is not known goes by. Where no content was
    /// read, at the user's hooks and at `ip.out` in earlier recordings, it is known by its address and buffer.
    pub(super) fn switched(&mut self, event: &Event) {
        let Some(slot) = self.open.by_skb(event.skb) else { return };
        let Some(open) = self.open.get_mut(slot) else { return };
        let goes_on = open.passage.goes_on_at(event.hop);
        if event.kind.is_none() {
            if goes_on && open.has_buffer(event.head) {
                open.passage.add(event, Rule::Pointer);
            }
        } else if goes_on && open.fits(event) {
            open.passage.add(event, Rule::Content);
            self.origins.went_on(&open.passage);
            self.open.note_head(slot, event.head);
        } else if !open.is_same(event) {
            open.passage.withdraw_unread();
            self.vacate(slot, End::Unfinished);
        }
    }

    /// Ends the passage whose buffer now holds a frame that has just arrived.
    pub(super) fn recycle(&mut self, head: u64) {
        if let Some(slot) = self.open.by_head(head) {
            self.vacate(slot, End::Unfinished);
        }
    }

    /// Whether a frame can be seen first at this event. At a driver or a ring only what must have been missed before.
    fn is_birth(&self, event: &Event) -> bool {
        match event.hop {
            Hop::TapRx | Hop::NicRx | Hop::NicStack | Hop::NicQueue | Hop::TapQueue => true,
            Hop::NicXmit | Hop::TapRing => self.options.segments_told && self.origins.has_entered(event),
            _ => false,
        }
    }

    /// Begins a passage where a frame is born; anywhere else the event stays alone.
    pub(super) fn begin(&mut self, event: &Event) {
        if !self.is_birth(event) {
            return;
        }
        let mut passage = self.spare.take();
        passage.begin(event);
        self.origins.begin(&mut passage);
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
            _ => Causes::new(),
        };
        passage.stamps.splice(0..0, before);
        let start_ns = passage.start_ns();
        let (slot, number) = self.open.insert(Open::new(passage));
        self.release.begin(start_ns);
        self.note_arrival(slot, number);
        if let Some(device) = event.device.filter(|_| self.options.xdp) {
            if self.born.len() > 2 * self.limits.open {
                self.born.retain(|_, (slot, number)| self.open.is(*slot, *number));
            }
            self.born.insert((device, event.digest), (slot, number));
        }
    }

    /// A clone of an open frame goes another way than the original. A frame that enters the host is no clone, and
    /// one that says something else has a buffer whose last user's end was not seen.
    pub(super) fn branch(&mut self, event: &Event) -> bool {
        let Some(parent) = self.open.by_head(event.head) else { return false };
        let Some(open) = self.open.get_mut(parent) else { return false };
        if matches!(event.hop, Hop::TapRx | Hop::NicRx) || !open.is_same(event) {
            self.close(parent, End::Unfinished);
            return false;
        }
        // Ways part where the bridge hands on: what the original passed behind that, its copy did not.
        let parted = event.hop.stage().min(Hop::BridgeOut.stage());
        let shared = |stamp: &&Stamp| stamp.hop.stage() < parted || stamp.hop.user_number().is_some();
        if !open.passage.stamps.iter().any(|stamp| shared(&stamp)) {
            return false;
        }
        open.branches += 1;
        let mut passage = self.spare.take();
        passage.copy(&open.passage, shared, event);
        self.open.insert(Open::new(passage));
        self.release.begin(event.time_ns);
        true
    }

    /// An XDP program saw a frame that has no address yet.
    pub(super) fn sighted(&mut self, event: &Event) {
        let Some(device) = event.device else { return };
        if self.born.get(&(device, event.digest)).is_some_and(|&(slot, number)| self.open.is(slot, number)) {
            return;
        }
        self.sights.push((device, event.digest), event);
    }

    /// The XDP sight of a frame that is born now. It takes the place of a stamp of the same hop.
    pub(super) fn claim_sight(&mut self, event: &Event, passage: &mut Passage) -> Option<Stamp> {
        let (sight, doubted) = self.sights.claim((event.device?, event.digest))?;
        if doubted {
            passage.ambiguous = true;
            self.seen.ambiguous[sight.hop as usize] += 1;
        }
        passage.stamps.retain(|stamp| stamp.hop != sight.hop);
        Some(sight)
    }
}
