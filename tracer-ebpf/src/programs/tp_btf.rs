//! BTF tracepoints of vmlinux: typed arguments.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::hop::Hook;

use crate::{
    globals,
    hooks::{irq, sched, skb},
    kernel::{Device, Skb, Typed},
};

#[inline(always)]
fn frame(ctx: &BtfTracePointContext) -> Skb<Typed> {
    Skb::typed(ctx.arg::<*const c_void>(0))
}

#[btf_tracepoint(function = "netif_receive_skb")]
pub fn netif_receive_skb(ctx: BtfTracePointContext) -> i32 {
    skb::received(frame(&ctx), Hook::NetifReceiveSkb)
}

#[btf_tracepoint(function = "netif_rx")]
pub fn netif_rx(ctx: BtfTracePointContext) -> i32 {
    skb::arrived(frame(&ctx), Hook::NetifRx)
}

#[btf_tracepoint(function = "napi_gro_receive_entry")]
pub fn napi_gro_receive_entry(ctx: BtfTracePointContext) -> i32 {
    skb::arrived(frame(&ctx), Hook::NapiGroReceiveEntry)
}

#[btf_tracepoint(function = "net_dev_queue")]
pub fn net_dev_queue(ctx: BtfTracePointContext) -> i32 {
    skb::queued(frame(&ctx), Hook::NetDevQueue)
}

#[btf_tracepoint(function = "net_dev_start_xmit")]
pub fn net_dev_start_xmit(ctx: BtfTracePointContext) -> i32 {
    skb::transmitted(frame(&ctx), Device::typed(ctx.arg(1)), Hook::NetDevStartXmit)
}

#[btf_tracepoint(function = "skb_copy_datagram_iovec")]
pub fn skb_copy_datagram_iovec(ctx: BtfTracePointContext) -> i32 {
    skb::copied_out(frame(&ctx), Hook::SkbCopyDatagramIovec)
}

#[btf_tracepoint(function = "consume_skb")]
pub fn consume_skb(ctx: BtfTracePointContext) -> i32 {
    skb::freed(frame(&ctx), Hook::ConsumeSkb)
}

#[btf_tracepoint(function = "kfree_skb")]
pub fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    let reason = if globals::drop_reasons() { ctx.arg(2) } else { 0 };
    skb::dropped(frame(&ctx), ctx.arg(1), reason, Hook::KfreeSkb)
}

#[btf_tracepoint(function = "sched_waking")]
pub fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    sched::woken::<Typed>(ctx.arg(0), Hook::SchedWaking)
}

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    sched::switched::<Typed>(ctx.arg(1), ctx.arg(2), Hook::SchedSwitch)
}

#[btf_tracepoint(function = "irq_handler_entry")]
pub fn irq_handler_entry(ctx: BtfTracePointContext) -> i32 {
    irq::entered(ctx.arg(0), Hook::IrqHandlerEntry)
}
