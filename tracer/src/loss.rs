//! What was not measured: coverage of each hop, frames that died, passages that did not end.

mod partial;

use std::collections::BTreeMap;

use tracer_common::hop::Hop;

use self::partial::Partials;
use crate::{
    correlate::{Branch, End, Passage, Rule, Side, Stamp},
    per_hop::{HopCounts, PerHop},
    report::Passages,
};

/// Hops that every frame of a way must pass, in order.
const OUTWARD: &[Hop] = &[Hop::TapWrite, Hop::TapRx, Hop::NicQueue, Hop::NicXmit, Hop::NicDone];
const INWARD: &[Hop] =
    &[Hop::NicRx, Hop::NicStack, Hop::TapQueue, Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd];
const BETWEEN: &[Hop] =
    &[Hop::TapWrite, Hop::TapRx, Hop::TapQueue, Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd];

/// Hops at the guest that a frame goes to.
const IN_OF_GUEST: &[Hop] =
    &[Hop::TapQueue, Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd, Hop::VmmIrq, Hop::VcpuEnter];

/// A drop's place and reason: last hop before it, slot of the device, reason code, code address.
pub type DropKey = (Hop, Option<u8>, u32, u64);

/// Places and reasons that are told apart: the kernel has a few hundred.
const MAX_PLACES: usize = 4096;
/// In the place of the reason: dropped at places beyond those.
pub const ELSEWHERE: u32 = u32::MAX;

/// Counts over passages.
#[derive(Clone, Debug, Default)]
pub struct LossBook {
    /// Stamps of passages with more than one hop.
    pub matched: PerHop<u64>,
    /// Passages that must have gone by.
    pub expected: PerHop<u64>,
    /// Of these, how many were seen there.
    pub found: PerHop<u64>,
    /// How events were joined.
    pub rules: HopCounts<{ Rule::ALL.len() }>,
    /// By which hook.
    pub hooks: HopCounts<{ u8::MAX as usize + 1 }>,
    /// Frames that the kernel dropped.
    pub drops: BTreeMap<DropKey, u64>,
    /// Passages of which no end was seen, by their last hop and what is known instead.
    pub vanished: BTreeMap<(Hop, Vanished), u64>,
    /// Counts of passages.
    pub passages: Passages,
    taps: BTreeMap<u8, TapFacts>,
    partials: Partials,
}

/// What is known of a frame whose end was not seen. None of these says that it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vanished {
    /// Freed outside of the traced way, as what the host itself takes in.
    Consumed,
    /// It went on where no hook is, or the hook's event was lost.
    Unseen,
    /// The recording ended first.
    Open,
    /// The correlator had no room for it.
    Evicted,
}

impl Vanished {
    /// The words in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Vanished::Consumed => "freed elsewhere, as what the host takes in",
            Vanished::Unseen => "went on unseen",
            Vanished::Open => "on its way when the recording ended",
            Vanished::Evicted => "given up, too many were open",
        }
    }

    fn of(end: End) -> Option<Vanished> {
        match end {
            End::Consumed => Some(Vanished::Consumed),
            End::Unfinished => Some(Vanished::Unseen),
            End::Open => Some(Vanished::Open),
            End::Evicted => Some(Vanished::Evicted),
            End::Done | End::Dropped { .. } | End::Branched | End::Cut => None,
        }
    }
}

/// What is known of a tap.
#[derive(Clone, Debug, Default)]
pub struct TapFacts {
    /// What lies between it and the NIC.
    pub behind: Option<Between>,
    /// Hops that have a hook for its frames.
    pub served: PerHop<bool>,
}

/// What lies between a tap and the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// A bridge or Open vSwitch: its hops.
    Switch,
    /// IP.
    Route,
}

/// Hops that every frame of such a tap must pass.
const SWITCHED: &[Hop] = &[Hop::BridgeIn, Hop::BridgeOut];
const ROUTED: &[Hop] = &[Hop::IpIn, Hop::IpOut];

impl LossBook {
    /// A book for a recording with these taps, by slot.
    pub fn new(taps: BTreeMap<u8, TapFacts>) -> LossBook {
        LossBook { taps, ..LossBook::default() }
    }

    /// These are the taps now.
    pub fn meet(&mut self, taps: BTreeMap<u8, TapFacts>) {
        self.taps = taps;
    }

    /// Enters a passage.
    pub fn passage(&mut self, passage: &Passage) {
        self.count(passage);
        self.joined(passage);
        self.partials.learn(passage);
        self.coverage(passage);
        self.untold(passage);
        if let End::Dropped { reason, device } = passage.end {
            let mut key = (passage.last_hop(), device, reason, passage.dropped_at);
            if self.drops.len() >= MAX_PLACES && !self.drops.contains_key(&key) {
                key = (passage.last_hop(), None, ELSEWHERE, 0);
            }
            *self.drops.entry(key).or_default() += 1;
        }
        if let Some(vanished) = Vanished::of(passage.end) {
            *self.vanished.entry((passage.last_hop(), vanished)).or_default() += 1;
        }
    }

    fn count(&mut self, passage: &Passage) {
        let counts = &mut self.passages;
        counts.count += 1;
        counts.ambiguous += u64::from(passage.ambiguous);
        match passage.branch {
            None => {
                counts.bytes += u64::from(passage.len);
                counts.wire_frames += passage.wire_frames();
            }
            Some(Branch::Copy) => counts.branches += 1,
            Some(Branch::Segment) => counts.segments += 1,
        }
        match (passage.from, passage.to) {
            (Side::Guest(_), Side::Guest(_)) => counts.between_guests += 1,
            (Side::Guest(_), _) => counts.transmitted += 1,
            (_, Side::Guest(_)) => counts.received += 1,
            _ => counts.elsewhere += 1,
        }
        match passage.end {
            End::Done | End::Cut => counts.complete += 1,
            End::Dropped { .. } => counts.dropped += 1,
            End::Branched | End::Consumed | End::Unfinished | End::Open | End::Evicted => {
                counts.unfinished += 1;
            }
        }
    }

    /// Counts a passage's own stamps, and those of the frames that were merged into it.
    fn joined(&mut self, passage: &Passage) {
        if passage.stamps.len() < 2 {
            return;
        }
        for stamp in &passage.stamps[passage.shared..] {
            self.joined_by(stamp, stamp.rule);
        }
        for stamp in passage.merged.iter().flatten() {
            let rule = if stamp.rule == Rule::Birth { Rule::Range } else { stamp.rule };
            self.joined_by(stamp, rule);
        }
    }

    fn joined_by(&mut self, stamp: &Stamp, rule: Rule) {
        self.matched[stamp.hop as usize] += 1;
        self.rules.count(stamp.hop, rule as usize);
        self.hooks.count(stamp.hop, stamp.hook as usize);
    }

    /// Frames that were moved without anybody being told to: the VMM looked by itself, or the guest did.
    fn untold(&mut self, passage: &Passage) {
        let passed = |hop: Hop| passage.time_at(hop).is_some();
        let told = |hop: Hop| !self.serves(passage, hop) || passed(hop);
        let polled = passed(Hop::TapWrite) && !told(Hop::VmmKick);
        let unannounced = passage.end == End::Done && passed(Hop::VmmReadEnd) && !told(Hop::VmmIrq);
        self.passages.polled += u64::from(polled && passage.branch.is_none());
        self.passages.unannounced += u64::from(unannounced);
    }

    /// To be called when all passages have been entered: enters those of which one end was not seen, as far as others of
    /// their flow tell that they were not the host's own.
    pub fn settle(&mut self) {
        let mut partials = std::mem::take(&mut self.partials);
        partials.settle(|from, to, hop, passed| {
            if self.serves_between(from, to, hop) {
                self.expected[hop as usize] += passed.expected;
                self.found[hop as usize] += passed.found;
            }
        });
    }

    /// A hop is expected where the passage was seen at it or beyond it, and, at the ends of the way, where the
    /// passage is over.
    fn coverage(&mut self, passage: &Passage) {
        let way = way(passage.from, passage.to);
        if passage.branch == Some(Branch::Copy) || way.is_empty() {
            return;
        }
        // A segment has to itself what lies behind the cutting. What cuts before the queue is no part of the way.
        let cut_at = if passage.cut_early { Hop::NicQueue.stage() } else { Hop::NicXmit.stage() };
        let own = cut_at.max(passage.shared_stage() + 1);
        let network = self.network(passage);
        for &hop in way.iter().chain(network) {
            let mine = passage.shared == 0 || hop.stage() >= own;
            if mine && self.serves(passage, hop) && must_have_passed(passage, hop) {
                self.expected[hop as usize] += 1;
                self.found[hop as usize] += u64::from(passage.time_at(hop).is_some());
            }
        }
        self.merged(passage);
        self.cut(passage, way);
        if self.serves(passage, Hop::VcpuEnter) && passage.time_at(Hop::VmmIrq).is_some() {
            self.expected[Hop::VcpuEnter as usize] += 1;
            self.found[Hop::VcpuEnter as usize] += u64::from(passage.time_at(Hop::VcpuEnter).is_some());
        }
    }

    /// Segments that were not seen were handed on nevertheless. What they passed behind is not known: it was seen or not, and
    /// could not be joined.
    fn cut(&mut self, passage: &Passage, way: &[Hop]) {
        if passage.end != End::Cut {
            return;
        }
        let unseen = passage.wire_frames().saturating_sub(u64::from(passage.segments));
        for &hop in way.iter().filter(|hop| hop.stage() == Hop::NicXmit.stage()) {
            if self.serves(passage, hop) {
                self.expected[hop as usize] += unseen;
            }
        }
    }

    /// Frames that GRO has merged passed `nic.rx` each by itself.
    fn merged(&mut self, passage: &Passage) {
        if passage.grew && self.serves(passage, Hop::NicRx) {
            self.expected[Hop::NicRx as usize] += passage.wire_frames().saturating_sub(1);
            self.found[Hop::NicRx as usize] += passage.merged.len() as u64;
        }
    }

    /// Whether a hop has a hook for the frames of the passage's guest: of two guests, of the one that the hop is with.
    fn serves(&self, passage: &Passage, hop: Hop) -> bool {
        self.serves_between(passage.from, passage.to, hop)
    }

    fn serves_between(&self, from: Side, to: Side, hop: Hop) -> bool {
        let tap = |side: Side| match side {
            Side::Guest(slot) => self.taps.get(&slot),
            Side::Wire(_) | Side::Host => None,
        };
        let tap = match IN_OF_GUEST.contains(&hop) {
            true => tap(to),
            false => tap(from).or_else(|| tap(to)),
        };
        tap.is_some_and(|tap| tap.served[hop as usize])
    }

    /// Hops of the virtual network that a passage must have gone by.
    fn network(&self, passage: &Passage) -> &'static [Hop] {
        let behind = |side: Side| match side {
            Side::Guest(slot) => self.taps.get(&slot)?.behind,
            Side::Wire(_) | Side::Host => None,
        };
        match (behind(passage.from), behind(passage.to)) {
            (Some(Between::Route), _) | (_, Some(Between::Route)) => ROUTED,
            (Some(Between::Switch), _) | (_, Some(Between::Switch)) => SWITCHED,
            (None, None) => &[],
        }
    }
}

/// Hops of a way, in order; none where it does not lead from or to a guest and the wire.
fn way(from: Side, to: Side) -> &'static [Hop] {
    match (from, to) {
        (Side::Guest(_), Side::Guest(_)) => BETWEEN,
        (Side::Guest(_), Side::Wire(_)) => OUTWARD,
        (Side::Wire(_), Side::Guest(_)) => INWARD,
        _ => &[],
    }
}

/// Whether a frame that was seen where this passage was must have come by a hop: it was seen there or behind it, or it is
/// over, and nothing could keep it from there.
fn must_have_passed(passage: &Passage, hop: Hop) -> bool {
    let seen_behind = hop.stage() <= passage.stage();
    // A queue hands on what it took, a driver frees it, and a VMM copies what is in its ring, unless the kernel drops it.
    let queued = hop.stage() > Hop::NicQueue.stage() && passage.stage() >= Hop::NicQueue.stage();
    let over = match passage.end {
        End::Done => true,
        // What holds several frames may have been cut up unseen.
        End::Unfinished | End::Consumed => {
            queued && (passage.stage() > Hop::NicQueue.stage() || passage.wire_frames() == 1)
        }
        // Its segments were seen behind the queue, and none in it.
        End::Cut => !passage.cut_early && hop.stage() <= Hop::NicQueue.stage(),
        End::Dropped { .. } | End::Branched | End::Open | End::Evicted => false,
    };
    seen_behind || over
}

#[cfg(test)]
mod tests;
