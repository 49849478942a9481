//! Records go through the one ring buffer of all CPUs: for kernels without atomic additions that return what was there,
//! which are v5.12's.

use core::ptr::write_volatile;

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use tracer_common::event::HopEvent;

use crate::maps;

/// Whether there was room for the event.
#[inline(always)]
pub fn send(event: &HopEvent) -> bool {
    let Some(mut entry) = maps::EVENTS.reserve::<HopEvent>(0) else { return false };
    let words = entry.as_mut_ptr().cast::<u64>();
    let from = (&raw const *event).cast::<u64>();
    // SAFETY: both are one event.
    unsafe {
        for word in 0..size_of::<HopEvent>() / size_of::<u64>() {
            // Volatile: of words that are 0 the compiler would make a call. v5.10 has no exception table for a program with
            // calls (`jit_subprogs`, kernel/bpf/verifier.c; v6.4 mends it): a null pointer in it would be the kernel's.
            write_volatile(words.add(word), *from.add(word));
        }
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
    true
}
