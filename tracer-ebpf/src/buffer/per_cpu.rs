//! Records go into a buffer of this CPU's own, memory that the reader maps: no lock, no helper, no word shared with another
//! CPU but the reader's place.
//!
//! A buffer is a circle of slots. A program takes the next slot by an atomic addition, since another may interrupt it on
//! the same CPU, and writes the record's time last: the time's upper bit says on which lap it was written
//! ([`tracer_common::buffer`]), by which the reader knows a whole record. On x86-64 stores become visible in their order;
//! the loader takes the ring buffer elsewhere.

use core::{
    arch::asm,
    ptr::{read_volatile, write_volatile},
    sync::atomic::{Ordering, compiler_fence},
};

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::{
    buffer::{Cursor, MARGIN, marked_time},
    event::HopEvent,
};

/// `BPF_F_MMAPABLE`, v5.5.
const MMAPABLE: u32 = 1 << 10;

/// Where programs and reader stand, by CPU. The loader sets how many.
#[map]
pub static CURSORS: Array<Cursor> = Array::with_max_entries(1, MMAPABLE);

/// The slots of all CPUs, one CPU's after the other's. The loader sets how many.
#[map]
pub static RECORDS: Array<HopEvent> = Array::with_max_entries(1, MMAPABLE);

/// A buffer has two to the power of this many slots; the loader sets it.
#[unsafe(no_mangle)]
static BUFFER_SHIFT: u32 = 0;

/// Whether there was room for the event.
#[inline(always)]
pub fn send(event: &HopEvent) -> bool {
    let cpu = event.cpu as u32;
    let Some(cursor) = CURSORS.get_ptr_mut(cpu) else { return false };
    // SAFETY: a valid static; volatile, since the loader changes what the compiler believes constant.
    let shift = unsafe { read_volatile(&raw const BUFFER_SHIFT) };
    let slots = 1u64 << shift;
    // SAFETY: the map's value; the reader writes nothing but its own place.
    let at = unsafe {
        let taken = read_volatile(&raw const (*cursor).written) - read_volatile(&raw const (*cursor).read);
        // Programs that interrupt this one here take slots as well, far fewer than the margin.
        if taken + MARGIN > slots {
            return false;
        }
        take(&raw mut (*cursor).written)
    };
    let Some(slot) = RECORDS.get_ptr_mut((cpu << shift) + (at & (slots - 1)) as u32) else { return false };
    let time_ns = event.time_ns;
    // SAFETY: the map's value, which is this program's alone until its time is written.
    unsafe {
        let words = slot.cast::<u64>();
        let from = (&raw const *event).cast::<u64>();
        for word in 1..size_of::<HopEvent>() / size_of::<u64>() {
            // Volatile: of words that are 0 the compiler would make a call that clears bytes one by one.
            write_volatile(words.add(word), *from.add(word));
        }
        compiler_fence(Ordering::Release);
        write_volatile(words, marked_time(time_ns, at >> shift));
    }
    true
}

/// Takes the next slot: adds 1, and returns what was there. Written out, since Rust has no such operation for this target.
///
/// # Safety
/// `count` must lie in a map's value.
#[inline(always)]
unsafe fn take(count: *mut u64) -> u64 {
    let mut value = 1u64;
    // SAFETY: by the contract above; an atomic instruction on one word.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({count} + 0), {value})", count = in(reg) count, value = inout(reg) value);
    }
    value
}
