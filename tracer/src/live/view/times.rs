//! Times of one segment within half a second, small enough to keep a minute of them for every segment: exact count and
//! sum, and how many there were of each size. Sizes are those of a histogram of two digits, so that the percentiles of any
//! number of them together are those of one histogram, within 1 %.

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;

/// Digits that sizes are told apart by.
const DIGITS: u8 = 2;

/// What sizes are told apart.
#[derive(Clone, Debug)]
pub(super) struct Scale(Histogram<u64>);

impl Default for Scale {
    fn default() -> Scale {
        #[expect(clippy::unwrap_used, reason = "two significant digits are in the range that new() accepts")]
        let histogram = Histogram::new(DIGITS).unwrap();
        Scale(histogram)
    }
}

/// Times in ns.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    count: u64,
    sum_ns: u128,
    negative: u64,
    sizes: FxHashMap<u64, u32>,
}

impl Times {
    /// Adds the time from `start_ns` to `end_ns`.
    pub(super) fn record(&mut self, scale: &Scale, start_ns: u64, end_ns: u64) {
        let Some(time_ns) = end_ns.checked_sub(start_ns) else {
            self.negative += 1;
            return;
        };
        self.count += 1;
        self.sum_ns += u128::from(time_ns);
        let size = self.sizes.entry(scale.0.highest_equivalent(time_ns)).or_default();
        *size = size.saturating_add(1);
    }
}

/// Times of several half seconds together.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    count: u64,
    sum_ns: u128,
    negative: u64,
    scale: Scale,
}

/// What is shown of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// How many.
    pub count: u64,
    /// Exact mean, ns.
    pub mean_ns: Option<f64>,
    /// Median, ns, within 1 %.
    pub p50_ns: Option<u64>,
    /// The time that 90 of 100 do not exceed, ns, within 1 %.
    pub p90_ns: Option<u64>,
    /// The time that 99 of 100 do not exceed, ns, within 1 %.
    pub p99_ns: Option<u64>,
    /// The longest, ns, within 1 %.
    pub max_ns: Option<u64>,
    /// Times with the later hop stamped before the earlier one: a defect; in none of the other figures.
    pub negative: u64,
}

impl Sum {
    /// Adds those of a half second.
    pub(super) fn add(&mut self, times: &Times) {
        self.count += times.count;
        self.sum_ns += times.sum_ns;
        self.negative += times.negative;
        for (&size, &count) in &times.sizes {
            // It resizes itself to any time; were there no memory for that, the longest bucket counts it.
            if self.scale.0.record_n(size, u64::from(count)).is_err() {
                self.scale.0.saturating_record_n(size, u64::from(count));
            }
        }
    }

    /// What is shown of them.
    pub(super) fn figures(&self) -> Figures {
        let histogram = &self.scale.0;
        let some = self.count > 0;
        let percentile = |percent| some.then(|| histogram.value_at_percentile(percent).min(histogram.max()));
        Figures {
            count: self.count,
            mean_ns: some.then(|| self.sum_ns as f64 / self.count as f64),
            p50_ns: percentile(50.0),
            p90_ns: percentile(90.0),
            p99_ns: percentile(99.0),
            max_ns: some.then(|| histogram.max()),
            negative: self.negative,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_are_one_distribution() {
        let scale = Scale::default();
        let (mut one, mut other) = (Times::default(), Times::default());
        (1..=500).for_each(|us| one.record(&scale, 0, us * 1000));
        (501..=1000).for_each(|us| other.record(&scale, 0, us * 1000));
        other.record(&scale, 7, 6);
        let mut sum = Sum::default();
        [&one, &other].into_iter().for_each(|times| sum.add(times));
        let figures = sum.figures();
        assert_eq!((figures.count, figures.mean_ns, figures.negative), (1000, Some(500_500.0), 1));
        for (found, ns) in [(figures.p50_ns, 500e3), (figures.p99_ns, 990e3), (figures.max_ns, 1e6)] {
            let off = found.unwrap() as f64 / ns - 1.0;
            assert!((0.0..0.01).contains(&off), "{found:?} for {ns}");
        }
        assert_eq!(Sum::default().figures(), Figures::default());
    }
}
