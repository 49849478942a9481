//! Where flows come from. A frame that is first seen at a queue comes from the host itself, unless others of its flow
//! came from a guest or from the wire: then so does this one, and what saw them enter has missed it. That is for
//! counting what was missed: where such a frame spent its time before is not known.

use tracer_common::frame::Kind;

use super::{
    passage::{Passage, Side},
    recent::Recent,
};

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
    by_flow: Recent<u64, Option<Side>>,
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
            return self.note(passage.flow, passage.from, passage.start_ns());
        }
        if let Some(side) = self.of(passage.flow).filter(|_| is_talk(passage)) {
            (passage.from, passage.inferred) = (side, true);
        }
    }

    /// A passage has gone on: behind a NAT its flow is another one.
    pub(super) fn translated(&mut self, passage: &Passage) {
        if passage.flow_to != passage.flow && passage.from != Side::Host {
            let now_ns = passage.stamps.last().map_or(0, |stamp| stamp.time_ns);
            self.note(passage.flow_to, passage.from, now_ns);
        }
    }

    /// Where a flow comes from, if that is known.
    pub(crate) fn of(&self, flow: u64) -> Option<Side> {
        self.by_flow.get(flow).copied().flatten()
    }

    /// Says that frames of a flow come from a side.
    pub(crate) fn note(&mut self, flow: u64, side: Side, now_ns: u64) {
        if flow == 0 || side == Side::Host {
            return;
        }
        let known = self.by_flow.entry(flow, now_ns, || Some(side));
        if *known != Some(side) {
            *known = None;
        }
    }
}
