//! Where flows come from. A frame that is first seen at a queue comes from the host itself, unless others of its flow
//! came from a guest or from the wire: then so does this one, and what saw them enter has missed it. That is for
//! counting what was missed: where such a frame spent its time before is not known.

use rustc_hash::FxHashMap;
use tracer_common::frame::Kind;

use super::passage::{Passage, Side};

/// Flows that are remembered; beyond, all are forgotten, and only the counts of what was missed suffer.
const MAX_FLOWS: usize = 1 << 16;

/// Whether a frame is of a conversation. Others are flooded, and a copy whose headers a tunnel has changed has a buffer of
/// its own (`skb_cow_head`), so that nothing shows that it entered.
pub(crate) fn is_talk(passage: &Passage) -> bool {
    matches!(passage.kind, Some(Kind::Tcp | Kind::Udp | Kind::EchoRequest | Kind::EchoReply))
}

/// Where the frames of flows entered the host; none for a flow that entered at several places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    by_flow: FxHashMap<u64, Option<Side>>,
}

impl Origins {
    /// A passage begins: says where its flow comes from, or is told.
    pub(super) fn begin(&mut self, passage: &mut Passage) {
        if passage.from != Side::Host {
            return self.note(passage.flow, passage.from);
        }
        if let Some(side) = self.of(passage.flow).filter(|_| is_talk(passage)) {
            (passage.from, passage.inferred) = (side, true);
        }
    }

    /// A passage has gone on: behind a NAT its flow is another one.
    pub(super) fn translated(&mut self, passage: &Passage) {
        if passage.flow_to != passage.flow && passage.from != Side::Host {
            self.note(passage.flow_to, passage.from);
        }
    }

    /// Where a flow comes from, if that is known.
    pub(crate) fn of(&self, flow: u64) -> Option<Side> {
        self.by_flow.get(&flow).copied().flatten()
    }

    /// Says that frames of a flow come from a side.
    pub(crate) fn note(&mut self, flow: u64, side: Side) {
        if flow == 0 || side == Side::Host {
            return;
        }
        if self.by_flow.len() >= MAX_FLOWS {
            self.by_flow.clear();
        }
        let known = self.by_flow.entry(flow).or_insert(Some(side));
        if *known != Some(side) {
            *known = None;
        }
    }
}
