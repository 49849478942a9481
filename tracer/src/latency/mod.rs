//! Charging time to layers.
//!
//! Hops stand on a line, and each stretch between two neighbours on it belongs to one layer:
//!
//! ```text
//! out: kick ─vmm─ runnable ─vmm─ wake ─vmm─ tap.write ─vmnet─ tap.rx ─vmnet─ … ─vmnet─ nic.queue ─nic─ nic.xmit ─nic─ nic.done
//! in:  nic.irq ─nic─ nic.rx ─nic─ nic.stack ─vmnet─ … ─vmnet─ tap.queue ─vmnet─ tap.ring ─vmm─ … ─vmm─ vcpu.enter
//! turns: nic.done ─wire+peer─ nic.irq       vcpu.enter ─guest─ kick       in the host's stack: ─host─
//! ```
//!
//! A span between two hops that were seen covers one or more stretches. One layer: charged to it. Guest and VMM
//! only: to `guest+vmm`, which splits where the interrupt and the kick are seen. Anything else mixed:
//! `unattributed`. Spans add up to the exchange by construction; what is unattributed is its residual.

mod book;
mod spans;
mod stats;

use std::fmt;

use tracer_common::hop::Hop;

pub use self::{
    book::{GroupBook, LatencyBook, LayerTimes, Span, Way, each_span, spans_of},
    spans::PerSpan,
    stats::Stats,
};

/// What time is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The guest's own.
    Guest,
    /// Guest and VMM, not to be told apart here.
    GuestVmm,
    /// The virtual machine monitor: moving the frame between guest and tap, and waiting for the CPU to do it.
    Vmm,
    /// The host's virtual network.
    Vmnet,
    /// The host's own protocol stack and applications.
    Host,
    /// NIC and its driver.
    Nic,
    /// The wire and what answers at its other end.
    WirePeer,
    /// Nothing that could be told.
    Unattributed,
}

/// How many layers there are.
pub const LAYERS: usize = Layer::ALL.len();

impl Layer {
    /// Every layer, in order.
    pub const ALL: [Layer; 8] = [
        Layer::Guest,
        Layer::GuestVmm,
        Layer::Vmm,
        Layer::Vmnet,
        Layer::Host,
        Layer::Nic,
        Layer::WirePeer,
        Layer::Unattributed,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Guest => "guest",
            Layer::GuestVmm => "guest+vmm",
            Layer::Vmm => "vmm",
            Layer::Vmnet => "vmnet",
            Layer::Host => "host",
            Layer::Nic => "nic",
            Layer::WirePeer => "wire+peer",
            Layer::Unattributed => "unattributed",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Ways between two hops of one passage, as places on the line. `vmm.wake` stands on both ways: before
/// `tap.write` of a frame that leaves the guest, after `tap.ring` of one that goes there.
fn place(hop: Hop, inward: bool) -> u8 {
    match hop {
        Hop::VmmRunnable if inward => 12,
        Hop::VmmWake if inward => 13,
        other => other.stage(),
    }
}

/// Hops of the user's are somewhere between tap and NIC, in any order.
fn charge_user(from: Hop, to: Hop) -> Layer {
    let inside = |hop: Hop| {
        hop.user_number().is_some() || (Hop::TapRx.stage()..=Hop::NicQueue.stage()).contains(&hop.stage())
    };
    if inside(from) && (inside(to) || to == Hop::TapRing) { Layer::Vmnet } else { Layer::Unattributed }
}

/// Whether a hop can only lie on the way to a guest, behind its tap's qdisc.
fn is_inward(hop: Hop) -> bool {
    matches!(
        hop,
        Hop::TapQueue | Hop::TapRing | Hop::VmmRead | Hop::VmmReadEnd | Hop::VmmIrq | Hop::VcpuEnter
    )
}

/// The layer of a span between two neighbouring hops of one passage.
pub fn charge(from: Hop, to: Hop) -> Layer {
    if from.user_number().is_some() || to.user_number().is_some() {
        return charge_user(from, to);
    }
    let inward = is_inward(from) || is_inward(to);
    let (start, end) = (place(from, inward), place(to, inward));
    let entered = Hop::TapRx.stage();
    let queued = Hop::NicQueue.stage();
    let driver = Hop::NicXmit.stage();
    let from_nic = matches!(from, Hop::NicHw | Hop::NicIrq | Hop::NicRx);
    if start >= end {
        return Layer::Unattributed;
    }
    if from_nic {
        return if end <= entered { Layer::Nic } else { Layer::Unattributed };
    }
    match (start, end) {
        (_, end) if end <= Hop::TapWrite.stage() => Layer::Vmm,
        (start, end) if start >= Hop::TapWrite.stage() && end <= queued => Layer::Vmnet,
        (start, end) if start >= Hop::TapWrite.stage() && end == driver && to == Hop::TapRing => Layer::Vmnet,
        (start, _) if start >= queued && !inward => Layer::Nic,
        (start, _) if start >= driver && inward => Layer::Vmm,
        _ => Layer::Unattributed,
    }
}

/// The layer of the turn between a question's last hop and its answer's first.
pub fn charge_turn(last: Hop, first: Hop) -> Layer {
    let arrives = matches!(first, Hop::NicHw | Hop::NicIrq | Hop::NicRx);
    let in_stack = last.stage() >= Hop::TapRx.stage() && last.stage() < Hop::NicQueue.stage();
    match (last, first) {
        (Hop::NicDone, _) if arrives => Layer::WirePeer,
        (Hop::VcpuEnter | Hop::VmmIrq, Hop::VmmKick) => Layer::Guest,
        (
            Hop::VmmRead | Hop::VmmReadEnd | Hop::VmmIrq | Hop::VcpuEnter,
            Hop::VmmKick | Hop::VmmRunnable | Hop::VmmWake | Hop::TapWrite,
        ) => Layer::GuestVmm,
        (_, Hop::TapQueue | Hop::NicQueue) if in_stack => Layer::Host,
        _ => Layer::Unattributed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stretch_is_charged_by_the_rule_of_the_design() {
        for (from, to, layer) in [
            (Hop::VmmKick, Hop::VmmWake, Layer::Vmm),
            (Hop::VmmWake, Hop::TapWrite, Layer::Vmm),
            (Hop::VmmKick, Hop::TapWrite, Layer::Vmm),
            (Hop::TapWrite, Hop::TapRx, Layer::Vmnet),
            (Hop::TapRx, Hop::NicQueue, Layer::Vmnet),
            (Hop::TapRx, Hop::BridgeIn, Layer::Vmnet),
            (Hop::BridgeOut, Hop::NicQueue, Layer::Vmnet),
            (Hop::NicQueue, Hop::NicXmit, Layer::Nic),
            (Hop::NicQueue, Hop::NicDone, Layer::Nic),
            (Hop::NicXmit, Hop::NicDone, Layer::Nic),
            (Hop::NicIrq, Hop::NicRx, Layer::Nic),
            (Hop::NicRx, Hop::NicStack, Layer::Nic),
            (Hop::NicStack, Hop::TapQueue, Layer::Vmnet),
            (Hop::TapQueue, Hop::TapRing, Layer::Vmnet),
            (Hop::NicStack, Hop::TapRing, Layer::Vmnet),
            (Hop::TapRx, Hop::TapQueue, Layer::Vmnet),
            (Hop::TapRing, Hop::VmmWake, Layer::Vmm),
            (Hop::VmmWake, Hop::VmmRead, Layer::Vmm),
            (Hop::TapRing, Hop::VmmRead, Layer::Vmm),
            (Hop::VmmRead, Hop::VmmReadEnd, Layer::Vmm),
            (Hop::VmmReadEnd, Hop::VcpuEnter, Layer::Vmm),
            (Hop::VmmReadEnd, Hop::VmmIrq, Layer::Vmm),
            (Hop::VmmIrq, Hop::VcpuEnter, Layer::Vmm),
        ] {
            assert_eq!(charge(from, to), layer, "{} to {}", from.name(), to.name());
        }
    }

    #[test]
    fn a_span_over_layers_that_cannot_be_told_apart_is_unattributed() {
        for (from, to) in [
            (Hop::NicRx, Hop::TapQueue),
            (Hop::TapRx, Hop::NicXmit),
            (Hop::TapQueue, Hop::VmmRead),
            (Hop::VmmKick, Hop::TapRx),
            (Hop::NicXmit, Hop::NicQueue),
        ] {
            assert_eq!(charge(from, to), Layer::Unattributed, "{} to {}", from.name(), to.name());
        }
    }

    #[test]
    fn turns_are_the_wire_the_guest_or_the_host() {
        assert_eq!(charge_turn(Hop::NicDone, Hop::NicRx), Layer::WirePeer);
        assert_eq!(charge_turn(Hop::NicXmit, Hop::NicRx), Layer::Unattributed);
        assert_eq!(charge_turn(Hop::VcpuEnter, Hop::VmmKick), Layer::Guest);
        assert_eq!(charge_turn(Hop::VmmReadEnd, Hop::TapWrite), Layer::GuestVmm);
        for last in [Hop::NicStack, Hop::BridgeIn, Hop::IpIn] {
            assert_eq!(charge_turn(last, Hop::NicQueue), Layer::Host, "{}", last.name());
        }
        assert_eq!(charge_turn(Hop::NicRx, Hop::NicQueue), Layer::Unattributed);
        assert_eq!(charge_turn(Hop::TapRx, Hop::TapQueue), Layer::Host);
    }
}
