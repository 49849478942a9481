//! Where flows come from. A frame that is first seen at a queue comes from the host itself, unless others of its flow
//! came from a guest or from the wire: then so does this one, and what saw them enter has missed it. That is for
//! counting what was missed: where such a frame spent its time before is not known.

use tracer_common::frame::Kind;

use super::{
    passage::{Passage, Side},
    recent::Recent,
};
use crate::decode::Event;

/// How long the correlator remembers a flow that nothing is seen of, ns of event time.
pub(super) const WITHIN_NS: u64 = 60_000_000_000;
/// Flows that are remembered to the end of the recording.
const LASTING: usize = 1 << 16;

/// Whether a frame is of a conversation. Others are flooded, and a copy whose headers a tunnel has changed has a buffer of
/// its own (`skb_cow_head`), so that nothing shows that it entered.
pub(crate) fn is_talk(passage: &Passage) -> bool {
    matches!(passage.kind, Some(Kind::Tcp | Kind::Udp | Kind::EchoRequest | Kind::EchoReply))
}

/// Where the frames of flows entered the host; none for a flow that entered at several places. Where one is forgotten,
/// only the counts of what was missed suffer.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    by_flow: Recent<u64, Origin>,
}

/// Of one flow.
#[derive(Clone, Copy, Debug)]
struct Origin {
    side: Option<Side>,
    /// It has frames that may be cut up on their way.
    cut: bool,
}

impl Default for Origins {
    fn default() -> Origins {
        Origins::new(LASTING, u64::MAX)
    }
}

impl Origins {
    /// Of `most` flows, those used last, for `within_ns` of event time.
    pub(super) fn new(most: usize, within_ns: u64) -> Origins {
        Origins { by_flow: Recent::new(most, within_ns) }
    }

    /// A passage begins: says where its flow comes from, or is told.
    pub(super) fn begin(&mut self, passage: &mut Passage) {
        if passage.from != Side::Host {
            self.note(passage.flow, passage.from, passage.start_ns());
            return self.note_cut(passage.flow, passage.gso_size > 0);
        }
        if let Some(side) = self.of(passage.flow).filter(|_| is_talk(passage)) {
            (passage.from, passage.inferred) = (side, true);
        }
    }

    /// A passage has gone on: behind a NAT its flow is another one, and behind GRO it may be larger.
    pub(super) fn went_on(&mut self, passage: &Passage) {
        if passage.from == Side::Host {
            return;
        }
        if passage.flow_to != passage.flow {
            let now_ns = passage.stamps.last().map_or(0, |stamp| stamp.time_ns);
            self.note(passage.flow_to, passage.from, now_ns);
        }
        self.note_cut(passage.flow_to, passage.gso_size > 0);
    }

    fn note_cut(&mut self, flow: u64, cut: bool) {
        if cut && let Some(known) = self.by_flow.get_mut(flow) {
            known.cut = true;
        }
    }

    /// Whether a frame that is first seen at a driver or a ring is known to have entered the host, and by itself: all of
    /// its flow that entered were no larger than a frame of the wire.
    pub(super) fn has_entered(&self, event: &Event) -> bool {
        self.by_flow.get(event.flow).is_some_and(|origin| origin.side.is_some() && !origin.cut)
    }

    /// Whether frames of a flow, or of the reverse one, came from a guest.
    pub(super) fn is_of_guest(&self, flow: u64) -> bool {
        let from_guest = |origin: &Origin| !matches!(origin.side, Some(Side::Wire(_)));
        [flow, flow ^ 1].into_iter().any(|flow| self.by_flow.get(flow).is_some_and(from_guest))
    }

    /// Where a flow comes from, if that is known.
    pub(crate) fn of(&self, flow: u64) -> Option<Side> {
        self.by_flow.get(flow)?.side
    }

    /// Says that frames of a flow come from a side.
    pub(crate) fn note(&mut self, flow: u64, side: Side, now_ns: u64) {
        if flow == 0 || side == Side::Host {
            return;
        }
        let known = self.by_flow.entry(flow, now_ns, || Origin { side: Some(side), cut: false });
        known.side = known.side.filter(|known| *known == side);
    }
}
