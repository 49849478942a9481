//! Each event goes into a frame's segment, and that into a histogram; nothing leaves the kernel but what the reader takes out
//! of these. A header is read where a filter asks for it, and nowhere else.
//!
//! [`flights`] are the frames on their way, [`movers`] the threads that move them, [`times`] the histograms.

mod flights;
mod movers;
mod times;

use aya_ebpf::{macros::map, maps::HashMap};
use tracer_common::{
    event::HopEvent,
    frame::{self, Bytes},
    histogram::DropKey,
    hop::{Hook, Hop},
};

use crate::{
    context::now,
    emit::Stage,
    filter, globals,
    kernel::{Access, Outline, Skb},
    maps,
};

/// Frames that the kernel dropped.
#[map]
static DROPS: HashMap<DropKey, u64> = HashMap::with_max_entries(1024, 0);

/// An event of `hop` now, with nothing else known yet.
#[inline(always)]
pub fn event(hop: Hop, hook: Hook, slot: u8) -> HopEvent {
    HopEvent { time_ns: now(), hop: hop as u8, hook: hook as u8, device: slot, ..HopEvent::default() }
}

/// Of the events that are made elsewhere only a vCPU's entry matters here: the plan of histogram mode has no others.
#[inline(always)]
pub fn submit(event: &HopEvent) {
    if event.hop == Hop::VcpuEnter as u8 && event.seq != 0 {
        movers::taken(event.seq, event.time_ns);
    }
}

/// An event of a thread.
#[inline(always)]
pub fn thread_event(hop: Hop, hook: Hook, tid: u32) {
    match hop {
        Hop::VmmRunnable => movers::runnable(tid, now()),
        Hop::VmmWake => movers::wakes(tid, now()),
        Hop::TapWrite => movers::writes(hook, now()),
        Hop::VmmIrq => movers::announces(tid, now()),
        _ => {}
    }
}

/// A thread hands a frame to a tap.
#[inline(always)]
pub fn written(hook: Hook, _slot: u8) {
    movers::writes(hook, now());
}

/// The far end of the NIC's link has the frame: the NIC is done with it.
#[inline(always)]
pub fn by_pointer<A: Access>(hop: Hop, _hook: Hook, skb: Skb<A>, _slot: u8) {
    flights::finish(hop, skb);
}

/// The kernel is done with an skb.
#[inline(always)]
pub fn freed<A: Access>(skb: Skb<A>, _hook: Hook, _slot: u8) {
    flights::free(skb);
}

/// A frame is at a hop of the user's.
#[inline(always)]
pub fn by_buffer<A: Access>(hop: Hop, _hook: Hook, skb: Skb<A>, _slot: u8) {
    flights::pass_known(hop as u8, skb);
}

/// A frame is at a hop, with its Ethernet header.
#[inline(always)]
pub fn by_content<A: Access>(hop: u8, _hook: Hook, skb: Skb<A>, slot: u8, stage: Stage) {
    if globals::filter_clauses() != 0 && !passes(skb, &skb.outline()) {
        return leave_out(hop, skb);
    }
    flights::pass(hop, skb, slot, stage);
}

/// As [`by_content`], where IP has the frame.
#[inline(always)]
pub fn by_packet<A: Access>(hop: Hop, _hook: Hook, skb: Skb<A>, slot: u8, stage: Stage) {
    if globals::filter_clauses() != 0 && !passes(skb, &skb.packet()) {
        return leave_out(hop as u8, skb);
    }
    flights::pass(hop as u8, skb, slot, stage);
}

#[inline(always)]
fn passes<A: Access>(skb: Skb<A>, outline: &Outline) -> bool {
    let memory = skb.frame(outline).memory;
    filter::passes(&frame::parse(&memory, outline.ethertype, outline.len, &globals::key()))
}

#[inline(always)]
fn leave_out<A: Access>(hop: u8, skb: Skb<A>) {
    flights::leave_out(skb);
    if hop == Hop::TapRx as u8 && globals::followed_threads() != 0 {
        movers::bears_none();
    }
}

/// A frame that XDP sees has no `sk_buff` yet: the plan of histogram mode has no XDP.
#[inline(always)]
pub fn frame_event(_event: HopEvent, _bytes: &impl Bytes, _ethertype: u16, _stage: Stage) {}

/// The VMM copies a frame out of its tap.
#[inline(always)]
pub fn read<A: Access>(skb: Skb<A>, _hook: Hook, _slot: u8) {
    flights::read(skb);
}

/// The kernel drops an skb, at `location` in the code.
#[inline(always)]
pub fn dropped<A: Access>(skb: Skb<A>, location: u64, reason: u32, _hook: Hook, slot: u8) {
    let Some(last) = flights::drop(skb) else { return };
    let key = DropKey { location, reason, device: slot, after: last.hop, reserved: 0 };
    if let Some(count) = DROPS.get_ptr_mut(&key) {
        // SAFETY: the map's value.
        unsafe { times::add(count, 1) };
    } else if DROPS.insert(&key, &1, 0).is_err()
        && let Some(count) = maps::LOST.get_ptr_mut(Hop::SkbDrop as u32)
    {
        // SAFETY: this CPU's own slot. Beyond so many places and reasons a drop is in no row.
        unsafe { *count += 1 };
    }
}
