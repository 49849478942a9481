//! What delays a layer.

mod held;
mod hog;
mod netem;
mod queue;
mod stopped;

use std::time::Duration;

use tracer::latency::Layer;

use super::{block::Block, now_ns, scene::Scene};

/// Something that delays a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The VMM's process is stopped while the question comes.
    VmmStopped,
    /// A program of higher priority keeps the processor of the VMM's thread.
    Hog,
    /// The guest answers late.
    GuestHolds,
    /// The peer answers late.
    PeerHolds,
    /// The NIC's qdisc is netem.
    NicDelays,
    /// The qdisc of the peer's NIC is netem.
    WireDelays,
    /// A program takes frames out of the bridge and gives them back.
    BridgeQueues,
}

impl Trial {
    /// The layer that is delayed.
    pub const fn layer(self) -> Layer {
        match self {
            Trial::VmmStopped | Trial::Hog => Layer::Vmm,
            Trial::GuestHolds => Layer::Guest,
            Trial::PeerHolds | Trial::WireDelays => Layer::WirePeer,
            Trial::NicDelays => Layer::Nic,
            Trial::BridgeQueues => Layer::Vmnet,
        }
    }

    /// What is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Trial::VmmStopped => "VMM stopped",
            Trial::Hog => "hog on the VMM's CPU",
            Trial::GuestHolds => "guest answers late",
            Trial::PeerHolds => "peer answers late",
            Trial::NicDelays => "netem on the NIC",
            Trial::WireDelays => "netem on the peer's NIC",
            Trial::BridgeQueues => "nfqueue in the bridge",
        }
    }

    /// Whether the delay is to show as waiting for a processor.
    pub const fn waits(self) -> bool {
        matches!(self, Trial::Hog)
    }

    /// Asks so many questions without and as many with the delay.
    pub(crate) fn blocks(self, scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
        match self {
            Trial::VmmStopped => stopped::blocks(scene, delay, questions),
            Trial::Hog => hog::blocks(scene, delay, questions),
            Trial::GuestHolds => held::in_guest(scene, delay, questions),
            Trial::PeerHolds => held::at_peer(scene, delay, questions),
            Trial::NicDelays => netem::on_nic(scene, delay, questions),
            Trial::WireDelays => netem::on_peer(scene, delay, questions),
            Trial::BridgeQueues => queue::blocks(scene, delay, questions),
        }
    }
}

/// What plain ones are held for as well, where what comes back at once would find everybody awake still, and its way in
/// the caches: that saves more than the shortest delay.
const BASE: Duration = Duration::from_millis(2);

/// Blocks of `asked` questions, plain and delayed in turn. The work says for how long it has kept them, ns.
fn alternate(blocks: usize, asked: usize, mut work: impl FnMut(bool) -> f64) -> Vec<Block> {
    let block = |number: usize| {
        let delayed = number % 2 == 1;
        let start_ns = now_ns();
        let kept_ns = work(delayed);
        Block { time: start_ns..now_ns(), asked, delayed, kept_ns }
    };
    (0..2 * blocks).map(block).collect()
}
