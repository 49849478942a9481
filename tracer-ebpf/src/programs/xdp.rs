//! XDP, on request.

use aya_ebpf::{bindings::xdp_action::XDP_PASS, macros::xdp, programs::XdpContext};

use crate::hooks;

/// On a tap it is `tap.rx`, on a NIC `nic.rx`. Passes every frame, unchanged.
#[xdp]
pub fn xdp_pass(ctx: XdpContext) -> u32 {
    hooks::xdp::seen(&ctx);
    XDP_PASS
}
