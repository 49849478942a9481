//! fentry, for functions of vmlinux: cheaper than a kprobe, with typed arguments.

use aya_ebpf::{macros::fentry, programs::FEntryContext};
use tracer_common::hop::{Hook, Hop};

use crate::{hooks::skb, kernel::Skb};

#[fentry(function = "ip_forward")]
pub fn fentry_ip_forward(ctx: FEntryContext) -> i32 {
    skb::switched(Hop::IpIn, Skb::typed(ctx.arg(0)), Hook::FentryIpForward)
}

#[fentry(function = "ip6_forward")]
pub fn fentry_ip6_forward(ctx: FEntryContext) -> i32 {
    skb::switched(Hop::IpIn, Skb::typed(ctx.arg(0)), Hook::FentryIp6Forward)
}

#[fentry(function = "ip_finish_output2")]
pub fn fentry_ip_finish_output2(ctx: FEntryContext) -> i32 {
    skb::routed(Skb::typed(ctx.arg(2)), Hook::FentryIpFinishOutput2)
}

#[fentry(function = "ip6_finish_output2")]
pub fn fentry_ip6_finish_output2(ctx: FEntryContext) -> i32 {
    skb::routed(Skb::typed(ctx.arg(2)), Hook::FentryIp6FinishOutput2)
}
