//! A frame's headers are read once where two hops follow each other with nothing between that writes to headers: from first
//! sight to the stack's entry ([`Stage::Arrival`], [`Stage::Entry`]), and from the qdisc to the driver ([`Stage::Exit`],
//! [`Stage::Handover`]). What they said at the first is remembered under the frame's address, and taken at the second, if
//! buffer, place of the headers and length are the same. What is put together or cut between (GRO, GSO) differs in these, as does
//! what gets a VLAN tag there. Only the action of a classful qdisc's filter (`tcf_classify` from `enqueue`) and `netem_enqueue` when it
//! corrupts write unseen.
//!
//! A memory is taken once, and what is remembered later under an address takes the place of what was before. Who writes has the
//! place for itself, by an atomic exchange; who reads looks whether somebody wrote meanwhile.

use core::{
    arch::asm,
    ptr::{read_volatile, write_volatile},
    sync::atomic::{Ordering, compiler_fence},
};

use aya_ebpf::{macros::map, maps::Array};

use crate::{
    emit::Stage,
    globals,
    kernel::{Access, Outline, Skb},
    said::{Known, Said},
};

/// Frames that are remembered at once: a few batches of a NIC or a qdisc, in no more than the kernel has in one piece
/// ([`Bucket::wanted`](tracer_common::config::Bucket::wanted)).
const PLACES: u32 = 1 << 8;

/// In [`Memory::version`]: somebody writes.
const BUSY: u32 = u32::MAX;

impl Stage {
    /// Whether another stage follows at which a frame's headers say the same.
    #[inline(always)]
    fn is_followed(self) -> bool {
        matches!(self, Stage::Arrival | Stage::Exit)
    }

    /// Whether it is the one that follows.
    #[inline(always)]
    fn follows(self) -> bool {
        matches!(self, Stage::Entry | Stage::Handover)
    }
}

/// A frame whose headers were read: how to know it again, and what they said. A line of the cache.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Memory {
    /// Another one each time that it was written; [`BUSY`] meanwhile.
    version: u32,
    /// Whether the frame is recorded.
    recorded: u8,
    slot: u8,
    ethertype: u16,
    /// The frame's address; 0 for none.
    skb: u64,
    /// `HopEvent::buffer`.
    buffer: u64,
    len: u32,
    /// [`Outline::offset`].
    offset: u32,
    said: Said,
}

const _: () = assert!(size_of::<Memory>() == 64);

#[map]
static MEMORIES: Array<Memory> = Array::with_max_entries(PLACES, 0);

#[inline(always)]
fn place<A: Access>(skb: Skb<A>) -> Option<*mut Memory> {
    MEMORIES.get_ptr_mut(skb.place() % PLACES)
}

/// Takes what is remembered of a frame.
#[inline(always)]
pub fn recall<A: Access>(skb: Skb<A>, outline: &Outline, slot: u8, stage: Stage) -> Option<Known> {
    // Of a part of the frames `sample` knows which these are.
    if globals::sampled() != 0 || !stage.follows() {
        return None;
    }
    let memory = place(skb)?;
    // SAFETY: the map's value.
    unsafe {
        let version = read_volatile(&raw const (*memory).version);
        compiler_fence(Ordering::Acquire);
        let buffer = read_volatile(&raw const (*memory).buffer);
        let differs = outline.is_not_in(buffer)
            | u64::from(read_volatile(&raw const (*memory).len) ^ outline.len)
            | u64::from(read_volatile(&raw const (*memory).offset) ^ outline.offset())
            | u64::from(read_volatile(&raw const (*memory).ethertype) ^ outline.ethertype)
            | u64::from(read_volatile(&raw const (*memory).slot) ^ slot);
        // With the verifier's pointers there is no arithmetic.
        if differs != 0 || read_volatile(&raw const (*memory).skb) != skb.0 as u64 {
            return None;
        }
        let said = &raw const (*memory).said;
        let said = Said {
            digest: read_volatile(&raw const (*said).digest),
            flow: read_volatile(&raw const (*said).flow),
            seq: read_volatile(&raw const (*said).seq),
            ack: read_volatile(&raw const (*said).ack),
            stamps: read_volatile(&raw const (*said).stamps),
            kind: read_volatile(&raw const (*said).kind),
            tcp_flags: read_volatile(&raw const (*said).tcp_flags),
            overhead: read_volatile(&raw const (*said).overhead),
        };
        let recorded = read_volatile(&raw const (*memory).recorded) != 0;
        compiler_fence(Ordering::Acquire);
        if version == BUSY || read_volatile(&raw const (*memory).version) != version {
            return None;
        }
        write_volatile(&raw mut (*memory).skb, 0);
        Some(Known { said, buffer, recorded })
    }
}

/// Remembers what a frame's headers said, where a hop follows that asks for it.
#[inline(always)]
pub fn remember<A: Access>(skb: Skb<A>, outline: &Outline, slot: u8, stage: Stage, known: &Known) {
    if globals::sampled() != 0 || !stage.is_followed() {
        return;
    }
    let Some(memory) = place(skb) else { return };
    // SAFETY: the map's value, which is this program's from the exchange until its version is written.
    unsafe {
        let version = exchange(&raw mut (*memory).version, BUSY);
        if version == BUSY {
            return;
        }
        write_volatile(&raw mut (*memory).recorded, known.recorded.into());
        write_volatile(&raw mut (*memory).slot, slot);
        write_volatile(&raw mut (*memory).ethertype, outline.ethertype);
        write_volatile(&raw mut (*memory).skb, skb.0 as u64);
        write_volatile(&raw mut (*memory).buffer, known.buffer);
        write_volatile(&raw mut (*memory).len, outline.len);
        write_volatile(&raw mut (*memory).offset, outline.offset());
        let to = &raw mut (*memory).said;
        write_volatile(&raw mut (*to).digest, known.said.digest);
        write_volatile(&raw mut (*to).flow, known.said.flow);
        write_volatile(&raw mut (*to).seq, known.said.seq);
        write_volatile(&raw mut (*to).ack, known.said.ack);
        write_volatile(&raw mut (*to).stamps, known.said.stamps);
        write_volatile(&raw mut (*to).kind, known.said.kind);
        write_volatile(&raw mut (*to).tcp_flags, known.said.tcp_flags);
        write_volatile(&raw mut (*to).overhead, known.said.overhead);
        compiler_fence(Ordering::Release);
        write_volatile(&raw mut (*memory).version, version.wrapping_add(1) & (BUSY >> 1));
    }
}

/// Forgets a frame that is no more: another may get its address and its buffer, and leave by no qdisc.
#[inline(always)]
pub fn forget<A: Access>(skb: Skb<A>) {
    let Some(memory) = place(skb) else { return };
    // SAFETY: the map's value.
    unsafe {
        if read_volatile(&raw const (*memory).skb) == skb.0 as u64 {
            write_volatile(&raw mut (*memory).skb, 0);
        }
    }
}

/// Puts a value there, and returns what was there. Written out, since Rust has no such operation for this target.
///
/// # Safety
/// `word` must lie in a map's value.
#[inline(always)]
unsafe fn exchange(word: *mut u32, value: u32) -> u32 {
    let mut value = u64::from(value);
    // SAFETY: by the contract above; an atomic instruction on one word.
    unsafe {
        asm!("w0 = w1", "w0 = xchg32_32(r2 + 0, w0)", "w1 = w0", in("r2") word, inout("r1") value, out("r0") _);
    }
    value as u32
}
