//! The buffers of each CPU that programs and reader share: who stands where, and how a record says that it is whole.

/// Where the programs of one CPU and the reader stand, each in a cache line of its own. Both count up for ever; the slot is
/// the count modulo the number of slots.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Cursor {
    /// Slots that programs have taken.
    pub written: u64,
    written_line: [u64; 7],
    /// Slots that the reader has read; only the reader writes it.
    pub read: u64,
    read_line: [u64; 7],
}

const _: () = assert!(size_of::<Cursor>() == 128);

/// Slots that stay free, for programs that take one between another's look and its own taking: they interrupt one
/// another on one CPU, a few deep.
pub const MARGIN: u64 = 64;

/// The bit of a record's time that tells its lap: time is less than 2^63 ns (`ktime_t`).
const LAP: u64 = 1 << 63;

/// A record's time as it is written on this lap: with the bit set on even laps, so that the zeros of a fresh buffer are no
/// record of the first.
#[inline(always)]
pub const fn marked_time(time_ns: u64, lap: u64) -> u64 {
    (time_ns & !LAP) | ((!lap & 1) << 63)
}

/// The time of a record that was written on this lap; none of one that was not.
#[inline(always)]
pub const fn time_of(marked: u64, lap: u64) -> Option<u64> {
    if (marked >> 63) == (!lap & 1) { Some(marked & !LAP) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_told_from_what_the_lap_before_left() {
        for lap in 0..4 {
            let marked = marked_time(77, lap);
            assert_eq!(time_of(marked, lap), Some(77));
            assert_eq!(time_of(marked, lap + 1), None);
        }
        assert_eq!(time_of(0, 0), None);
    }
}
