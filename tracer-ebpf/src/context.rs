//! Where and when a program runs.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};

/// The thread that runs now.
#[inline(always)]
pub fn current_thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The process that runs now.
#[inline(always)]
pub fn current_process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
