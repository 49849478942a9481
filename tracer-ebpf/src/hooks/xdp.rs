//! XDP on request: sees a frame before there is an skb, so only its content names it.

use aya_ebpf::{EbpfContext as _, bindings::xdp_md, programs::XdpContext};
use tracer_common::{
    config::Role,
    hop::{Hook, Hop},
};

use crate::{
    emit,
    kernel::{Memory, ethertype_at},
    maps,
};

/// `tap.rx` on a tap, `nic.rx` on a NIC.
#[inline(always)]
pub fn seen(ctx: &XdpContext) {
    // SAFETY: the context of an XDP program.
    let ifindex = unsafe { (*ctx.as_ptr().cast::<xdp_md>()).ingress_ifindex };
    // SAFETY: values are written before the programs are attached and never change.
    let Some(&value) = (unsafe { maps::XDP_DEVICES.get(&ifindex) }) else { return };
    let hop = if value >> 8 == Role::Tap as u32 { Hop::TapRx } else { Hop::NicRx };
    let (start, end) = (ctx.data() as u64, ctx.data_end() as u64);
    let mut event = emit::event(hop, Hook::Xdp, value as u8);
    event.len = (end - start) as u32;
    emit::frame_event(event, &Memory::new(start, event.len), ethertype_at(start), emit::Stage::Birth);
}
