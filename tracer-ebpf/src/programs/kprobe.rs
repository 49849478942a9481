//! Kprobes, for functions of modules, which aya reaches by no other way.

use core::ffi::c_void;

use aya_ebpf::{macros::kprobe, programs::ProbeContext};
use tracer_common::hop::{Hook, Hop};

use crate::{
    hooks::{kvm, skb, tap, vhost},
    kernel::{Probed, Skb},
};

/// The skb that argument `number` points to.
#[inline(always)]
fn frame(ctx: &ProbeContext, number: usize) -> Skb<Probed> {
    Skb::probed(ctx.arg::<*const c_void>(number).unwrap_or(core::ptr::null()))
}

/// The skb that the first argument points to the pointer of.
#[inline(always)]
fn frame_behind(ctx: &ProbeContext) -> Skb<Probed> {
    Skb::behind(ctx.arg::<*const c_void>(0).unwrap_or(core::ptr::null()))
}

#[kprobe]
pub fn ioeventfd_write(ctx: ProbeContext) -> i32 {
    kvm::kicked(ctx.arg(2).unwrap_or(0), Hook::IoeventfdWrite)
}

#[kprobe]
pub fn irqfd_wakeup(_ctx: ProbeContext) -> i32 {
    kvm::interrupted(Hook::IrqfdWakeup)
}

#[kprobe]
pub fn vhost_add_used_and_signal_n(_ctx: ProbeContext) -> i32 {
    kvm::interrupted(Hook::VhostAddUsedAndSignalN)
}

#[kprobe]
pub fn vhost_poll_wakeup(ctx: ProbeContext) -> i32 {
    vhost::notified(ctx.arg(0).unwrap_or(0))
}

#[kprobe]
pub fn handle_tx_kick(ctx: ProbeContext) -> i32 {
    vhost::transmits(ctx.arg(0).unwrap_or(0))
}

#[kprobe]
pub fn tun_sendmsg(_ctx: ProbeContext) -> i32 {
    tap::sent_by_vhost(Hook::TunSendmsg)
}

#[kprobe]
pub fn tun_chr_write_iter(_ctx: ProbeContext) -> i32 {
    tap::written(Hook::TunChrWriteIter)
}

#[kprobe]
pub fn tap_sendmsg(_ctx: ProbeContext) -> i32 {
    tap::sent_by_vhost(Hook::TapSendmsg)
}

#[kprobe]
pub fn tap_write_iter(_ctx: ProbeContext) -> i32 {
    tap::written(Hook::TapWriteIter)
}

#[kprobe]
pub fn tap_handle_frame(ctx: ProbeContext) -> i32 {
    skb::taken_by_macvtap(frame_behind(&ctx), Hook::TapHandleFrame)
}

#[kprobe]
pub fn br_handle_frame(ctx: ProbeContext) -> i32 {
    skb::switched(Hop::BridgeIn, frame_behind(&ctx), Hook::BrHandleFrame)
}

#[kprobe]
pub fn br_dev_queue_push_xmit(ctx: ProbeContext) -> i32 {
    skb::switched(Hop::BridgeOut, frame(&ctx, 2), Hook::BrDevQueuePushXmit)
}

#[kprobe]
pub fn ovs_vport_receive(ctx: ProbeContext) -> i32 {
    skb::switched(Hop::BridgeIn, frame(&ctx, 1), Hook::OvsVportReceive)
}

#[kprobe]
pub fn ovs_vport_send(ctx: ProbeContext) -> i32 {
    skb::switched(Hop::BridgeOut, frame(&ctx, 1), Hook::OvsVportSend)
}

#[kprobe]
pub fn kprobe_ip_forward(ctx: ProbeContext) -> i32 {
    skb::switched(Hop::IpIn, frame(&ctx, 0), Hook::KprobeIpForward)
}

#[kprobe]
pub fn kprobe_ip6_forward(ctx: ProbeContext) -> i32 {
    skb::switched(Hop::IpIn, frame(&ctx, 0), Hook::KprobeIp6Forward)
}

#[kprobe]
pub fn kprobe_ip_finish_output2(ctx: ProbeContext) -> i32 {
    skb::routed(frame(&ctx, 2), Hook::KprobeIpFinishOutput2)
}

#[kprobe]
pub fn kprobe_ip6_finish_output2(ctx: ProbeContext) -> i32 {
    skb::routed(frame(&ctx, 2), Hook::KprobeIp6FinishOutput2)
}
