//! Ordinary tracepoints, whose records say what the arguments of the raw ones do not.

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::{globals, hooks::account};

/// `kvm:kvm_exit`: the raw tracepoint has lost the reason in v5.17.
#[tracepoint]
pub fn kvm_exit_record(ctx: TracePointContext) -> i32 {
    let (reason, isa) = globals::exit_record();
    // SAFETY: the record, at offsets that its format gives; the helper refuses what cannot be read.
    let read = |offset| unsafe { ctx.read_at::<u32>(offset) }.unwrap_or(0);
    account::left(read(isa), read(reason))
}
