//! The hook plan: which hooks serve which hop, the best first.
//!
//! A hop may be served by different hooks for different VMs: that of a guest on KVM by other ones than that of an
//! emulated guest. So a row is a hop **in a case**, with its chain: the first link that this kernel takes is used.
//! A link is one hook, or several that serve together: of those the first is needed, the others help where they are.
//!
//! tc is in no chain: where it could serve, a tracepoint does on every kernel since v5.10, without changing the
//! device, and without staying there when vmhop dies (tcx, which would not stay, came with v6.6). XDP comes by
//! `--xdp` alone: as a probe it disturbs what it measures.

use tracer_common::hop::{Hook, Hop};

/// When a row is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Case {
    /// Always.
    Any,
    /// A guest runs on KVM.
    Kvm,
    /// A guest's CPU is emulated.
    Emulated,
    /// vhost serves a tap.
    VhostTap,
    /// A VMM serves a tap itself.
    VmmTap,
    /// vhost serves a macvtap.
    VhostMacvtap,
    /// A VMM serves a macvtap itself.
    VmmMacvtap,
    /// A guest is on a tap.
    Tap,
    /// A guest is on a macvtap.
    Macvtap,
    /// A tap is a port of a Linux bridge.
    Bridge,
    /// A tap is a port of Open vSwitch.
    Ovs,
    /// Frames are routed between tap and NIC.
    Routed,
    /// A NIC has interrupts of its own.
    NicIrq,
}

impl Case {
    /// All of them.
    pub const ALL: &'static [Case] = &[
        Case::Any,
        Case::Kvm,
        Case::Emulated,
        Case::VhostTap,
        Case::VmmTap,
        Case::VhostMacvtap,
        Case::VmmMacvtap,
        Case::Tap,
        Case::Macvtap,
        Case::Bridge,
        Case::Ovs,
        Case::Routed,
        Case::NicIrq,
    ];

    /// In a few words, for `doctor`; empty where there is nothing to tell apart.
    pub const fn describe(self) -> &'static str {
        match self {
            Case::Any => "",
            Case::Kvm => "guest on KVM",
            Case::Emulated => "emulated guest",
            Case::VhostTap => "tap served by vhost",
            Case::VmmTap => "tap served by the VMM",
            Case::VhostMacvtap => "macvtap served by vhost",
            Case::VmmMacvtap => "macvtap served by the VMM",
            Case::Tap => "tap",
            Case::Macvtap => "macvtap",
            Case::Bridge => "bridge",
            Case::Ovs => "Open vSwitch",
            Case::Routed => "routed",
            Case::NicIrq => "NIC with interrupts",
        }
    }
}

/// A hop in a case, with what can serve it, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Served.
    pub hop: Hop,
    /// When.
    pub case: Case,
    /// Links; each of one or more hooks.
    pub chain: &'static [&'static [Hook]],
}

const fn row(hop: Hop, case: Case, chain: &'static [&'static [Hook]]) -> Row {
    Row { hop, case, chain }
}

/// The plan.
#[rustfmt::skip]
pub const CHAINS: &[Row] = &[
    // The exit before the write to the doorbell is the kick's time, so kvm_exit is attached with it.
    row(Hop::VmmKick,       Case::Kvm,          &[&[Hook::IoeventfdWrite, Hook::KvmExit],
                                                  &[Hook::KvmMmio, Hook::KvmFastMmio, Hook::KvmPio, Hook::KvmExit]]),
    // A vCPU's thread writes to nothing but its VMM's eventfds while the guest runs.
    row(Hop::VmmKick,       Case::Emulated,     &[&[Hook::SysEnter]]),
    // Both, or neither: which queue a kick is for, and which queue the worker takes frames from.
    row(Hop::VhostNotify,   Case::VhostTap,     &[&[Hook::VhostPollWakeup]]),
    row(Hop::VhostTransmit, Case::VhostTap,     &[&[Hook::HandleTxKick]]),
    row(Hop::VhostNotify,   Case::VhostMacvtap, &[&[Hook::VhostPollWakeup]]),
    row(Hop::VhostTransmit, Case::VhostMacvtap, &[&[Hook::HandleTxKick]]),
    row(Hop::VmmRunnable,   Case::Any,          &[&[Hook::SchedWaking], &[Hook::RawSchedWaking]]),
    row(Hop::VmmWake,       Case::Any,          &[&[Hook::SchedSwitch], &[Hook::RawSchedSwitch]]),
    row(Hop::TapWrite,      Case::VhostTap,     &[&[Hook::TunSendmsg]]),
    // The function sees io_uring as well, and only writes to taps; sys_enter sees every call on the host.
    row(Hop::TapWrite,      Case::VmmTap,       &[&[Hook::TunChrWriteIter], &[Hook::SysEnter]]),
    row(Hop::TapWrite,      Case::VhostMacvtap, &[&[Hook::TapSendmsg]]),
    row(Hop::TapWrite,      Case::VmmMacvtap,   &[&[Hook::TapWriteIter], &[Hook::SysEnter]]),
    // After RPS, but in the writer's context unless RPS is on; fires for each skb of a list as well.
    row(Hop::TapRx,         Case::Tap,          &[&[Hook::NetifReceiveSkb], &[Hook::RawNetifReceiveSkb]]),
    // A macvtap's frame does not come in by netif_receive_skb: tap_get_user queues it to the macvlan.
    row(Hop::TapRx,         Case::Macvtap,      &[&[Hook::NetDevQueue], &[Hook::RawNetDevQueue]]),
    row(Hop::BridgeIn,      Case::Bridge,       &[&[Hook::BrHandleFrame]]),
    row(Hop::BridgeIn,      Case::Ovs,          &[&[Hook::OvsVportReceive]]),
    // IPv4 and IPv6: the latter may be a module, which fentry does not reach.
    row(Hop::IpIn,          Case::Routed,       &[&[Hook::FentryIpForward], &[Hook::KprobeIpForward]]),
    row(Hop::IpIn,          Case::Routed,       &[&[Hook::FentryIp6Forward], &[Hook::KprobeIp6Forward]]),
    row(Hop::IpOut,         Case::Routed,       &[&[Hook::FentryIpFinishOutput2], &[Hook::KprobeIpFinishOutput2]]),
    row(Hop::IpOut,         Case::Routed,       &[&[Hook::FentryIp6FinishOutput2], &[Hook::KprobeIp6FinishOutput2]]),
    row(Hop::BridgeOut,     Case::Bridge,       &[&[Hook::BrDevQueuePushXmit]]),
    row(Hop::BridgeOut,     Case::Ovs,          &[&[Hook::OvsVportSend]]),
    row(Hop::NicQueue,      Case::Any,          &[&[Hook::NetDevQueue], &[Hook::RawNetDevQueue]]),
    row(Hop::NicXmit,       Case::Any,          &[&[Hook::NetDevStartXmit], &[Hook::RawNetDevStartXmit]]),
    // Of a veth, which frees nothing, the frame's arrival at its other end.
    row(Hop::NicDone,       Case::Any,          &[&[Hook::ConsumeSkb, Hook::NetifRx, Hook::NapiGroReceiveEntry],
                                                  &[Hook::RawConsumeSkb, Hook::RawNetifRx, Hook::RawNapiGroReceiveEntry]]),
    row(Hop::NicIrq,        Case::NicIrq,       &[&[Hook::IrqHandlerEntry], &[Hook::RawIrqHandlerEntry]]),
    row(Hop::NicRx,         Case::Any,          &[&[Hook::NapiGroReceiveEntry, Hook::NetifRx],
                                                  &[Hook::RawNapiGroReceiveEntry, Hook::RawNetifRx]]),
    row(Hop::NicStack,      Case::Any,          &[&[Hook::NetifReceiveSkb], &[Hook::RawNetifReceiveSkb]]),
    row(Hop::TapQueue,      Case::Tap,          &[&[Hook::NetDevQueue], &[Hook::RawNetDevQueue]]),
    // For a tap this is just before its ring takes the frame. net_dev_xmit, just after, may fire when the reader
    // already has freed it.
    row(Hop::TapRing,       Case::Tap,          &[&[Hook::NetDevStartXmit], &[Hook::RawNetDevStartXmit]]),
    row(Hop::TapRing,       Case::Macvtap,      &[&[Hook::TapHandleFrame]]),
    row(Hop::VmmRead,       Case::Any,          &[&[Hook::SkbCopyDatagramIovec], &[Hook::RawSkbCopyDatagramIovec]]),
    row(Hop::VmmReadEnd,    Case::Any,          &[&[Hook::ConsumeSkb], &[Hook::RawConsumeSkb]]),
    // vhost's signal, an irqfd and a VMM's ioctl all end here, in the thread that moved the frame.
    row(Hop::VmmIrq,        Case::Kvm,          &[&[Hook::KvmMsiSetIrq], &[Hook::IrqfdWakeup],
                                                  &[Hook::VhostAddUsedAndSignalN]]),
    // Accepting tells which vCPU; a posted interrupt reaches a running one without an entry.
    row(Hop::VcpuEnter,     Case::Kvm,          &[&[Hook::KvmEntry, Hook::KvmExit, Hook::KvmApicAcceptIrq,
                                                    Hook::KvmApicvAcceptIrq]]),
    row(Hop::VcpuEnter,     Case::Emulated,     &[&[Hook::SchedSwitch], &[Hook::RawSchedSwitch]]),
    row(Hop::SkbDrop,       Case::Any,          &[&[Hook::KfreeSkb], &[Hook::RawKfreeSkb]]),
];

/// Hops of a frame's way, in the order of `doctor` and of the report.
pub const REPORTED_HOPS: &[Hop] = &[
    Hop::VmmKick,
    Hop::VmmRunnable,
    Hop::VmmWake,
    Hop::TapWrite,
    Hop::TapRx,
    Hop::BridgeIn,
    Hop::IpIn,
    Hop::IpOut,
    Hop::BridgeOut,
    Hop::NicQueue,
    Hop::NicXmit,
    Hop::NicDone,
    Hop::NicHw,
    Hop::NicIrq,
    Hop::NicRx,
    Hop::NicStack,
    Hop::TapQueue,
    Hop::TapRing,
    Hop::VmmRead,
    Hop::VmmReadEnd,
    Hop::VmmIrq,
    Hop::VcpuEnter,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reported_hop_but_the_hardwares_has_a_chain() {
        for &hop in REPORTED_HOPS {
            assert_eq!(CHAINS.iter().any(|row| row.hop == hop), hop != Hop::NicHw, "{}", hop.name());
        }
    }
}
