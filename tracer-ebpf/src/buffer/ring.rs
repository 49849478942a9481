//! Records go through the one ring buffer of all CPUs: for kernels without atomic additions that return what was there,
//! which are v5.12's.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use tracer_common::event::HopEvent;

use crate::maps;

/// Whether there was room for the event.
#[inline(always)]
pub fn send(event: &HopEvent) -> bool {
    let Some(mut entry) = maps::EVENTS.reserve::<HopEvent>(0) else { return false };
    entry.write(*event);
    entry.submit(BPF_RB_NO_WAKEUP as u64);
    true
}
