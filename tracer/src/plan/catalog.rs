//! Every BPF program with the hops it can serve: the one list that decides what is attached where.

use tracer_common::hop::{Hook, Hop};

use crate::plan::Facts;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// BTF tracepoint of vmlinux: typed arguments, checked by the verifier.
    TpBtf(&'static str),
    /// Raw tracepoint, by name; the kernel finds those of modules too.
    RawTracepoint(&'static str),
}

/// When a program is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Always,
    KvmGuest,
    NicIrq,
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
    /// Hops it can serve.
    pub hops: &'static [Hop],
    used: Use,
}

impl Program {
    const fn tp_btf(name: &'static str, hook: Hook, hops: &'static [Hop]) -> Program {
        Program { name, hook, attach: Attach::TpBtf(name), hops, used: Use::Always }
    }

    const fn raw(name: &'static str, hook: Hook, hops: &'static [Hop]) -> Program {
        Program { name, hook, attach: Attach::RawTracepoint(name), hops, used: Use::Always }
    }

    const fn only(mut self, used: Use) -> Program {
        self.used = used;
        self
    }

    /// The tracepoint that BTF must know for it; none for tracepoints that may be in a module.
    pub fn tracepoint(&self) -> Option<&'static str> {
        match (self.attach, self.used) {
            (_, Use::KvmGuest) => None,
            (Attach::TpBtf(name) | Attach::RawTracepoint(name), _) => Some(name),
        }
    }

    /// Whether this kernel has its tracepoint and the traced VMs need it.
    pub fn is_usable(&self, facts: &Facts) -> bool {
        let exists = self.tracepoint().is_none_or(|name| facts.tracepoints.iter().any(|known| known == name));
        exists
            && match self.used {
                Use::Always => true,
                Use::KvmGuest => facts.kvm && facts.kvm_guest,
                Use::NicIrq => facts.nic_irq,
            }
    }
}

/// The programs. All tracepoints: this plan needs neither kprobes nor fentry.
pub const CATALOG: &[Program] = &[
    // Raw, since its number-and-registers arguments are all that is needed, and BTF adds nothing.
    Program::raw("sys_enter", Hook::SysEnter, &[Hop::TapWrite, Hop::VmmKick]),
    // After RPS, but in the writer's context unless RPS is on; fires for each skb of a list as well.
    Program::tp_btf("netif_receive_skb", Hook::NetifReceiveSkb, &[Hop::TapRx, Hop::NicStack]),
    Program::tp_btf("net_dev_queue", Hook::NetDevQueue, &[Hop::NicQueue, Hop::TapQueue]),
    // For a tap this is just before its ring takes the frame. net_dev_xmit, just after, may fire when the
    // reader already has freed it.
    Program::tp_btf("net_dev_start_xmit", Hook::NetDevStartXmit, &[Hop::NicXmit, Hop::TapRing]),
    Program::tp_btf("netif_rx", Hook::NetifRx, &[Hop::NicRx, Hop::NicDone]),
    Program::tp_btf("napi_gro_receive_entry", Hook::NapiGroReceiveEntry, &[Hop::NicRx, Hop::NicDone]),
    Program::tp_btf("skb_copy_datagram_iovec", Hook::SkbCopyDatagramIovec, &[Hop::VmmRead]),
    Program::tp_btf("consume_skb", Hook::ConsumeSkb, &[Hop::NicDone, Hop::VmmReadEnd]),
    Program::tp_btf("kfree_skb", Hook::KfreeSkb, &[Hop::SkbDrop]),
    Program::tp_btf("sched_switch", Hook::SchedSwitch, &[Hop::VmmWake, Hop::VcpuEnter]),
    Program::tp_btf("irq_handler_entry", Hook::IrqHandlerEntry, &[Hop::NicIrq]).only(Use::NicIrq),
    Program::raw("kvm_msi_set_irq", Hook::KvmMsiSetIrq, &[Hop::VmmIrq]).only(Use::KvmGuest),
    Program::raw("kvm_entry", Hook::KvmEntry, &[Hop::VcpuEnter]).only(Use::KvmGuest),
];

/// Why no hook serves `hop`, and what would help.
pub fn why_unserved(hop: Hop, facts: &Facts) -> String {
    match hop {
        Hop::BridgeIn | Hop::BridgeOut => {
            "inside the bridge only kprobes see; its time is in tap.rx to nic.queue"
        }
        Hop::IpIn | Hop::IpOut => "inside IP only kprobes see; its time is in the segment around it",
        Hop::NicHw => "hardware receive stamps are not read by this version",
        Hop::NicIrq => "no traced NIC has an interrupt of its own (veth and other virtual devices have none)",
        Hop::VmmIrq if !facts.kvm => "the host has no KVM: load kvm_intel or kvm_amd",
        Hop::VmmIrq | Hop::VcpuEnter if facts.emulated_guest => {
            "the guest's CPU is emulated: its interrupts stay inside the VMM; start it with KVM"
        }
        Hop::VmmIrq => "no guest on KVM is traced",
        _ => "this kernel does not have the tracepoint: see `vmhop doctor`",
    }
    .to_owned()
}
