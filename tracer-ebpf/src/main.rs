//! vmhop's BPF programs: one entry point per hook, a few lines each. What a hook does is in [`hooks`]; how a
//! record gets out is in [`emit`]; how kernel memory is read is in [`kernel`].
#![no_std]
#![no_main]
#![expect(missing_docs, reason = "entry points are named after the kernel's hooks and documented there")]

mod diagnose;
mod emit;
mod globals;
mod hooks;
mod kernel;
mod maps;

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    macros::{btf_tracepoint, raw_tracepoint, xdp},
    programs::{BtfTracePointContext, RawTracePointContext, XdpContext},
};

use crate::hooks::{irq, kvm, sched, skb, syscall};

// trace_netif_receive_skb(struct sk_buff *skb)
#[btf_tracepoint(function = "netif_receive_skb")]
pub fn netif_receive_skb(ctx: BtfTracePointContext) -> i32 {
    skb::received(ctx.arg(0))
}

// trace_netif_rx(struct sk_buff *skb)
#[btf_tracepoint(function = "netif_rx")]
pub fn netif_rx(ctx: BtfTracePointContext) -> i32 {
    skb::arrived_by_netif_rx(ctx.arg(0))
}

// trace_napi_gro_receive_entry(const struct sk_buff *skb)
#[btf_tracepoint(function = "napi_gro_receive_entry")]
pub fn napi_gro_receive_entry(ctx: BtfTracePointContext) -> i32 {
    skb::arrived_by_gro(ctx.arg(0))
}

// trace_net_dev_queue(struct sk_buff *skb)
#[btf_tracepoint(function = "net_dev_queue")]
pub fn net_dev_queue(ctx: BtfTracePointContext) -> i32 {
    skb::queued(ctx.arg(0))
}

// trace_net_dev_start_xmit(const struct sk_buff *skb, const struct net_device *dev)
#[btf_tracepoint(function = "net_dev_start_xmit")]
pub fn net_dev_start_xmit(ctx: BtfTracePointContext) -> i32 {
    skb::transmitted(ctx.arg(0), ctx.arg(1))
}

// trace_skb_copy_datagram_iovec(const struct sk_buff *skb, int len)
#[btf_tracepoint(function = "skb_copy_datagram_iovec")]
pub fn skb_copy_datagram_iovec(ctx: BtfTracePointContext) -> i32 {
    skb::copied_out(ctx.arg(0))
}

// trace_consume_skb(struct sk_buff *skb, void *location): location since v6.6
#[btf_tracepoint(function = "consume_skb")]
pub fn consume_skb(ctx: BtfTracePointContext) -> i32 {
    skb::freed(ctx.arg(0))
}

// trace_kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, …): reason since v5.17
#[btf_tracepoint(function = "kfree_skb")]
pub fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    skb::dropped(ctx.arg(0), ctx.arg(1), if globals::drop_reasons() { ctx.arg(2) } else { 0 })
}

// trace_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, …)
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    sched::switched(ctx.arg(1), ctx.arg(2))
}

// trace_irq_handler_entry(int irq, struct irqaction *action)
#[btf_tracepoint(function = "irq_handler_entry")]
pub fn irq_handler_entry(ctx: BtfTracePointContext) -> i32 {
    irq::entered(ctx.arg(0))
}

// trace_sys_enter(struct pt_regs *regs, long id)
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter(ctx: RawTracePointContext) -> i32 {
    syscall::entered(ctx.arg(0), ctx.arg(1))
}

// trace_kvm_msi_set_irq(__u64 address, __u64 data)
#[raw_tracepoint(tracepoint = "kvm_msi_set_irq")]
pub fn kvm_msi_set_irq(_ctx: RawTracePointContext) -> i32 {
    kvm::interrupted()
}

// trace_kvm_entry(struct kvm_vcpu *vcpu, bool force_immediate_exit): the flag since v6.10
#[raw_tracepoint(tracepoint = "kvm_entry")]
pub fn kvm_entry(_ctx: RawTracePointContext) -> i32 {
    kvm::entered()
}

/// On a tap it is `tap.rx`, on a NIC `nic.rx`. Passes every frame, unchanged.
#[xdp]
pub fn xdp_pass(ctx: XdpContext) -> u32 {
    hooks::xdp::seen(&ctx);
    XDP_PASS
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The helpers that read kernel memory are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
