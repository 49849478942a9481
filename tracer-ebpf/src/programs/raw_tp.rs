//! Raw tracepoints: those of modules, and those of vmlinux for kernels that know nothing of their own types.

use core::ffi::c_void;

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_common::hop::Hook;

use crate::{
    globals,
    hooks::{irq, kvm, sched, skb, syscall},
    kernel::{Device, Probed, Skb},
};

#[inline(always)]
fn frame(ctx: &RawTracePointContext) -> Skb<Probed> {
    Skb::probed(ctx.arg::<*const c_void>(0))
}

#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter(ctx: RawTracePointContext) -> i32 {
    syscall::entered(ctx.arg(0), ctx.arg(1))
}

#[raw_tracepoint(tracepoint = "netif_receive_skb")]
pub fn raw_netif_receive_skb(ctx: RawTracePointContext) -> i32 {
    skb::received(frame(&ctx), Hook::RawNetifReceiveSkb)
}

#[raw_tracepoint(tracepoint = "netif_rx")]
pub fn raw_netif_rx(ctx: RawTracePointContext) -> i32 {
    skb::arrived(frame(&ctx), Hook::RawNetifRx)
}

#[raw_tracepoint(tracepoint = "napi_gro_receive_entry")]
pub fn raw_napi_gro_receive_entry(ctx: RawTracePointContext) -> i32 {
    skb::arrived(frame(&ctx), Hook::RawNapiGroReceiveEntry)
}

#[raw_tracepoint(tracepoint = "net_dev_queue")]
pub fn raw_net_dev_queue(ctx: RawTracePointContext) -> i32 {
    skb::queued(frame(&ctx), Hook::RawNetDevQueue)
}

#[raw_tracepoint(tracepoint = "net_dev_start_xmit")]
pub fn raw_net_dev_start_xmit(ctx: RawTracePointContext) -> i32 {
    skb::transmitted(frame(&ctx), Device::probed(ctx.arg(1)), Hook::RawNetDevStartXmit)
}

#[raw_tracepoint(tracepoint = "skb_copy_datagram_iovec")]
pub fn raw_skb_copy_datagram_iovec(ctx: RawTracePointContext) -> i32 {
    skb::copied_out(frame(&ctx), Hook::RawSkbCopyDatagramIovec)
}

#[raw_tracepoint(tracepoint = "consume_skb")]
pub fn raw_consume_skb(ctx: RawTracePointContext) -> i32 {
    skb::freed(frame(&ctx), Hook::RawConsumeSkb)
}

#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn raw_kfree_skb(ctx: RawTracePointContext) -> i32 {
    let reason = if globals::drop_reasons() { ctx.arg(2) } else { 0 };
    skb::dropped(frame(&ctx), ctx.arg(1), reason, Hook::RawKfreeSkb)
}

#[raw_tracepoint(tracepoint = "sched_waking")]
pub fn raw_sched_waking(ctx: RawTracePointContext) -> i32 {
    sched::woken::<Probed>(ctx.arg(0), Hook::RawSchedWaking)
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn raw_sched_switch(ctx: RawTracePointContext) -> i32 {
    sched::switched::<Probed>(ctx.arg(1), ctx.arg(2), Hook::RawSchedSwitch)
}

#[raw_tracepoint(tracepoint = "irq_handler_entry")]
pub fn raw_irq_handler_entry(ctx: RawTracePointContext) -> i32 {
    irq::entered(ctx.arg(0), Hook::RawIrqHandlerEntry)
}

#[raw_tracepoint(tracepoint = "kvm_fast_mmio")]
pub fn kvm_fast_mmio(ctx: RawTracePointContext) -> i32 {
    kvm::kicked(ctx.arg(0), Hook::KvmFastMmio)
}

#[raw_tracepoint(tracepoint = "kvm_mmio")]
pub fn kvm_mmio(ctx: RawTracePointContext) -> i32 {
    kvm::kicked_by_mmio(ctx.arg(0), ctx.arg(2))
}

#[raw_tracepoint(tracepoint = "kvm_pio")]
pub fn kvm_pio(ctx: RawTracePointContext) -> i32 {
    kvm::kicked_by_pio(ctx.arg(0), ctx.arg(1))
}

#[raw_tracepoint(tracepoint = "kvm_msi_set_irq")]
pub fn kvm_msi_set_irq(_ctx: RawTracePointContext) -> i32 {
    kvm::interrupted(Hook::KvmMsiSetIrq)
}

#[raw_tracepoint(tracepoint = "kvm_apic_accept_irq")]
pub fn kvm_apic_accept_irq(ctx: RawTracePointContext) -> i32 {
    kvm::accepted(ctx.arg(0))
}

#[raw_tracepoint(tracepoint = "kvm_apicv_accept_irq")]
pub fn kvm_apicv_accept_irq(ctx: RawTracePointContext) -> i32 {
    kvm::posted(ctx.arg(0))
}

#[raw_tracepoint(tracepoint = "kvm_entry")]
pub fn kvm_entry(ctx: RawTracePointContext) -> i32 {
    kvm::entered(ctx.arg(0))
}

#[raw_tracepoint(tracepoint = "kvm_exit")]
pub fn kvm_exit(ctx: RawTracePointContext) -> i32 {
    kvm::exited(ctx.arg(0), ctx.arg(1))
}
