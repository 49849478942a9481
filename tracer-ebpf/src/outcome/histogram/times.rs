//! The histograms: one for each span and CPU.

use core::{arch::asm, ptr::read_volatile};

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{
    histogram::{BUCKETS, HopCount, SPAN_PLACES, SpanNumbers, Times, bucket_of, span_place},
    hop::HOP_SLOTS,
};

/// By the span's number. The loader sets how many.
#[map]
pub static TIMES: PerCpuArray<Times> = PerCpuArray::with_max_entries(1, 0);

/// By hop.
#[map]
pub static HOPS: PerCpuArray<HopCount> = PerCpuArray::with_max_entries(HOP_SLOTS as u32, 0);

/// Frames out of and into each tap, by its slot.
#[map]
pub static TAPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(256, 0);

/// The loader sets which spans there are.
#[unsafe(no_mangle)]
static SPANS: SpanNumbers = [0; SPAN_PLACES];

/// The number of a span; 0 for none.
#[inline(always)]
pub fn span(origin: u8, from: u8, to: u8) -> u32 {
    let Some(place) = below(span_place(origin, from, to), SPAN_PLACES) else { return 0 };
    // SAFETY: within a valid static; volatile, since the loader changes what the compiler believes constant.
    unsafe { read_volatile((&raw const SPANS).cast::<u16>().add(place)) as u32 }
}

/// A place in an array of so many, which the verifier then knows to be one: the compiler must not find out before, or it
/// compares another register than it uses.
#[inline(always)]
fn below(value: usize, limit: usize) -> Option<usize> {
    let mut place = value;
    // SAFETY: moves a register to itself. No instruction at all would give two lines of the source one place, which the
    // kernel refuses (`check_btf_line`).
    unsafe { asm!("{place} = {place}", place = inout(reg) place, options(pure, nomem, nostack)) };
    (place < limit).then_some(place)
}

/// Counts a span's time.
#[inline(always)]
pub fn count(span: u32, time_ns: u64) {
    count_all(span, time_ns, 1);
}

/// Counts the same time of so many frames.
#[inline(always)]
pub fn count_all(span: u32, time_ns: u64, frames: u64) {
    let Some(times) = TIMES.get_ptr_mut(span) else { return };
    let Some(bucket) = below(bucket_of(time_ns) as usize, BUCKETS) else { return };
    // SAFETY: this CPU's own value of the map. Programs that interrupt one another here add in one instruction; of the longest
    // time one may be lost to another of the same moment.
    unsafe {
        add((&raw mut (*times).buckets).cast::<u64>().add(bucket), frames);
        add(&raw mut (*times).sum_ns, time_ns * frames);
        if (*times).max_ns < time_ns {
            (*times).max_ns = time_ns;
        }
    }
}

/// A frame was seen at no hop before that leads to this one. `bytes` where it is born here, else 0.
#[inline(always)]
pub fn count_first(hop: u8, bytes: u32) {
    let Some(count) = HOPS.get_ptr_mut(hop as u32) else { return };
    // SAFETY: as above.
    unsafe {
        add(&raw mut (*count).firsts, 1);
        if bytes != 0 {
            add(&raw mut (*count).bytes, bytes as u64);
        }
    }
}

/// Counts the bytes of a frame that is born here, and whose thread was seen before it.
#[inline(always)]
pub fn count_bytes(hop: u8, bytes: u32) {
    let Some(count) = HOPS.get_ptr_mut(hop as u32) else { return };
    // SAFETY: as above.
    unsafe { add(&raw mut (*count).bytes, bytes as u64) }
}

/// A frame comes out of a tap, or goes into it.
#[inline(always)]
pub fn count_at_tap(slot: u8) {
    if let Some(frames) = TAPS.get_ptr_mut(slot as u32) {
        // SAFETY: as above.
        unsafe { add(frames, 1) };
    }
}

/// Adds in one instruction. Written out, since Rust has no such operation for this target.
///
/// # Safety
/// `sum` must lie in a map's value.
#[inline(always)]
pub unsafe fn add(sum: *mut u64, value: u64) {
    // SAFETY: by the contract above; an atomic instruction on one word.
    unsafe {
        asm!("lock *(u64 *)({sum} + 0) += {value}", sum = in(reg) sum, value = in(reg) value);
    }
}
