//! What was not measured: coverage of each hop, frames that died, passages that did not end.

use std::collections::BTreeMap;

use tracer_common::hop::{Hook, Hop};

use crate::{
    correlate::{End, Parts, Passage, Rule, Side},
    per_hop::PerHop,
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
    pub rules: BTreeMap<(u8, Rule), u64>,
    /// By which hook.
    pub hooks: BTreeMap<(u8, Hook), u64>,
    /// Frames that the kernel dropped.
    pub drops: BTreeMap<DropKey, u64>,
    /// Counts of passages.
    pub passages: Passages,
    taps: BTreeMap<u8, TapFacts>,
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

    /// Enters a passage.
    pub fn passage(&mut self, passage: &Passage) {
        self.count(passage);
        self.joined(passage);
        self.coverage(passage);
        self.untold(passage);
        if let End::Dropped { reason, device } = passage.end {
            let key = (passage.last_hop(), device, reason, passage.dropped_at);
            *self.drops.entry(key).or_default() += 1;
        }
    }

    fn count(&mut self, passage: &Passage) {
        let counts = &mut self.passages;
        counts.count += 1;
        counts.bytes += u64::from(passage.len);
        counts.ambiguous += u64::from(passage.ambiguous);
        counts.branches += u64::from(passage.branch);
        match (passage.from, passage.to) {
            (Side::Guest(_), Side::Guest(_)) => counts.between_guests += 1,
            (Side::Guest(_), _) => counts.transmitted += 1,
            (_, Side::Guest(_)) => counts.received += 1,
            _ => counts.elsewhere += 1,
        }
        match passage.end {
            End::Done => counts.complete += 1,
            End::Dropped { .. } => counts.dropped += 1,
            End::Branched | End::Consumed | End::Unfinished | End::Evicted => counts.unfinished += 1,
        }
    }

    fn joined(&mut self, passage: &Passage) {
        if passage.stamps.len() < 2 {
            return;
        }
        let shared = |stamp: &crate::correlate::Stamp| passage.branch && stamp.rule != Rule::Head;
        let own = passage.stamps.iter().position(|stamp| stamp.rule == Rule::Head).unwrap_or_default();
        for (index, stamp) in passage.stamps.iter().enumerate() {
            if index < own && shared(stamp) {
                continue;
            }
            self.matched[stamp.hop as usize] += 1;
            *self.rules.entry((stamp.hop as u8, stamp.rule)).or_default() += 1;
            *self.hooks.entry((stamp.hop as u8, stamp.hook)).or_default() += 1;
        }
        self.parts(&passage.parts);
    }

    fn parts(&mut self, &Parts { arrived, sent, done }: &Parts) {
        for (hop, rule, count) in [
            (Hop::NicRx, Rule::Range, arrived),
            (Hop::NicXmit, Rule::Range, sent),
            (Hop::NicDone, Rule::Pointer, done),
        ] {
            if count > 0 {
                self.matched[hop as usize] += count;
                *self.rules.entry((hop as u8, rule)).or_default() += count;
            }
        }
    }

    /// Frames that were moved without anybody being told to: the VMM looked by itself, or the guest did.
    fn untold(&mut self, passage: &Passage) {
        let passed = |hop: Hop| passage.time_at(hop).is_some();
        let told = |hop: Hop| !self.serves(passage, hop) || passed(hop);
        let polled = passed(Hop::TapWrite) && !told(Hop::VmmKick);
        let unannounced = passage.end == End::Done && passed(Hop::VmmReadEnd) && !told(Hop::VmmIrq);
        self.passages.polled += u64::from(polled && !passage.branch);
        self.passages.unannounced += u64::from(unannounced);
    }

    /// A hop is expected where the passage was seen at it or beyond it, and, at the ends of the way, where the
    /// passage is over.
    fn coverage(&mut self, passage: &Passage) {
        let way = match (passage.from, passage.to) {
            (Side::Guest(_), Side::Guest(_)) => BETWEEN,
            (Side::Guest(_), Side::Wire(_)) => OUTWARD,
            (Side::Wire(_), Side::Guest(_)) => INWARD,
            _ => return,
        };
        if passage.branch {
            return;
        }
        let done = passage.end == End::Done;
        let last = passage.stage();
        let network = self.network(passage);
        for &hop in way.iter().chain(network) {
            if self.serves(passage, hop) && (hop.stage() <= last || done) {
                self.expected[hop as usize] += 1;
                self.found[hop as usize] += u64::from(passage.time_at(hop).is_some());
            }
        }
        if self.serves(passage, Hop::VcpuEnter) && passage.time_at(Hop::VmmIrq).is_some() {
            self.expected[Hop::VcpuEnter as usize] += 1;
            self.found[Hop::VcpuEnter as usize] += u64::from(passage.time_at(Hop::VcpuEnter).is_some());
        }
    }

    /// Whether a hop has a hook for the frames of the passage's guest: of two guests, of the one that the hop is with.
    fn serves(&self, passage: &Passage, hop: Hop) -> bool {
        let tap = |side: Side| match side {
            Side::Guest(slot) => self.taps.get(&slot),
            Side::Wire(_) | Side::Host => None,
        };
        let tap = match IN_OF_GUEST.contains(&hop) {
            true => tap(passage.to),
            false => tap(passage.from).or_else(|| tap(passage.to)),
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

#[cfg(test)]
mod tests;
