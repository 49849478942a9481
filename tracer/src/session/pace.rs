//! How often the buffers are looked at: seldom while little comes, since each look takes a CPU from who is measured, and often
//! enough that they do not fill meanwhile.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(1);
/// A recording that is flushed four times a second has no use for more than some looks in between.
const LONGEST: Duration = Duration::from_millis(50);
/// Records that a CPU writes in a second at most, out of nothing: a frame through five hops in 2.5 µs.
const MOST_A_SECOND: f64 = 2e6;
/// Of a buffer as much may fill before the next look, if it goes on as it did.
const PART: f64 = 1.0 / 8.0;

/// When to look next.
#[derive(Debug)]
pub(super) struct Pace {
    /// Records that a CPU has room for.
    room: f64,
    longest: Duration,
    period: Duration,
}

impl Pace {
    /// For buffers with room for so many records of one CPU, and who waits for them at most so long.
    pub(super) fn new(room: usize, patience: Duration) -> Pace {
        let room = room as f64;
        // Out of nothing half a buffer may fill.
        let longest = Duration::from_secs_f64(room / 2.0 / MOST_A_SECOND);
        let longest = longest.min(LONGEST).min(patience).max(SHORTEST);
        Pace { room, longest, period: SHORTEST }
    }

    /// How long to wait, now that so many records were taken after the last wait.
    pub(super) fn after(&mut self, taken: u64) -> Duration {
        let fill = taken as f64 / (self.room * PART);
        // A single CPU may have written all of them.
        let period = self.period.as_secs_f64() / fill.max(f64::MIN_POSITIVE);
        self.period = Duration::from_secs_f64(period.min(1.0)).clamp(SHORTEST, self.longest);
        self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 18;
    const PATIENCE: Duration = Duration::from_secs(1);

    #[test]
    fn where_nothing_comes_it_is_looked_seldom() {
        let mut pace = Pace::new(ROOM, PATIENCE);
        assert_eq!(pace.after(0), LONGEST);
        assert_eq!(pace.after(100), LONGEST);
        assert_eq!(Pace::new(ROOM, Duration::from_millis(20)).after(0), Duration::from_millis(20));
    }

    #[test]
    fn an_eighth_of_a_buffer_fills_between_two_looks() {
        let mut pace = Pace::new(ROOM, PATIENCE);
        pace.after(0);
        let mut period = LONGEST;
        for _ in 0..5 {
            // A million a second.
            let taken = (period.as_secs_f64() * 1e6) as u64;
            period = pace.after(taken);
        }
        let filled = period.as_secs_f64() * 1e6 / ROOM as f64;
        assert!((0.12..0.13).contains(&filled), "{filled}");
    }

    #[test]
    fn a_small_buffer_is_looked_at_before_it_can_be_half_full() {
        assert_eq!(Pace::new(16 << 10, PATIENCE).after(0), Duration::from_micros(4096));
        assert_eq!(Pace::new(64, PATIENCE).after(0), SHORTEST);
        assert_eq!(Pace::new(64, PATIENCE).after(1 << 20), SHORTEST);
    }
}
