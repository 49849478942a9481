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
            #[inline]
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
        /// A thread of the VMM, or of vhost, is told to run: from here on it waits for a CPU.
        VmmRunnable = 25, "vmm.runnable";
        /// A guest's notification reaches a queue of vhost: no hop of its own, it says which queue a kick is for.
        VhostNotify = 26, "vhost.notify";
        /// A vhost worker begins to transmit from a queue: no hop of its own, it says which queue it serves now.
        VhostTransmit = 27, "vhost.transmit";
        /// The first hop of a user; the recording has its name.
        User0 = 32, "user0";
        /// As `User0`.
        User1 = 33, "user1";
        /// As `User0`.
        User2 = 34, "user2";
        /// As `User0`.
        User3 = 35, "user3";
        /// As `User0`.
        User4 = 36, "user4";
        /// As `User0`.
        User5 = 37, "user5";
        /// As `User0`.
        User6 = 38, "user6";
        /// As `User0`.
        User7 = 39, "user7";
    }
}

/// How many slots an array indexed by `Hop as usize` needs.
pub const HOP_SLOTS: usize = 40;

/// How many hops a user can define.
pub const USER_HOPS: usize = 8;

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
            Hop::VmmRunnable => "VMM or vhost thread is told to run",
            Hop::VhostNotify => "notification reaches a vhost queue",
            Hop::VhostTransmit => "vhost worker begins on a queue",
            Hop::User0
            | Hop::User1
            | Hop::User2
            | Hop::User3
            | Hop::User4
            | Hop::User5
            | Hop::User6
            | Hop::User7 => "defined by the user",
        }
    }

    /// Place on a frame's way through the host: a later hop of one passage has a greater stage. Hops that
    /// stand in each other's place (`nic.xmit` and `tap.ring`) share one.
    pub const fn stage(self) -> u8 {
        match self {
            Hop::VmmKick | Hop::NicHw => 1,
            Hop::VmmRunnable => 2,
            Hop::VmmWake | Hop::NicIrq => 3,
            Hop::TapWrite | Hop::NicRx => 4,
            Hop::TapRx | Hop::NicStack => 5,
            Hop::BridgeIn
            | Hop::User0
            | Hop::User1
            | Hop::User2
            | Hop::User3
            | Hop::User4
            | Hop::User5
            | Hop::User6
            | Hop::User7 => 6,
            Hop::IpIn => 7,
            Hop::IpOut => 8,
            Hop::BridgeOut => 9,
            Hop::NicQueue | Hop::TapQueue => 10,
            Hop::NicXmit | Hop::TapRing => 11,
            Hop::NicDone | Hop::VmmRead => 14,
            Hop::VmmReadEnd => 15,
            Hop::VmmIrq => 16,
            Hop::VcpuEnter => 17,
            Hop::SkbFree | Hop::SkbDrop | Hop::VcpuLeave | Hop::VhostNotify | Hop::VhostTransmit => 18,
        }
    }

    /// The hop of the user's definition `number`; `None` beyond the last.
    pub const fn user(number: usize) -> Option<Hop> {
        if number >= USER_HOPS {
            return None;
        }
        Hop::from_code(Hop::User0 as u8 + number as u8)
    }

    /// Which of the user's definitions this is.
    pub const fn user_number(self) -> Option<usize> {
        let code = self as u8;
        if code < Hop::User0 as u8 || code > Hop::User7 as u8 {
            return None;
        }
        Some((code - Hop::User0 as u8) as usize)
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
        /// `trace_sched_waking(p)` in `try_to_wake_up`, kernel/sched/core.c.
        SchedWaking = 15, "tp_btf:sched_waking";
        /// As [`Hook::NetifReceiveSkb`], without the kernel's own type information.
        RawNetifReceiveSkb = 16, "raw_tp:netif_receive_skb";
        /// As [`Hook::NetDevQueue`].
        RawNetDevQueue = 17, "raw_tp:net_dev_queue";
        /// As [`Hook::NetDevStartXmit`].
        RawNetDevStartXmit = 18, "raw_tp:net_dev_start_xmit";
        /// As [`Hook::NetifRx`].
        RawNetifRx = 19, "raw_tp:netif_rx";
        /// As [`Hook::NapiGroReceiveEntry`].
        RawNapiGroReceiveEntry = 20, "raw_tp:napi_gro_receive_entry";
        /// As [`Hook::ConsumeSkb`].
        RawConsumeSkb = 21, "raw_tp:consume_skb";
        /// As [`Hook::KfreeSkb`].
        RawKfreeSkb = 22, "raw_tp:kfree_skb";
        /// As [`Hook::SkbCopyDatagramIovec`].
        RawSkbCopyDatagramIovec = 23, "raw_tp:skb_copy_datagram_iovec";
        /// As [`Hook::SchedSwitch`].
        RawSchedSwitch = 24, "raw_tp:sched_switch";
        /// As [`Hook::SchedWaking`].
        RawSchedWaking = 25, "raw_tp:sched_waking";
        /// As [`Hook::IrqHandlerEntry`].
        RawIrqHandlerEntry = 26, "raw_tp:irq_handler_entry";
        /// `ioeventfd_write(vcpu, this, addr, len, val)`, virt/kvm/eventfd.c: a doorbell that is an eventfd.
        IoeventfdWrite = 27, "kprobe:ioeventfd_write";
        /// `trace_kvm_fast_mmio(gpa)`, arch/x86/kvm/vmx: a doorbell under Intel's EPT.
        KvmFastMmio = 28, "raw_tp:kvm_fast_mmio";
        /// `trace_kvm_mmio(type, len, gpa, val)`, arch/x86/kvm/x86.c.
        KvmMmio = 29, "raw_tp:kvm_mmio";
        /// `trace_kvm_pio(rw, port, size, count, val)`, arch/x86/kvm/x86.c: the doorbells of legacy virtio.
        KvmPio = 30, "raw_tp:kvm_pio";
        /// `vhost_poll_wakeup(wait, mode, sync, key)`, drivers/vhost/vhost.c.
        VhostPollWakeup = 31, "kprobe:vhost_poll_wakeup";
        /// `handle_tx_kick(work)`, drivers/vhost/net.c.
        HandleTxKick = 32, "kprobe:handle_tx_kick";
        /// `tun_sendmsg(sock, m, total_len)`, drivers/net/tun.c: vhost hands over up to 64 frames at once.
        TunSendmsg = 33, "kprobe:tun_sendmsg";
        /// `tun_chr_write_iter(iocb, from)`, drivers/net/tun.c: write, writev and io_uring.
        TunChrWriteIter = 34, "kprobe:tun_chr_write_iter";
        /// `tap_sendmsg(sock, m, total_len)`, drivers/net/tap.c: as [`Hook::TunSendmsg`] for a macvtap.
        TapSendmsg = 35, "kprobe:tap_sendmsg";
        /// `tap_write_iter(iocb, from)`, drivers/net/tap.c: as [`Hook::TunChrWriteIter`] for a macvtap.
        TapWriteIter = 36, "kprobe:tap_write_iter";
        /// `tap_handle_frame(pskb)`, drivers/net/tap.c: a macvtap takes a frame for its ring.
        TapHandleFrame = 37, "kprobe:tap_handle_frame";
        /// `br_handle_frame(pskb)`, net/bridge/br_input.c.
        BrHandleFrame = 38, "kprobe:br_handle_frame";
        /// `br_dev_queue_push_xmit(net, sk, skb)`, net/bridge/br_forward.c.
        BrDevQueuePushXmit = 39, "kprobe:br_dev_queue_push_xmit";
        /// `ovs_vport_receive(vport, skb, tun_info)`, net/openvswitch/vport.c.
        OvsVportReceive = 40, "kprobe:ovs_vport_receive";
        /// `ovs_vport_send(vport, skb, mac_proto)`, net/openvswitch/vport.c.
        OvsVportSend = 41, "kprobe:ovs_vport_send";
        /// `ip_forward(skb)`, net/ipv4/ip_forward.c.
        FentryIpForward = 42, "fentry:ip_forward";
        /// As [`Hook::FentryIpForward`].
        KprobeIpForward = 43, "kprobe:ip_forward";
        /// `ip6_forward(skb)`, net/ipv6/ip6_output.c.
        FentryIp6Forward = 44, "fentry:ip6_forward";
        /// As [`Hook::FentryIp6Forward`].
        KprobeIp6Forward = 45, "kprobe:ip6_forward";
        /// `ip_finish_output2(net, sk, skb)`, net/ipv4/ip_output.c: behind the POSTROUTING hook, so behind SNAT.
        FentryIpFinishOutput2 = 46, "fentry:ip_finish_output2";
        /// As [`Hook::FentryIpFinishOutput2`].
        KprobeIpFinishOutput2 = 47, "kprobe:ip_finish_output2";
        /// `ip6_finish_output2(net, sk, skb)`, net/ipv6/ip6_output.c.
        FentryIp6FinishOutput2 = 48, "fentry:ip6_finish_output2";
        /// As [`Hook::FentryIp6FinishOutput2`].
        KprobeIp6FinishOutput2 = 49, "kprobe:ip6_finish_output2";
        /// `irqfd_wakeup(wait, mode, sync, key)`, virt/kvm/eventfd.c.
        IrqfdWakeup = 50, "kprobe:irqfd_wakeup";
        /// `vhost_add_used_and_signal_n(dev, vq, …)`, drivers/vhost/vhost.c.
        VhostAddUsedAndSignalN = 51, "kprobe:vhost_add_used_and_signal_n";
        /// `trace_kvm_apic_accept_irq(apicid, dm, tm, vec)`, arch/x86/kvm/lapic.c.
        KvmApicAcceptIrq = 52, "raw_tp:kvm_apic_accept_irq";
        /// `trace_kvm_apicv_accept_irq(apicid, dm, tm, vec)`, arch/x86/kvm, v5.18 and later: a posted interrupt.
        KvmApicvAcceptIrq = 53, "raw_tp:kvm_apicv_accept_irq";
        /// `trace_kvm_exit(…)`, arch/x86/kvm.
        KvmExit = 54, "raw_tp:kvm_exit";
        /// A function that the user named.
        User = 64, "kprobe";
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
