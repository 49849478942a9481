//! One distribution of times: exact count, sum and extremes, percentiles to three digits.

use hdrhistogram::Histogram;

/// A distribution of times in ns.
#[derive(Clone, Debug)]
pub struct Stats {
    histogram: Histogram<u64>,
    sum_ns: u128,
    /// Times with the later hop stamped before the earlier one; in none of the other figures.
    pub negative: u64,
}

impl Default for Stats {
    fn default() -> Stats {
        #[expect(
            clippy::unwrap_used,
            reason = "three significant digits are in the range that new() accepts"
        )]
        let histogram = Histogram::new(3).unwrap();
        Stats { histogram, sum_ns: 0, negative: 0 }
    }
}

impl Stats {
    /// Adds the time from `start_ns` to `end_ns`.
    pub fn record(&mut self, start_ns: u64, end_ns: u64) {
        match end_ns.checked_sub(start_ns) {
            Some(time_ns) => {
                self.sum_ns += u128::from(time_ns);
                if self.histogram.record(time_ns).is_err() {
                    // It resizes itself to any time; were there no memory for that, the longest bucket counts it.
                    self.histogram.saturating_record(time_ns);
                }
            }
            None => self.negative += 1,
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Exact sum, ns.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// Exact mean, ns.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum_ns as f64 / self.count() as f64)
    }

    /// The time that `percent` of all do not exceed, ns, to three digits.
    pub fn percentile_ns(&self, percent: f64) -> Option<u64> {
        (self.count() > 0).then(|| self.histogram.value_at_percentile(percent).min(self.histogram.max()))
    }

    /// The longest, ns, to three digits.
    pub fn max_ns(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.histogram.max())
    }
}
