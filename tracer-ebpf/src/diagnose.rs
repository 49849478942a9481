//! What the programs say of themselves, for `vmhop -v`: functions of their own, so that the paths that call
//! them stay short. Below the level asked for the verifier drops the calls as dead code.
//!
//! It has to: v5.10 has no exception table for a program with calls (`jit_subprogs`, kernel/bpf/verifier.c; v6.4 mends it), so
//! that a null pointer in it would be the kernel's. The loader asks for no level there.

use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
    warn,
};

/// The ring had no room for an event.
#[inline(always)]
pub fn ring_full(hop: u32, cpu: u32) {
    if level_enabled(Level::Warn) {
        tell_ring_full(hop, cpu);
    }
}

#[inline(never)]
fn tell_ring_full(hop: u32, cpu: u32) {
    warn!(&(), "the ring is full: an event of hop code {} on CPU {} is lost", hop, cpu);
}

/// A frame is too short for what its headers announce.
#[inline(always)]
pub fn truncated(slot: u32, len: u32) {
    if level_enabled(Level::Debug) {
        tell_truncated(slot, len);
    }
}

#[inline(never)]
fn tell_truncated(slot: u32, len: u32) {
    debug!(&(), "a frame of {} bytes on device slot {} is too short for its headers", len, slot);
}
