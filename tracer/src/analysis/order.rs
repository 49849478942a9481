//! The order in which segments are shown: that of the way. Where a hop of the user's is on it, only the frames tell.

use std::collections::BTreeMap;

use tracer_common::hop::{Hop, USER_HOPS};

use crate::latency::{Span, Way};

/// How far on the way, and how many of the user's hops behind the last of vmhop's own.
type Place = (u8, usize);

/// Puts spans in the order of the ways, and on each way in the order of the frames.
pub(crate) fn sort(spans: &mut [Span]) {
    let places = places(spans);
    let place = |way: Way, hop: Hop| places.get(&(way, hop)).copied().unwrap_or((hop.stage(), 0));
    spans.sort_by_key(|span| (span.way, place(span.way, span.from), place(span.way, span.to), *span));
}

/// A hop of the user's stands behind whatever frames passed before it.
fn places(spans: &[Span]) -> BTreeMap<(Way, Hop), Place> {
    let mut places: BTreeMap<(Way, Hop), Place> = BTreeMap::new();
    // Each round goes one of the user's hops further.
    for _ in 0..USER_HOPS {
        for span in spans.iter().filter(|span| span.to.user_number().is_some()) {
            let before = match span.from.user_number() {
                None => Some((span.from.stage(), 0)),
                Some(_) => places.get(&(span.way, span.from)).copied(),
            };
            let Some((stage, behind)) = before.filter(|(_, behind)| *behind < USER_HOPS) else { continue };
            let place = places.entry((span.way, span.to)).or_default();
            *place = (*place).max((stage, behind + 1));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_of_the_users_stands_where_frames_passed_it() {
        let span = |from, to| Span { way: Way::Transmit, from, to };
        let way = [
            span(Hop::TapRx, Hop::BridgeIn),
            span(Hop::BridgeIn, Hop::BridgeOut),
            span(Hop::BridgeOut, Hop::User1),
            span(Hop::User1, Hop::User0),
            span(Hop::User0, Hop::NicQueue),
            span(Hop::NicQueue, Hop::NicXmit),
        ];
        let mut spans = way;
        spans.reverse();
        sort(&mut spans);
        assert_eq!(spans, way);
        let mut around =
            [span(Hop::User0, Hop::User1), span(Hop::TapRx, Hop::User0), span(Hop::User1, Hop::User0)];
        sort(&mut around);
        assert_eq!(around[0].from, Hop::TapRx);
    }
}
