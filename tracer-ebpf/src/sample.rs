//! Which frames are recorded where not all are. Where a frame's headers are read they decide; elsewhere its address tells
//! whether it was chosen when they were.

use tracer_common::{event::HopEvent, frame::Frame, sample::Sampling};

use crate::{globals, maps};

/// Whether to record a frame whose headers were read. Notes the choice by the frame's address, if it has one.
#[inline(always)]
pub fn chooses(frame: &Frame, event: &HopEvent) -> bool {
    if globals::sampled() == 0 {
        return true;
    }
    let Some(&limit) = maps::SAMPLE_LIMIT.get(0) else { return false };
    let sampling = Sampling { seed: globals::sample_seed(), limit };
    let payload = event.len.saturating_sub(frame.overhead.into());
    let chosen = sampling.chooses_frame(frame, payload, globals::translates() != 0);
    note(event.skb, chosen);
    chosen
}

/// Whether to record the frame at this address, of which no header is read.
#[inline(always)]
pub fn chose(skb: u64) -> bool {
    globals::sampled() == 0 || maps::CHOSEN.get(place(skb)) == Some(&skb)
}

#[inline(always)]
fn note(skb: u64, chosen: bool) {
    let Some(known) = maps::CHOSEN.get_ptr_mut(place(skb)) else { return };
    // SAFETY: the map's value. A change at the same moment, of another frame in the same place, costs one of them the
    // hops at which only its address is known.
    unsafe {
        if chosen {
            *known = skb;
        } else if *known == skb {
            *known = 0;
        }
    }
}

/// An sk_buff takes 256 bytes of its slab (`skbuff_cache`, net/core/skbuff.c).
#[inline(always)]
fn place(skb: u64) -> u32 {
    ((skb >> 8) ^ (skb >> 24)) as u32 % maps::CHOSEN_PLACES
}
