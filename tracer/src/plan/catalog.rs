//! Every hook with its program: where it attaches, on which kernels, and the prototype that the program was written
//! for, which is checked against the running kernel's BTF before anything is attached.
//!
//! A prototype lists the types of the arguments as BTF has them, without `struct` and `const`; `_` is one that the
//! program does not read, and what is not listed may be there or not.

use tracer_common::hop::Hook;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// BTF tracepoint of vmlinux: typed arguments, checked by the verifier.
    TpBtf(&'static str),
    /// Raw tracepoint, by name; the kernel finds those of modules too.
    RawTracepoint(&'static str),
    /// Entry of a function of vmlinux: typed arguments. aya 0.14 does not reach those of modules.
    Fentry(&'static str),
    /// Entry of any function that the compiler left as one.
    Kprobe(&'static str),
}

/// One BPF program.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Name in the BPF object.
    pub name: &'static str,
    /// What its events call their hook.
    pub hook: Hook,
    /// Where it attaches.
    pub attach: Attach,
    /// Kernels that have it, as tried or read.
    pub kernels: &'static str,
    /// Types of the arguments that it reads.
    pub prototype: &'static str,
}

const fn tp_btf(name: &'static str, hook: Hook, kernels: &'static str, prototype: &'static str) -> Program {
    Program { name, hook, attach: Attach::TpBtf(name), kernels, prototype }
}

const fn raw(
    name: &'static str,
    tracepoint: &'static str,
    hook: Hook,
    kernels: &'static str,
    prototype: &'static str,
) -> Program {
    Program { name, hook, attach: Attach::RawTracepoint(tracepoint), kernels, prototype }
}

const fn fentry(
    name: &'static str,
    function: &'static str,
    hook: Hook,
    kernels: &'static str,
    prototype: &'static str,
) -> Program {
    Program { name, hook, attach: Attach::Fentry(function), kernels, prototype }
}

const fn kprobe(
    name: &'static str,
    function: &'static str,
    hook: Hook,
    kernels: &'static str,
    prototype: &'static str,
) -> Program {
    Program { name, hook, attach: Attach::Kprobe(function), kernels, prototype }
}

/// The program of a hook; none for XDP and the user's functions, which are attached by themselves.
pub fn program(hook: Hook) -> Option<&'static Program> {
    CATALOG.iter().find(|program| program.hook == hook)
}

const ALL: &str = "v5.10 to v7.3";

/// The programs.
#[rustfmt::skip]
pub const CATALOG: &[Program] = &[
    // net/core: built into every kernel.
    tp_btf("netif_receive_skb", Hook::NetifReceiveSkb, ALL, "(sk_buff *)"),
    tp_btf("netif_rx", Hook::NetifRx, ALL, "(sk_buff *)"),
    tp_btf("napi_gro_receive_entry", Hook::NapiGroReceiveEntry, ALL, "(sk_buff *)"),
    tp_btf("net_dev_queue", Hook::NetDevQueue, ALL, "(sk_buff *)"),
    tp_btf("net_dev_start_xmit", Hook::NetDevStartXmit, ALL, "(sk_buff *, net_device *)"),
    tp_btf("skb_copy_datagram_iovec", Hook::SkbCopyDatagramIovec, ALL, "(sk_buff *)"),
    tp_btf("consume_skb", Hook::ConsumeSkb, ALL, "(sk_buff *)"),
    // The reason came with v5.17.
    tp_btf("kfree_skb", Hook::KfreeSkb, ALL, "(sk_buff *, void *)"),
    tp_btf("sched_waking", Hook::SchedWaking, ALL, "(task_struct *)"),
    tp_btf("sched_switch", Hook::SchedSwitch, ALL, "(_, task_struct *, task_struct *)"),
    tp_btf("irq_handler_entry", Hook::IrqHandlerEntry, ALL, "(int, irqaction *)"),
    // The same for a kernel without BTF of its own (`--btf`).
    raw("raw_netif_receive_skb", "netif_receive_skb", Hook::RawNetifReceiveSkb, ALL, "(sk_buff *)"),
    raw("raw_netif_rx", "netif_rx", Hook::RawNetifRx, ALL, "(sk_buff *)"),
    raw("raw_napi_gro_receive_entry", "napi_gro_receive_entry", Hook::RawNapiGroReceiveEntry, ALL, "(sk_buff *)"),
    raw("raw_net_dev_queue", "net_dev_queue", Hook::RawNetDevQueue, ALL, "(sk_buff *)"),
    raw("raw_net_dev_start_xmit", "net_dev_start_xmit", Hook::RawNetDevStartXmit, ALL, "(sk_buff *, net_device *)"),
    raw("raw_skb_copy_datagram_iovec", "skb_copy_datagram_iovec", Hook::RawSkbCopyDatagramIovec, ALL, "(sk_buff *)"),
    raw("raw_consume_skb", "consume_skb", Hook::RawConsumeSkb, ALL, "(sk_buff *)"),
    raw("raw_kfree_skb", "kfree_skb", Hook::RawKfreeSkb, ALL, "(sk_buff *, void *)"),
    raw("raw_sched_waking", "sched_waking", Hook::RawSchedWaking, ALL, "(task_struct *)"),
    raw("raw_sched_switch", "sched_switch", Hook::RawSchedSwitch, ALL, "(_, task_struct *, task_struct *)"),
    raw("raw_irq_handler_entry", "irq_handler_entry", Hook::RawIrqHandlerEntry, ALL, "(int, irqaction *)"),
    // Raw, since its number-and-registers arguments are all that is needed, and BTF adds nothing.
    raw("sys_enter", "sys_enter", Hook::SysEnter, ALL, "(pt_regs *, long int)"),
    // kvm, a module on most distributions.
    kprobe("ioeventfd_write", "ioeventfd_write", Hook::IoeventfdWrite, ALL, "(kvm_vcpu *, kvm_io_device *, gpa_t)"),
    raw("kvm_fast_mmio", "kvm_fast_mmio", Hook::KvmFastMmio, ALL, "(u64)"),
    raw("kvm_mmio", "kvm_mmio", Hook::KvmMmio, ALL, "(int, int, u64)"),
    raw("kvm_pio", "kvm_pio", Hook::KvmPio, ALL, "(unsigned int, unsigned int)"),
    raw("kvm_msi_set_irq", "kvm_msi_set_irq", Hook::KvmMsiSetIrq, ALL, ""),
    kprobe("irqfd_wakeup", "irqfd_wakeup", Hook::IrqfdWakeup, ALL, ""),
    raw("kvm_apic_accept_irq", "kvm_apic_accept_irq", Hook::KvmApicAcceptIrq, ALL, "(__u32)"),
    raw("kvm_apicv_accept_irq", "kvm_apicv_accept_irq", Hook::KvmApicvAcceptIrq, "v5.18 to v7.3", "(__u32)"),
    raw("kvm_entry", "kvm_entry", Hook::KvmEntry, ALL, "(kvm_vcpu *)"),
    // (reason, vcpu, isa) before v5.17, then (vcpu, isa): the program tells which by the first one's value.
    raw("kvm_exit", "kvm_exit", Hook::KvmExit, ALL, ""),
    // vhost, vhost_net.
    kprobe("vhost_poll_wakeup", "vhost_poll_wakeup", Hook::VhostPollWakeup, ALL, "(wait_queue_entry_t *)"),
    kprobe("handle_tx_kick", "handle_tx_kick", Hook::HandleTxKick, ALL, "(vhost_work *)"),
    kprobe("vhost_add_used_and_signal_n", "vhost_add_used_and_signal_n", Hook::VhostAddUsedAndSignalN, ALL, ""),
    // tun, tap.
    kprobe("tun_sendmsg", "tun_sendmsg", Hook::TunSendmsg, ALL, ""),
    kprobe("tun_chr_write_iter", "tun_chr_write_iter", Hook::TunChrWriteIter, ALL, ""),
    kprobe("tap_sendmsg", "tap_sendmsg", Hook::TapSendmsg, ALL, ""),
    kprobe("tap_write_iter", "tap_write_iter", Hook::TapWriteIter, ALL, ""),
    kprobe("tap_handle_frame", "tap_handle_frame", Hook::TapHandleFrame, ALL, "(sk_buff **)"),
    // bridge, openvswitch.
    kprobe("br_handle_frame", "br_handle_frame", Hook::BrHandleFrame, ALL, "(sk_buff **)"),
    kprobe("br_dev_queue_push_xmit", "br_dev_queue_push_xmit", Hook::BrDevQueuePushXmit, ALL, "(_, _, sk_buff *)"),
    kprobe("ovs_vport_receive", "ovs_vport_receive", Hook::OvsVportReceive, ALL, "(_, sk_buff *)"),
    kprobe("ovs_vport_send", "ovs_vport_send", Hook::OvsVportSend, ALL, "(_, sk_buff *)"),
    // IP, built in. ip_rcv does not fire for frames that come in lists (ip_list_rcv).
    fentry("fentry_ip_forward", "ip_forward", Hook::FentryIpForward, ALL, "(sk_buff *)"),
    fentry("fentry_ip6_forward", "ip6_forward", Hook::FentryIp6Forward, ALL, "(sk_buff *)"),
    fentry("fentry_ip_finish_output2", "ip_finish_output2", Hook::FentryIpFinishOutput2, ALL, "(_, _, sk_buff *)"),
    fentry("fentry_ip6_finish_output2", "ip6_finish_output2", Hook::FentryIp6FinishOutput2, ALL, "(_, _, sk_buff *)"),
    kprobe("kprobe_ip_forward", "ip_forward", Hook::KprobeIpForward, ALL, "(sk_buff *)"),
    kprobe("kprobe_ip6_forward", "ip6_forward", Hook::KprobeIp6Forward, ALL, "(sk_buff *)"),
    kprobe("kprobe_ip_finish_output2", "ip_finish_output2", Hook::KprobeIpFinishOutput2, ALL, "(_, _, sk_buff *)"),
    kprobe("kprobe_ip6_finish_output2", "ip6_finish_output2", Hook::KprobeIp6FinishOutput2, ALL, "(_, _, sk_buff *)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_named_after_where_it_attaches() {
        for program in CATALOG {
            let (kind, place) = match program.attach {
                Attach::TpBtf(place) => ("tp_btf", place),
                Attach::RawTracepoint(place) => ("raw_tp", place),
                Attach::Fentry(place) => ("fentry", place),
                Attach::Kprobe(place) => ("kprobe", place),
            };
            assert_eq!(program.hook.name(), format!("{kind}:{place}"));
        }
    }

    #[test]
    fn every_hook_but_xdp_and_the_users_has_one_program() {
        for &hook in Hook::ALL {
            let count = CATALOG.iter().filter(|program| program.hook == hook).count();
            assert_eq!(count, usize::from(!matches!(hook, Hook::Xdp | Hook::User)), "{}", hook.name());
        }
    }
}
