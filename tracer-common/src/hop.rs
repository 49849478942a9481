//! Hops: the points that a frame passes, and the hooks that serve them. One table drives names, order,
//! descriptions and the numbers on the wire.

/// Declares an enum of `u8` wire codes with a name and a description for each.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $enum:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $name:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $enum { $($(#[$vdoc])* $variant = $code,)* }

        impl $enum {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)*];

            /// The name in reports, recordings and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)* }
            }

            /// The variant of a wire code; `None` for a code that this version does not know.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($enum::$variant),)* _ => None }
            }

            /// The variant of a name; `None` for a name that this version does not know.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.name() == name)
            }
        }
    };
}

wire_enum! {
    /// A point that a frame passes between a guest and the wire, or an event of a thread that serves it.
    ///
    /// The declaration order is the order of a frame's way through the host: into it (`vmm.kick` to
    /// `nic.stack`), through its virtual network, out of it (`nic.queue` to `vcpu.enter`).
    Hop {
        /// The guest notifies its device.
        VmmKick = 1, "vmm.kick";
        /// A thread of the VMM, or of vhost, gets the CPU.
        VmmWake = 2, "vmm.wake";
        /// The VMM hands a frame to the kernel.
        TapWrite = 3, "tap.write";
        /// The frame enters the host stack.
        TapRx = 4, "tap.rx";
        /// The NIC stamped the frame's arrival in hardware.
        NicHw = 5, "nic.hw";
        /// The NIC interrupts.
        NicIrq = 6, "nic.irq";
        /// First sight of an arriving frame in software.
        NicRx = 7, "nic.rx";
        /// An arriving frame after GRO.
        NicStack = 8, "nic.stack";
        /// The bridge takes the frame.
        BridgeIn = 9, "bridge.in";
        /// IP takes the frame for routing.
        IpIn = 10, "ip.in";
        /// IP hands the routed frame on.
        IpOut = 11, "ip.out";
        /// The bridge hands the frame to a port.
        BridgeOut = 12, "bridge.out";
        /// Handed to the qdisc of the egress NIC.
        NicQueue = 13, "nic.queue";
        /// Handed to the NIC's driver.
        NicXmit = 14, "nic.xmit";
        /// The NIC's driver is done with the frame.
        NicDone = 15, "nic.done";
        /// Handed to the tap's qdisc.
        TapQueue = 16, "tap.queue";
        /// Handed to the tap's ring.
        TapRing = 17, "tap.ring";
        /// The VMM's copy of the frame to the guest starts.
        VmmRead = 18, "vmm.read";
        /// That copy has ended.
        VmmReadEnd = 19, "vmm.read.end";
        /// The guest's interrupt is signalled.
        VmmIrq = 20, "vmm.irq";
        /// A vCPU runs that takes the interrupt.
        VcpuEnter = 21, "vcpu.enter";
        /// The kernel frees an skb: no hop of its own, it ends `nic.xmit` or `vmm.read`.
        SkbFree = 22, "skb.free";
        /// The kernel drops an skb.
        SkbDrop = 23, "skb.drop";
        /// A vCPU's thread loses the CPU: no hop of its own, it says that the next `vcpu.enter` is one.
        VcpuLeave = 24, "vcpu.leave";
    }
}

/// How many slots an array indexed by `Hop as usize` needs.
pub const HOP_SLOTS: usize = 25;

impl Hop {
    /// What the hop's time stamp means, in a few words.
    pub const fn describe(self) -> &'static str {
        match self {
            Hop::VmmKick => "guest notifies its device",
            Hop::VmmWake => "VMM or vhost thread gets the CPU",
            Hop::TapWrite => "VMM hands the frame to the kernel",
            Hop::TapRx => "frame enters the host stack",
            Hop::NicHw => "hardware receive stamp",
            Hop::NicIrq => "NIC interrupt",
            Hop::NicRx => "first sight in software",
            Hop::NicStack => "after GRO, into the stack",
            Hop::BridgeIn => "taken by the bridge",
            Hop::IpIn => "taken for routing",
            Hop::IpOut => "routed",
            Hop::BridgeOut => "handed on by the bridge",
            Hop::NicQueue => "handed to the NIC's qdisc",
            Hop::NicXmit => "handed to the NIC's driver",
            Hop::NicDone => "the driver is done with it",
            Hop::TapQueue => "handed to the tap's qdisc",
            Hop::TapRing => "handed to the tap's ring",
            Hop::VmmRead => "copy to the guest starts",
            Hop::VmmReadEnd => "copy to the guest ended",
            Hop::VmmIrq => "guest interrupt signalled",
            Hop::VcpuEnter => "vCPU runs",
            Hop::SkbFree => "skb freed",
            Hop::SkbDrop => "skb dropped",
            Hop::VcpuLeave => "vCPU stops running",
        }
    }

    /// Place on a frame's way through the host: a later hop of one passage has a greater stage. Hops that
    /// stand in each other's place (`nic.xmit` and `tap.ring`) share one.
    pub const fn stage(self) -> u8 {
        match self {
            Hop::VmmKick | Hop::NicHw => 1,
            Hop::VmmWake | Hop::NicIrq => 2,
            Hop::TapWrite | Hop::NicRx => 3,
            Hop::TapRx | Hop::NicStack => 4,
            Hop::BridgeIn => 5,
            Hop::IpIn => 6,
            Hop::IpOut => 7,
            Hop::BridgeOut => 8,
            Hop::NicQueue | Hop::TapQueue => 9,
            Hop::NicXmit | Hop::TapRing => 10,
            Hop::NicDone | Hop::VmmRead => 12,
            Hop::VmmReadEnd => 13,
            Hop::VmmIrq => 14,
            Hop::VcpuEnter => 15,
            Hop::SkbFree | Hop::SkbDrop | Hop::VcpuLeave => 16,
        }
    }
}

wire_enum! {
    /// The concrete attach point that served a hop event.
    Hook {
        /// `trace_netif_receive_skb(skb)` in `__netif_receive_skb_core`, net/core/dev.c, v5.10 to v7.3.
        NetifReceiveSkb = 1, "tp_btf:netif_receive_skb";
        /// `trace_net_dev_queue(skb)` in `__dev_queue_xmit`, net/core/dev.c, v5.10 to v7.3.
        NetDevQueue = 2, "tp_btf:net_dev_queue";
        /// `trace_net_dev_start_xmit(skb, dev)` in `xmit_one`, net/core/dev.c, v5.10 to v7.3.
        NetDevStartXmit = 3, "tp_btf:net_dev_start_xmit";
        /// `trace_netif_rx(skb)` in `netif_rx_internal`, net/core/dev.c, v5.10 to v7.3.
        NetifRx = 4, "tp_btf:netif_rx";
        /// `trace_napi_gro_receive_entry(skb)`, net/core/gro.c (dev.c in v5.10).
        NapiGroReceiveEntry = 5, "tp_btf:napi_gro_receive_entry";
        /// `trace_consume_skb(skb)`, net/core/skbuff.c.
        ConsumeSkb = 6, "tp_btf:consume_skb";
        /// `trace_kfree_skb(skb, location, reason)`, net/core/skbuff.c; the reason since v5.17.
        KfreeSkb = 7, "tp_btf:kfree_skb";
        /// `trace_skb_copy_datagram_iovec(skb, len)` in `skb_copy_datagram_iter`, net/core/datagram.c.
        SkbCopyDatagramIovec = 8, "tp_btf:skb_copy_datagram_iovec";
        /// `trace_sched_switch(preempt, prev, next)` in `__schedule`, kernel/sched/core.c.
        SchedSwitch = 9, "tp_btf:sched_switch";
        /// `trace_sys_enter(regs, id)`, the raw system call entry.
        SysEnter = 10, "raw_tp:sys_enter";
        /// `trace_irq_handler_entry(irq, action)` in `__handle_irq_event_percpu`, kernel/irq/handle.c.
        IrqHandlerEntry = 11, "tp_btf:irq_handler_entry";
        /// `trace_kvm_msi_set_irq(address, data)`, arch/x86/kvm.
        KvmMsiSetIrq = 12, "raw_tp:kvm_msi_set_irq";
        /// `trace_kvm_entry(vcpu, …)`, arch/x86/kvm.
        KvmEntry = 13, "raw_tp:kvm_entry";
        /// An XDP program on the device, run by its driver or by the generic hook.
        Xdp = 14, "xdp";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_find_their_hop() {
        for (index, &hop) in Hop::ALL.iter().enumerate() {
            assert_eq!(Hop::from_code(hop as u8), Some(hop));
            assert_eq!(Hop::from_name(hop.name()), Some(hop));
            assert!((hop as usize) < HOP_SLOTS);
            assert!(Hop::ALL[..index].iter().all(|other| other.name() != hop.name()));
        }
    }

    #[test]
    fn an_unknown_code_is_no_hop() {
        assert_eq!(Hop::from_code(0), None);
        assert_eq!(Hop::from_code(200), None);
        assert_eq!(Hook::from_code(0), None);
    }
}
