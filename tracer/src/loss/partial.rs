//! Passages of which one end was not seen. Of a frame that is first seen at a queue nothing shows that it entered the host,
//! and of one that is last seen where it entered nothing shows that it left: either may be the host's own. Others of its
//! flow tell; so these are kept by flow until all have been seen.

use std::collections::BTreeMap;

use tracer_common::hop::Hop;

use super::{must_have_passed, way};
use crate::correlate::{
    End, Passage, Side,
    origin::{Origins, is_talk},
};

/// Flows with such passages that are remembered.
const MAX_FLOWS: usize = 1 << 16;

/// Hops of one half of a way.
const MOST_HOPS: usize = 4;

/// The half of a way that is known: what enters, or what leaves.
fn known_half(from: Side, to: Side) -> &'static [Hop] {
    match (from, to) {
        (Side::Host, Side::Guest(_)) => &[Hop::TapQueue, Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd],
        (Side::Host, Side::Wire(_)) => &[Hop::NicQueue, Hop::NicXmit, Hop::NicDone],
        (Side::Guest(_), Side::Host) => &[Hop::TapWrite, Hop::TapRx],
        (Side::Wire(_), Side::Host) => &[Hop::NicRx, Hop::NicStack],
        _ => &[],
    }
}

/// How many must have passed a hop, and how many of these were seen there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) expected: u64,
    pub(super) found: u64,
}

/// Passages of one flow whose other end is not known.
#[derive(Clone, Copy, Debug, Default)]
struct Partial {
    count: u64,
    /// By the hops of the half that is known.
    passed: [Passed; MOST_HOPS],
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Partials {
    origins: Origins,
    /// By flow, and the two ends, of which one stands for what is not known.
    by_flow: BTreeMap<(u64, Side, Side), Partial>,
}

impl Partials {
    /// Takes what a passage says of where flows come from: its own, and its answers' from where it went. One with an end
    /// that is not known is kept.
    pub(super) fn learn(&mut self, passage: &Passage) {
        let now_ns = passage.start_ns();
        self.origins.note(passage.flow, passage.from, now_ns);
        self.origins.note(passage.flow ^ 1, passage.to, now_ns);
        if passage.flow_to != passage.flow {
            self.origins.note(passage.flow_to ^ 1, passage.to, now_ns);
        }
        let hops = known_half(passage.from, passage.to);
        let unseen = match passage.to {
            // What is not in the stack may be part of another by now.
            Side::Host => {
                matches!(passage.end, End::Unfinished | End::Consumed)
                    && passage.stage() >= Hop::NicStack.stage()
            }
            _ => true,
        };
        if hops.is_empty() || !unseen || passage.branch.is_some() || !is_talk(passage) {
            return;
        }
        let key = (passage.flow, passage.from, passage.to);
        if self.by_flow.len() >= MAX_FLOWS && !self.by_flow.contains_key(&key) {
            return;
        }
        let partial = self.by_flow.entry(key).or_default();
        partial.count += 1;
        for (passed, &hop) in partial.passed.iter_mut().zip(hops) {
            if must_have_passed(passage, hop) {
                passed.expected += 1;
                passed.found += u64::from(passage.time_at(hop).is_some());
            }
        }
    }

    /// Gives for each hop of the ways that are known now: its ends, the hop, and what passed there. Of the half that was
    /// not seen all must have, as far as an event could have been joined to them: behind a driver or a ring, where only
    /// addresses are seen, none could.
    pub(super) fn settle(&mut self, mut passed: impl FnMut(Side, Side, Hop, Passed)) {
        for ((flow, from, to), partial) in std::mem::take(&mut self.by_flow) {
            let (known, to_unknown) = (known_half(from, to), to == Side::Host);
            let other = if from == Side::Host { self.origins.of(flow) } else { self.origins.of(flow ^ 1) };
            let Some(other) = other else { continue };
            let (from, to) = if from == Side::Host { (other, to) } else { (from, other) };
            for &hop in way(from, to) {
                let unjoined = to_unknown && hop.stage() > Hop::NicXmit.stage();
                if unjoined {
                    continue;
                }
                let all = Passed { expected: partial.count, found: 0 };
                let at = known.iter().position(|known| *known == hop);
                passed(from, to, hop, at.map_or(all, |at| partial.passed[at]));
            }
        }
    }
}
