//! Which hops can follow one another in a frame's life: in histogram mode the programs are told beforehand, and what is no
//! such pair is another frame.

use std::iter;

use tracer_common::{
    histogram::{Origin, SPAN_PLACES, span_place},
    hop::Hop,
};

use super::Plan;

/// Two hops that can follow one another, of frames of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramSpan {
    /// Where the frames come from.
    pub origin: Origin,
    /// Earlier hop.
    pub from: Hop,
    /// Later hop.
    pub to: Hop,
}

/// Hops that histogram mode knows. Left out are those that only a whole recording can join: a kick to its frame, a NIC's
/// interrupt, and what an emulated guest's vCPU does.
const KNOWN: [Hop; 23] = [
    Hop::VmmRunnable,
    Hop::VmmWake,
    Hop::TapWrite,
    Hop::TapRx,
    Hop::NicRx,
    Hop::NicStack,
    Hop::BridgeIn,
    Hop::IpIn,
    Hop::IpOut,
    Hop::BridgeOut,
    Hop::NicQueue,
    Hop::NicXmit,
    Hop::NicDone,
    Hop::TapQueue,
    Hop::TapRing,
    Hop::VmmRead,
    Hop::VmmReadEnd,
    Hop::VmmIrq,
    Hop::VcpuEnter,
    Hop::VcpuLeave,
    Hop::SkbFree,
    Hop::SkbDrop,
    Hop::NicHw,
];

/// Whether histogram mode can make something of a hop.
pub(super) fn knows(hop: Hop) -> bool {
    KNOWN.contains(&hop)
}

/// Inside the virtual network, in their order.
const INSIDE: [Hop; 4] = [Hop::BridgeIn, Hop::IpIn, Hop::IpOut, Hop::BridgeOut];
/// Out of the host, in their order.
const OUT: [Hop; 3] = [Hop::NicQueue, Hop::NicXmit, Hop::NicDone];
/// Into a tap, in their order.
const IN: [Hop; 2] = [Hop::TapQueue, Hop::TapRing];
/// What follows for a frame in a tap's ring: each pair that can follow one another.
const READ: [(Hop, Hop); 8] = [
    (Hop::TapQueue, Hop::VmmRead),
    (Hop::TapRing, Hop::VmmRead),
    (Hop::TapRing, Hop::VmmRunnable),
    (Hop::TapRing, Hop::VmmWake),
    (Hop::TapQueue, Hop::VmmRunnable),
    (Hop::TapQueue, Hop::VmmWake),
    (Hop::VmmRunnable, Hop::VmmWake),
    (Hop::VmmWake, Hop::VmmRead),
];
/// And for one that was read.
const TAKEN: [(Hop, Hop); 3] =
    [(Hop::VmmRead, Hop::VmmReadEnd), (Hop::VmmReadEnd, Hop::VmmIrq), (Hop::VmmIrq, Hop::VcpuEnter)];
/// What leads to a frame that a guest sends.
const WRITTEN: [(Hop, Hop); 3] =
    [(Hop::VmmRunnable, Hop::VmmWake), (Hop::VmmWake, Hop::TapWrite), (Hop::TapWrite, Hop::TapRx)];

/// All spans that this plan's hops can form. A span's number is its place, counted from 1.
pub fn histogram_spans(plan: &Plan) -> Vec<HistogramSpan> {
    let user: Vec<Hop> = (0..plan.user_hops.len()).filter_map(Hop::user).collect();
    let served = |hop: Hop| {
        let by_free = matches!(hop, Hop::NicDone | Hop::VmmReadEnd) && !plan.hooks(Hop::SkbFree).is_empty();
        by_free || hop.user_number().is_some() || !plan.hooks(hop).is_empty()
    };
    let mut spans = Vec::new();
    for origin in Origin::ALL {
        let pairs = pairs(origin, &user).into_iter().filter(|(from, to)| served(*from) && served(*to));
        spans.extend(pairs.map(|(from, to)| HistogramSpan { origin, from, to }));
    }
    spans
}

/// Hops where a frame of this origin is first seen.
fn births(origin: Origin) -> &'static [Hop] {
    match origin {
        Origin::Guest => &[Hop::TapRx],
        Origin::Wire => &[Hop::NicRx, Hop::NicStack],
        Origin::Host | Origin::Between => &[],
    }
}

fn pairs(origin: Origin, user: &[Hop]) -> Vec<(Hop, Hop)> {
    if origin == Origin::Between {
        return READ.to_vec();
    }
    let inside: Vec<Hop> = births(origin).iter().chain(&INSIDE).copied().collect();
    let mut pairs = in_order(&inside);
    // The user's are anywhere between birth and exit, in any order.
    for &own in user {
        let others = user.iter().filter(|other| **other != own).map(|&other| (own, other));
        pairs.extend(inside.iter().flat_map(|&hop| [(hop, own), (own, hop)]).chain(others));
    }
    let all: Vec<Hop> = inside.iter().chain(user).copied().collect();
    for exits in [&OUT[..2], &IN] {
        pairs.extend(all.iter().flat_map(|&from| exits.iter().map(move |&to| (from, to))));
    }
    let read = if origin == Origin::Guest { &[][..] } else { &READ };
    let written = if origin == Origin::Guest { &WRITTEN[..] } else { &[] };
    pairs.extend(in_order(&OUT).into_iter().chain(in_order(&IN)));
    pairs.extend(read.iter().chain(&TAKEN).chain(written));
    pairs
}

fn in_order(hops: &[Hop]) -> Vec<(Hop, Hop)> {
    let behind = |at: usize| iter::repeat(hops[at]).zip(hops[at + 1..].iter().copied());
    (0..hops.len()).flat_map(behind).collect()
}

/// The numbers of spans as the programs look them up.
pub fn span_numbers(spans: &[HistogramSpan]) -> Vec<u16> {
    let mut numbers = vec![0; SPAN_PLACES];
    for (number, span) in (1..).zip(spans) {
        numbers[span_place(span.origin as u8, span.from as u8, span.to as u8)] = number;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_is_there_twice_and_none_leads_back() {
        let user = [Hop::User0, Hop::User1];
        for origin in Origin::ALL {
            let pairs = pairs(origin, &user);
            for (at, pair) in pairs.iter().enumerate() {
                assert!(!pairs[..at].contains(pair), "{origin:?} {pair:?}");
                let own = pair.0.user_number().or(pair.1.user_number()).is_some();
                let thread =
                    [pair.0, pair.1].iter().any(|hop| matches!(hop, Hop::VmmRunnable | Hop::VmmWake));
                assert!(own || thread || pair.0.stage() < pair.1.stage(), "{origin:?} {pair:?}");
            }
        }
    }

    #[test]
    fn a_frame_is_born_once() {
        let into = |origin, hop| pairs(origin, &[]).iter().filter(|(_, to)| *to == hop).count();
        assert_eq!(into(Origin::Guest, Hop::TapRx), 1);
        assert_eq!(into(Origin::Wire, Hop::TapRx), 0);
        assert_eq!(into(Origin::Wire, Hop::NicRx), 0);
        assert_eq!(into(Origin::Wire, Hop::NicStack), 1);
    }

    #[test]
    fn a_span_is_found_by_its_place() {
        let span = HistogramSpan { origin: Origin::Wire, from: Hop::NicRx, to: Hop::NicStack };
        let numbers = span_numbers(&[HistogramSpan { origin: Origin::Guest, ..span }, span]);
        let at = |origin| numbers[span_place(origin as u8, Hop::NicRx as u8, Hop::NicStack as u8)];
        assert_eq!((at(Origin::Guest), at(Origin::Wire), at(Origin::Host)), (1, 2, 0));
        assert_eq!(numbers.iter().filter(|number| **number != 0).count(), 2);
    }
}
