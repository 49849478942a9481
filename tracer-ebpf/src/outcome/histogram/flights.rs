//! Frames on their way: where and when each was seen last, by its `sk_buff`.
//!
//! No header is read, so that the address alone names a frame, with that of its buffer: both come back when a frame is gone.
//! Three things keep one frame's times from another's: a frame that is done, dropped or freed is taken out; hops that cannot
//! follow one another form no span; and a frame that leaves the host must have come in the way that the last one at its
//! address did, which the kernel notes itself (`skb->skb_iif`): what the host itself sends has come in nowhere.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::{histogram::Origin, hop::Hop};

use super::{movers, times};
use crate::{
    context::now,
    emit::Stage,
    globals,
    kernel::{Access, PLACES, Skb},
};

/// One frame.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Flight {
    /// 0: it is over.
    skb: u64,
    head: u64,
    /// When it was seen last, ns.
    time_ns: u64,
    /// Where.
    hop: u32,
    /// [`Origin`], and [`CAME_IN`].
    origin: u32,
}

/// In [`Flight::origin`]: it came in by a device, or so the kernel says.
const CAME_IN: u32 = 1 << 8;

/// Each where its address says; of two in one place the later one is followed.
#[map]
pub static FLIGHTS: Array<Flight> = Array::with_max_entries(PLACES, 0);

/// A frame at a hop, and what is known of the last one at its address.
struct Sight {
    flight: *mut Flight,
    skb: u64,
    head: u64,
    /// As the table has it, if it is the same frame's.
    last: Option<Last>,
}

/// Where and when a frame was seen last.
#[derive(Clone, Copy)]
pub struct Last {
    pub time_ns: u64,
    pub hop: u8,
    pub origin: u8,
    came_in: bool,
}

impl Sight {
    #[inline(always)]
    fn of<A: Access>(skb: Skb<A>) -> Option<Sight> {
        let flight = FLIGHTS.get_ptr_mut(skb.place())?;
        let (address, head) = (skb.0 as u64, skb.head());
        // SAFETY: the map's value. Another CPU may write a frame with the same place meanwhile: it writes whose it is first,
        // and here that is read last.
        let last = unsafe {
            let time_ns = read_volatile(&raw const (*flight).time_ns);
            let hop = read_volatile(&raw const (*flight).hop) as u8;
            let origin = read_volatile(&raw const (*flight).origin);
            let same_head = read_volatile(&raw const (*flight).head) == head;
            let same = same_head && read_volatile(&raw const (*flight).skb) == address;
            let last = Last { time_ns, hop, origin: origin as u8, came_in: origin & CAME_IN != 0 };
            same.then_some(last)
        };
        Some(Sight { flight, skb: address, head, last })
    }

    #[inline(always)]
    fn begin(&self, hop: u8, origin: Origin, came_in: bool, time_ns: u64) {
        let origin = origin as u32 | if came_in { CAME_IN } else { 0 };
        // SAFETY: as above.
        unsafe {
            write_volatile(&raw mut (*self.flight).skb, self.skb);
            write_volatile(&raw mut (*self.flight).head, self.head);
            write_volatile(&raw mut (*self.flight).time_ns, time_ns);
            write_volatile(&raw mut (*self.flight).hop, hop as u32);
            write_volatile(&raw mut (*self.flight).origin, origin);
        }
    }

    #[inline(always)]
    fn go_on(&self, hop: u8, time_ns: u64) {
        // SAFETY: as above.
        unsafe {
            write_volatile(&raw mut (*self.flight).time_ns, time_ns);
            write_volatile(&raw mut (*self.flight).hop, hop as u32);
        }
    }

    #[inline(always)]
    fn end(&self) {
        // SAFETY: as above.
        unsafe { write_volatile(&raw mut (*self.flight).skb, 0) }
    }
}

/// A frame is at a hop that it passes.
#[inline(always)]
pub fn pass<A: Access>(hop: u8, skb: Skb<A>, slot: u8, stage: Stage) {
    if hop == Hop::TapRx as u8 || hop == Hop::TapRing as u8 {
        times::count_at_tap(slot);
    }
    let Some(sight) = Sight::of(skb) else { return };
    let now_ns = now();
    if let Some(last) = sight.last {
        let span = times::span(last.origin, last.hop, hop);
        // One that leaves the host is the one that came in, or neither did.
        let same = stage != Stage::Exit || last.came_in == skb.came_in();
        if span != 0 && same {
            times::count(span, now_ns.wrapping_sub(last.time_ns));
            sight.go_on(hop, now_ns);
            return;
        }
    }
    first(&sight, hop, skb, stage, now_ns);
}

/// A frame is at a hop where none is first seen: at any device, of which only those that are followed matter.
#[inline(always)]
pub fn pass_known<A: Access>(hop: u8, skb: Skb<A>) {
    let Some(sight) = Sight::of(skb) else { return };
    let Some(last) = sight.last else { return };
    let span = times::span(last.origin, last.hop, hop);
    if span == 0 {
        return;
    }
    let now_ns = now();
    times::count(span, now_ns.wrapping_sub(last.time_ns));
    sight.go_on(hop, now_ns);
}

/// A frame that is already followed is at the last hop of its way.
#[inline(always)]
pub fn finish<A: Access>(hop: Hop, skb: Skb<A>) {
    let Some(sight) = Sight::of(skb) else { return };
    let Some(last) = sight.last else { return };
    let span = times::span(last.origin, last.hop, hop as u8);
    if span == 0 {
        return;
    }
    times::count(span, now().wrapping_sub(last.time_ns));
    sight.end();
}

/// A frame is first seen here.
#[inline(always)]
fn first<A: Access>(sight: &Sight, hop: u8, skb: Skb<A>, stage: Stage, now_ns: u64) {
    let from_guest = hop == Hop::TapRx as u8;
    let from_wire = hop == Hop::NicRx as u8 || hop == Hop::NicStack as u8;
    let origin = if from_guest {
        Origin::Guest
    } else if from_wire {
        Origin::Wire
    } else {
        Origin::Host
    };
    let came_in = stage != Stage::Exit || skb.came_in();
    sight.begin(hop, origin, came_in, now_ns);
    let bytes = if from_guest || from_wire { skb.bytes(stage == Stage::Exit) } else { 0 };
    if from_guest && globals::followed_threads() != 0 && movers::born(now_ns) {
        times::count_bytes(hop, bytes);
    } else {
        times::count_first(hop, bytes);
    }
}

/// A VMM copies a frame to its guest: the thread was woken for it, or was there already.
#[inline(always)]
pub fn read<A: Access>(skb: Skb<A>) {
    let Some(sight) = Sight::of(skb) else { return };
    let Some(last) = sight.last else { return };
    let now_ns = now();
    if movers::read(&last, now_ns) {
        sight.go_on(Hop::VmmRead as u8, now_ns);
    }
}

/// The kernel is done with an skb: that ends the copy to a guest, or a NIC's transmission.
#[inline(always)]
pub fn free<A: Access>(skb: Skb<A>) {
    let Some(sight) = Sight::of(skb) else { return };
    let Some(last) = sight.last else { return };
    sight.end();
    let copied = last.hop == Hop::VmmRead as u8;
    let hop = if copied { Hop::VmmReadEnd } else { Hop::NicDone };
    let span = times::span(last.origin, last.hop, hop as u8);
    if span == 0 || (!copied && last.hop != Hop::NicXmit as u8) {
        return;
    }
    let now_ns = now();
    times::count(span, now_ns.wrapping_sub(last.time_ns));
    if copied {
        movers::copied(last.origin, now_ns);
    }
}

/// The kernel drops an skb: where it was seen last, if it is a frame that is followed.
#[inline(always)]
pub fn drop<A: Access>(skb: Skb<A>) -> Option<Last> {
    let sight = Sight::of(skb)?;
    let last = sight.last?;
    sight.end();
    Some(last)
}

/// A frame that the filter leaves out.
#[inline(always)]
pub fn leave_out<A: Access>(skb: Skb<A>) {
    if let Some(sight) = Sight::of(skb)
        && sight.last.is_some()
    {
        sight.end();
    }
}
