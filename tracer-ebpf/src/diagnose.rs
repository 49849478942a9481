//! What the programs say of themselves, for `vmhop -v`: functions of their own, so that the paths that call
//! them stay short. Below the level asked for the verifier drops the calls as dead code.

use aya_log_ebpf::{debug, warn};

/// The ring had no room for an event.
#[inline(never)]
pub fn ring_full(hop: u32, cpu: u32) {
    warn!(&(), "the ring is full: an event of hop code {} on CPU {} is lost", hop, cpu);
}

/// A frame is too short for what its headers announce.
#[inline(never)]
pub fn truncated(slot: u32, len: u32) {
    debug!(&(), "a frame of {} bytes on device slot {} is too short for its headers", len, slot);
}
