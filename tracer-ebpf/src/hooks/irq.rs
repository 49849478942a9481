//! Interrupts of traced NICs.

use tracer_common::hop::{Hook, Hop};

use crate::{emit, maps};

/// `nic.irq`: joined later to the frames that the same CPU takes in.
#[inline(always)]
pub fn entered(irq: u32, hook: Hook) -> i32 {
    // SAFETY: a word, read at once; `maps` says what may change meanwhile.
    if let Some(&slot) = unsafe { maps::IRQS.get(&irq) } {
        emit::submit(&emit::event(Hop::NicIrq, hook, slot as u8));
    }
    0
}
