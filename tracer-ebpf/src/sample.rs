//! Which frames are recorded where not all are. Where a frame's headers are read they decide; elsewhere the address of its
//! buffer tells whether it was chosen when they were.

use tracer_common::{
    event::{HopEvent, pack_buffer, unpack_buffer},
    frame::Frame,
    sample::Sampling,
};

use crate::{
    globals,
    kernel::{self, Access, Skb},
    maps,
};

/// Whether to record a frame whose headers were read. Notes the choice by the buffer's address.
#[inline(always)]
pub fn chooses(frame: &Frame, event: &HopEvent) -> bool {
    if globals::sampled() == 0 {
        return true;
    }
    let Some(&limit) = maps::SAMPLE_LIMIT.get(0) else { return false };
    let sampling = Sampling { seed: globals::sample_seed(), limit };
    let payload = event.len.saturating_sub(frame.overhead.into());
    let chosen = sampling.chooses_frame(frame, payload, globals::translates() != 0);
    note(number(unpack_buffer(event.buffer).0), chosen);
    chosen
}

/// Whether to record a frame of which no header is read.
#[inline(always)]
pub fn chose<A: Access>(skb: Skb<A>) -> bool {
    if globals::sampled() == 0 {
        return true;
    }
    let head = number(unpack_buffer(pack_buffer(skb.head(), 0)).0);
    maps::CHOSEN.get(place(head)) == Some(&head)
}

/// An address as a mere number. What is loaded through a typed argument the verifier takes for a pointer, with which it
/// allows next to no arithmetic (seen on 6.18); what a helper has read it does not.
#[inline(always)]
fn number(address: u64) -> u64 {
    kernel::probe(&raw const address as u64).unwrap_or(0)
}

#[inline(always)]
fn note(head: u64, chosen: bool) {
    let Some(known) = maps::CHOSEN.get_ptr_mut(place(head)) else { return };
    // SAFETY: the map's value. A change at the same moment, of another frame in the same place, costs one of them the
    // hops at which only its address is known.
    unsafe {
        if chosen {
            *known = head;
        } else if *known == head {
            *known = 0;
        }
    }
}

/// Buffers begin at cache lines (`SKB_DATA_ALIGN`, include/linux/skbuff.h).
#[inline(always)]
fn place(head: u64) -> u32 {
    ((head >> 6) ^ (head >> 22)) as u32 % maps::CHOSEN_PLACES
}
