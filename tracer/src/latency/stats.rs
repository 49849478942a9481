//! One distribution of times: exact count, sum and extremes, percentiles to three digits.

use std::borrow::Cow;

use hdrhistogram::Histogram;

/// How many times are kept before they are entered. A histogram is larger than the caches, and there are many: entered
/// one by one, each time waits for memory; entered together, they wait together.
const PENDING: usize = 128;

/// A distribution of times in ns.
#[derive(Clone, Debug)]
pub struct Stats {
    /// All times but those pending.
    histogram: Histogram<u32>,
    pending: Vec<u64>,
    count: u64,
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
        Stats { histogram, pending: Vec::new(), count: 0, sum_ns: 0, negative: 0 }
    }
}

fn enter(histogram: &mut Histogram<u32>, times_ns: &[u64]) {
    for &time_ns in times_ns {
        if histogram.record(time_ns).is_err() {
            // It resizes itself to any time; were there no memory for that, the longest bucket counts it.
            histogram.saturating_record(time_ns);
        }
    }
}

impl Stats {
    /// Adds the time from `start_ns` to `end_ns`.
    pub fn record(&mut self, start_ns: u64, end_ns: u64) {
        let Some(time_ns) = end_ns.checked_sub(start_ns) else {
            self.negative += 1;
            return;
        };
        self.count += 1;
        self.sum_ns += u128::from(time_ns);
        self.pending.push(time_ns);
        if self.pending.len() == PENDING {
            enter(&mut self.histogram, &self.pending);
            self.pending.clear();
        }
    }

    /// The histogram of all times.
    fn whole(&self) -> Cow<'_, Histogram<u32>> {
        if self.pending.is_empty() {
            return Cow::Borrowed(&self.histogram);
        }
        let mut whole = self.histogram.clone();
        enter(&mut whole, &self.pending);
        Cow::Owned(whole)
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact sum, ns.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// Exact mean, ns.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64)
    }

    /// The time that `percent` of all do not exceed, ns, to three digits.
    pub fn percentile_ns(&self, percent: f64) -> Option<u64> {
        let whole = self.whole();
        (self.count > 0).then(|| whole.value_at_percentile(percent).min(whole.max()))
    }

    /// The longest, ns, to three digits.
    pub fn max_ns(&self) -> Option<u64> {
        (self.count > 0).then(|| self.whole().max())
    }
}
