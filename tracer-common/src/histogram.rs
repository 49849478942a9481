//! Histogram mode: what programs and reader share. Segments are formed in the kernel, and only their histograms leave it.
//!
//! A segment is a span between two hops of one frame, with where the frame came from. Which spans there can be, the loader
//! knows from the plan: it gives each a number, and the programs look that up.

use crate::hop::HOP_SLOTS;

/// Where a frame was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Origin {
    /// Out of a guest.
    Guest = 0,
    /// At the NIC.
    Wire = 1,
    /// On its way out: the host's own, or one whose entry was not seen.
    Host = 2,
    /// Out of a guest, and another one's VMM reads it.
    Between = 3,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Origin; ORIGINS] = [Origin::Guest, Origin::Wire, Origin::Host, Origin::Between];

    /// The origin of a code; `None` for a code that is not known.
    pub fn from_code(code: u8) -> Option<Origin> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// How many origins there are.
pub const ORIGINS: usize = 4;

/// How many spans could be told apart.
pub const SPAN_PLACES: usize = ORIGINS * HOP_SLOTS * HOP_SLOTS;

/// Numbers of spans, by [`span_place`]; 0 is none: hops that do not follow one another in one frame's life.
pub type SpanNumbers = [u16; SPAN_PLACES];

/// Where the number of a span is, by codes of its origin and hops.
#[inline(always)]
pub const fn span_place(origin: u8, from: u8, to: u8) -> usize {
    (origin as usize * HOP_SLOTS + from as usize) * HOP_SLOTS + to as usize
}

/// A power of two is divided into so many buckets: the middle of one is at most 3.2 % off all times in it.
const PARTS: u64 = 1 << PART_BITS;
const PART_BITS: u32 = 4;
/// Times from 2^37 ns (137 s) on are in the last bucket.
const LONGEST_BITS: u32 = 37;

/// Buckets of a histogram.
pub const BUCKETS: usize = ((LONGEST_BITS - PART_BITS) as usize + 1) << PART_BITS;

/// The bucket of a time, ns: below 16 ns each has its own, above each power of two has 16.
#[inline(always)]
pub const fn bucket_of(time_ns: u64) -> u32 {
    if time_ns < PARTS {
        return time_ns as u32;
    }
    if time_ns >> LONGEST_BITS != 0 {
        return BUCKETS as u32 - 1;
    }
    let shift = upper_bit(time_ns) - PART_BITS;
    (shift << PART_BITS) + (time_ns >> shift) as u32
}

/// Number of the highest bit that is set. Written out: BPF has no instruction for it, and this is shorter than what stands in
/// for it.
#[inline(always)]
const fn upper_bit(value: u64) -> u32 {
    let (mut rest, mut bit) = (value, 0);
    let mut step = 32;
    while step > 0 {
        if rest >> step != 0 {
            rest >>= step;
            bit += step;
        }
        step /= 2;
    }
    bit
}

/// The least time of a bucket, ns, and the first beyond it.
pub const fn bounds_of(bucket: u32) -> (u64, u64) {
    if bucket < PARTS as u32 {
        return (bucket as u64, bucket as u64 + 1);
    }
    let shift = (bucket >> PART_BITS) - 1;
    let least = (PARTS + (bucket as u64 & (PARTS - 1))) << shift;
    (least, least + (1 << shift))
}

/// The times of one span on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Sum, ns.
    pub sum_ns: u64,
    /// Longest, ns.
    pub max_ns: u64,
    /// How many in each bucket.
    pub buckets: [u64; BUCKETS],
}

/// What was seen at one hop on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopCount {
    /// Frames that were seen at no hop before, or at none that leads here.
    pub firsts: u64,
    /// Bytes of the frames that came into the host here, Ethernet header included.
    pub bytes: u64,
}

/// Frames that the kernel dropped at one place, for one reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DropKey {
    /// Address of the code that dropped them.
    pub location: u64,
    /// `enum skb_drop_reason`.
    pub reason: u32,
    /// Slot of the device that they belonged to.
    pub device: u8,
    /// Code of the last hop that saw them.
    pub after: u8,
    /// 0.
    pub reserved: u16,
}

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C) structs of integers without padding; every bit pattern is valid.
    unsafe impl aya::Pod for super::Times {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::HopCount {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::DropKey {}
}

const _: () = assert!(size_of::<Times>() == 16 + 8 * BUCKETS);
const _: () = assert!(size_of::<DropKey>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_within_the_bounds_of_its_bucket() {
        let powers = (0..LONGEST_BITS).flat_map(|bit| [-1i64, 0, 1].map(|off| (1i64 << bit) + off));
        for time_ns in (0..5000).chain(powers).filter(|time_ns| *time_ns >= 0).map(|time_ns| time_ns as u64) {
            let bucket = bucket_of(time_ns);
            let (least, beyond) = bounds_of(bucket);
            assert!(least <= time_ns && time_ns < beyond, "{time_ns}: {bucket} is {least}..{beyond}");
            assert!(time_ns < 16 || (beyond - least) as f64 / least as f64 <= 1.0 / 16.0, "{time_ns}");
        }
    }

    #[test]
    fn buckets_follow_one_another_and_the_last_takes_what_is_longer() {
        for bucket in 1..BUCKETS as u32 {
            assert_eq!(bounds_of(bucket - 1).1, bounds_of(bucket).0);
        }
        let last = BUCKETS as u32 - 1;
        assert_eq!(bounds_of(last).1, 1 << LONGEST_BITS);
        for time_ns in [(1 << LONGEST_BITS) - 1, 1 << LONGEST_BITS, u64::MAX] {
            assert_eq!(bucket_of(time_ns), last);
        }
    }

    #[test]
    fn each_span_has_a_place_of_its_own() {
        let last = span_place(ORIGINS as u8 - 1, HOP_SLOTS as u8 - 1, HOP_SLOTS as u8 - 1);
        assert_eq!(last + 1, SPAN_PLACES);
        assert_ne!(span_place(0, 1, 2), span_place(0, 2, 1));
    }
}
