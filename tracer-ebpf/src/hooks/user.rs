//! Hops that a user defined: any function with an skb among its first arguments.

use aya_ebpf::{EbpfContext as _, programs::ProbeContext};
use tracer_common::{
    event::NO_DEVICE,
    hop::{Hook, Hop},
};

use crate::{
    emit,
    kernel::{self, Skb},
    maps,
};

/// Sends the frame's pointer and buffer. Of no device: which frames are traced, the correlator knows.
#[inline(always)]
pub fn passed(hop: Hop, number: u32, ctx: &ProbeContext) -> i32 {
    let Some(defined) = maps::USER.get(number) else { return 0 };
    // Attached to see whether it can be.
    if defined.register_after == 0 {
        return 0;
    }
    // Which register, only the map knows. The verifier allows a load from the context at constant offsets alone, so
    // it is read as any other memory.
    let register = ctx.as_ptr() as u64 + u64::from(defined.register_after - 1);
    let Some(pointer) = kernel::probe::<u64>(register) else { return 0 };
    let skb = if defined.indirect != 0 { Skb::behind(pointer as _) } else { Skb::probed(pointer as _) };
    emit::by_buffer(hop, Hook::User, skb, NO_DEVICE);
    0
}
