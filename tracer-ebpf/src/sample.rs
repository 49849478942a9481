//! Which frames are recorded where not all are. A frame's headers decide where it is born; further on its address, with that of
//! its buffer, tells what they decided, so that a frame that is left out costs a look-up there and no header.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::{frame::Frame, sample::Sampling};

use crate::{
    emit::Stage,
    globals,
    kernel::{Access, PLACES, Skb},
    maps,
};

/// What was decided of a frame.
#[repr(C)]
#[derive(Clone, Copy)]
struct Choice {
    skb: u64,
    head: u64,
    chosen: u64,
}

/// Each where its address says; of two in one place the later one's is known.
#[map]
static CHOICES: Array<Choice> = Array::with_max_entries(PLACES, 0);

/// What is known of a frame's choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Chosen,
    LeftOut,
    /// Its headers are to be read.
    Nothing,
}

/// What is known of a frame before its headers are read. Of one that is born nothing is: what is known of its address was
/// another frame's. The same holds for what the host itself sends.
#[inline(always)]
pub fn known<A: Access>(skb: Skb<A>, stage: Stage) -> Known {
    if globals::sampled() == 0 {
        return Known::Chosen;
    }
    match stage {
        Stage::Birth | Stage::Arrival | Stage::Entry => Known::Nothing,
        Stage::Exit if !skb.came_in() => Known::Nothing,
        Stage::Exit | Stage::Handover | Stage::Between => at_address(skb),
    }
}

#[inline(always)]
fn at_address<A: Access>(skb: Skb<A>) -> Known {
    let Some(choice) = CHOICES.get_ptr_mut(skb.place()) else { return Known::Nothing };
    let head = skb.head();
    // SAFETY: the map's value. Another CPU may write a frame with the same place meanwhile: whose it is is written first, and
    // read last.
    unsafe {
        let chosen = read_volatile(&raw const (*choice).chosen);
        let same_head = read_volatile(&raw const (*choice).head) == head;
        if !same_head || read_volatile(&raw const (*choice).skb) != skb.0 as u64 {
            return Known::Nothing;
        }
        if chosen != 0 { Known::Chosen } else { Known::LeftOut }
    }
}

/// Whether to record a frame whose headers were read, of `len` bytes. Notes the choice by its address.
#[inline(always)]
pub fn chooses<A: Access>(frame: &Frame, len: u32, skb: Skb<A>) -> bool {
    let chosen = chooses_by_headers(frame, len);
    let Some(choice) = CHOICES.get_ptr_mut(skb.place()) else { return chosen };
    // SAFETY: as above.
    unsafe {
        write_volatile(&raw mut (*choice).skb, skb.0 as u64);
        write_volatile(&raw mut (*choice).head, skb.head());
        write_volatile(&raw mut (*choice).chosen, chosen as u64);
    }
    chosen
}

/// Whether to record a frame that has no address, since it is in no `sk_buff` yet.
#[inline(always)]
pub fn chooses_by_headers(frame: &Frame, len: u32) -> bool {
    if globals::sampled() == 0 {
        return true;
    }
    let Some(&limit) = maps::SAMPLE_LIMIT.get(0) else { return false };
    let sampling = Sampling { seed: globals::sample_seed(), limit };
    let payload = len.saturating_sub(frame.overhead.into());
    sampling.chooses_frame(frame, payload, globals::translates() != 0)
}

/// Whether to record a frame of which no header is read.
#[inline(always)]
pub fn chose<A: Access>(skb: Skb<A>) -> bool {
    globals::sampled() == 0 || at_address(skb) == Known::Chosen
}
