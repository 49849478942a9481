//! `--sample auto`: how many frames are left out so that measuring costs no more than it may. Pure: told what was spent, it
//! says of how many frames one is to be recorded.

use crate::config::LARGEST_SAMPLE;

/// Below this part of what may be spent fewer frames are left out.
const SPARE: f64 = 0.25;
/// Times in a row that so little must have been spent.
const CALM: u32 = 10;

/// What may be spent, and what was.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    one_in: u32,
    calm: u32,
    spent_ns: u64,
    wall_ns: u64,
}

impl Budget {
    /// `share` of one CPU, 0 to 1.
    pub(super) fn new(share: f64, one_in: u32) -> Budget {
        Budget { share, one_in, calm: 0, spent_ns: 0, wall_ns: 0 }
    }

    /// Takes what was spent until now in all, ns of CPU time and of time; returns of how many frames one is to be
    /// recorded from now on, where that changes.
    pub(super) fn spent(&mut self, spent_ns: u64, wall_ns: u64) -> Option<u32> {
        let (spent, wall) = (spent_ns.saturating_sub(self.spent_ns), wall_ns.saturating_sub(self.wall_ns));
        (self.spent_ns, self.wall_ns) = (spent_ns, wall_ns);
        if wall == 0 {
            return None;
        }
        let used = spent as f64 / wall as f64 / self.share;
        self.calm = if used < SPARE { self.calm + 1 } else { 0 };
        let next = if used > 1.0 {
            // To the next power of two, so that a choice of fewer frames is a part of the one before.
            let factor = (used.ceil() as u32).clamp(2, LARGEST_SAMPLE).next_power_of_two();
            self.one_in.saturating_mul(factor).min(LARGEST_SAMPLE)
        } else if self.calm >= CALM {
            self.calm = 0;
            (self.one_in / 2).max(1)
        } else {
            self.one_in
        };
        (std::mem::replace(&mut self.one_in, next) != next).then_some(next)
    }

    /// Whether nothing more can be left out, and that is not enough.
    pub(super) fn is_exhausted(&self) -> bool {
        self.one_in == LARGEST_SAMPLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_costs_too_much_is_cut_at_once_and_comes_back_slowly() {
        let mut budget = Budget::new(0.02, 1);
        // 10 % of a CPU is five times too much.
        assert_eq!(budget.spent(SECOND / 10, SECOND), Some(8));
        assert_eq!(budget.spent(SECOND / 10 + SECOND / 100, 2 * SECOND), None);
        let mut changes = Vec::new();
        for second in 3..40 {
            changes.extend(budget.spent(SECOND / 10 + SECOND / 100, second * SECOND));
        }
        assert_eq!(changes, [4, 2, 1]);
    }

    #[test]
    fn no_more_is_left_out_than_can_be() {
        let mut budget = Budget::new(0.01, 1);
        for second in 1..6 {
            budget.spent(second * SECOND, second * SECOND);
        }
        assert!(budget.is_exhausted());
        assert_eq!(budget.spent(9 * SECOND, 9 * SECOND), None);
    }
}
