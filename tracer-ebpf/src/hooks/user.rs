//! Hops that a user defined: any function with an skb among its first arguments.

use aya_ebpf::programs::ProbeContext;
use tracer_common::{
    event::NO_DEVICE,
    hop::{Hook, Hop},
};

use crate::{hooks::skb, kernel::Skb, maps};

/// Sends the frame's pointer and buffer. Of no device: which frames are traced, the correlator knows.
#[inline(always)]
pub fn passed(hop: Hop, number: u32, ctx: &ProbeContext) -> i32 {
    let Some(defined) = maps::USER.get(number) else { return 0 };
    let Some(pointer) = argument(ctx, defined.argument) else { return 0 };
    let skb = if defined.indirect != 0 { Skb::behind(pointer as _) } else { Skb::probed(pointer as _) };
    skb::by_buffer(hop, Hook::User, skb, NO_DEVICE);
    0
}

/// The calling convention passes six arguments in registers at most.
#[inline(always)]
fn argument(ctx: &ProbeContext, number: u32) -> Option<u64> {
    match number {
        0 => ctx.arg(0),
        1 => ctx.arg(1),
        2 => ctx.arg(2),
        3 => ctx.arg(3),
        4 => ctx.arg(4),
        5 => ctx.arg(5),
        _ => None,
    }
}
