//! What histogram mode keeps: the histograms that the kernel made of segments, and counts.

use serde::{Deserialize, Serialize};
use tracer_common::histogram::{BUCKETS, bounds_of};

/// No host sees more frames; what a file says beyond is damaged. Sums of such counts have room.
const MOST: u64 = 1 << 48;
/// Rows of a list that a kernel can fill, and more.
const ROWS: usize = 8192;

/// The sum of counts; the most there can be where they are more.
pub fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add).min(MOST)
}

/// All that was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histograms {
    /// `CLOCK_MONOTONIC`, ns: when it was read.
    pub until_ns: u64,
    /// Times by span, of those that occurred.
    pub spans: Vec<SpanTimes>,
    /// By hop, of those where any were: frames that no hop before had seen.
    pub firsts: Vec<HopFirsts>,
    /// Frames out of and into each tap: its slot, and how many.
    pub taps: Vec<(u8, u64)>,
    /// Frames that the kernel dropped.
    pub drops: Vec<DropCount>,
}

impl Histograms {
    /// What was counted since `before`, which was read from the same programs.
    pub fn since(&self, before: &Histograms) -> Histograms {
        let mut since = self.clone();
        subtract(&mut since, before);
        since
    }

    /// What a file says, as far as it can be.
    pub fn bounded(mut self) -> Histograms {
        self.spans.truncate(ROWS);
        self.firsts.truncate(ROWS);
        self.drops.truncate(ROWS);
        self.taps.truncate(ROWS);
        self.firsts.iter_mut().for_each(|first| {
            (first.frames, first.bytes) = (first.frames.min(MOST), first.bytes.min(MOST));
        });
        self.drops.iter_mut().for_each(|drop| drop.frames = drop.frames.min(MOST));
        self.taps.iter_mut().for_each(|(_, frames)| *frames = (*frames).min(MOST));
        self
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        let Histograms { until_ns: _, spans, firsts, taps, drops } = self;
        spans.is_empty() && firsts.is_empty() && taps.is_empty() && drops.is_empty()
    }
}

/// Takes away what was counted before. The longest time may have been among that: then the bucket tells.
fn subtract(all: &mut Histograms, before: &Histograms) {
    for old in &before.spans {
        let same =
            |span: &&mut SpanTimes| (span.origin, span.from, span.to) == (old.origin, old.from, old.to);
        let Some(span) = all.spans.iter_mut().find(same) else { continue };
        for &(bucket, count) in &old.buckets {
            let known = span.buckets.iter_mut().find(|(known, _)| *known == bucket);
            known.into_iter().for_each(|(_, sum)| *sum = sum.saturating_sub(count));
        }
        span.buckets.retain(|(_, count)| *count > 0);
        span.sum_ns = span.sum_ns.saturating_sub(old.sum_ns);
        let last = span.buckets.last().map_or(0, |(bucket, _)| (*bucket).min(BUCKETS as u32 - 1));
        let longest = bounds_of(last).1 - 1;
        span.max_ns = span.max_ns.min(longest);
    }
    all.spans.retain(|span| !span.buckets.is_empty());
    for old in &before.firsts {
        let Some(now) = all.firsts.iter_mut().find(|now| now.hop == old.hop) else { continue };
        now.frames = now.frames.saturating_sub(old.frames);
        now.bytes = now.bytes.saturating_sub(old.bytes);
    }
    all.firsts.retain(|first| first.frames + first.bytes > 0);
    for (slot, frames) in &before.taps {
        let now = all.taps.iter_mut().find(|(now, _)| now == slot);
        now.into_iter().for_each(|(_, now)| *now = now.saturating_sub(*frames));
    }
    all.taps.retain(|(_, frames)| *frames > 0);
    let place = |drop: &DropCount| (drop.location, drop.reason, drop.device, drop.after);
    for old in &before.drops {
        let now = all.drops.iter_mut().find(|now| place(now) == place(old));
        now.into_iter().for_each(|now| now.frames = now.frames.saturating_sub(old.frames));
    }
    all.drops.retain(|drop| drop.frames > 0);
}

/// The times of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanTimes {
    /// Code of the frames' origin ([`tracer_common::histogram::Origin`]).
    pub origin: u8,
    /// Earlier hop, by its code.
    pub from: u8,
    /// Later hop, by its code.
    pub to: u8,
    /// Exact sum, ns.
    pub sum_ns: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// Buckets ([`tracer_common::histogram::bucket_of`]) that have any, with how many, in their order.
    pub buckets: Vec<(u32, u64)>,
}

impl SpanTimes {
    /// How many.
    pub fn count(&self) -> u64 {
        total(self.buckets.iter().map(|(_, count)| *count))
    }

    /// Adds the times of another span.
    pub fn add(&mut self, other: &SpanTimes) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        for &(bucket, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&bucket, |(known, _)| *known) {
                Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
                Err(at) => self.buckets.insert(at, (bucket, count)),
            }
        }
    }

    /// Mean, ns.
    pub fn mean_ns(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_ns as f64 / count as f64)
    }

    /// The time that `percent` of all do not exceed, ns: the middle of its bucket, at most 3.2 % off.
    pub fn percentile_ns(&self, percent: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((percent / 100.0 * count as f64).ceil() as u64).max(1);
        let mut passed = 0u64;
        let bucket = self.buckets.iter().find(|(_, count)| {
            passed = count.saturating_add(passed);
            passed >= rank
        });
        // What a file says may be no bucket.
        let (least, beyond) = bounds_of(bucket?.0.min(BUCKETS as u32 - 1));
        Some((least + (beyond - least) / 2).min(self.max_ns))
    }
}

/// Frames that were first seen at one hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopFirsts {
    /// Code of the hop.
    pub hop: u8,
    /// Frames that no hop before had seen.
    pub frames: u64,
    /// Bytes of all frames that came into the host here.
    pub bytes: u64,
}

/// Frames that were dropped at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// Address of the code.
    pub location: u64,
    /// `enum skb_drop_reason`.
    pub reason: u32,
    /// Slot of their device.
    pub device: u8,
    /// Code of the last hop that saw them.
    pub after: u8,
    /// How many.
    pub frames: u64,
}

#[cfg(test)]
mod tests {
    use tracer_common::histogram::bucket_of;

    use super::*;

    fn times(all: &[u64]) -> SpanTimes {
        let each = all.iter().map(|&ns| SpanTimes {
            sum_ns: ns,
            max_ns: ns,
            buckets: vec![(bucket_of(ns), 1)],
            ..SpanTimes::default()
        });
        each.fold(SpanTimes::default(), |mut sum, one| {
            sum.add(&one);
            sum
        })
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_exact_ones() {
        let all: Vec<u64> = (1..=1000).map(|number| number * 997).collect();
        let times = times(&all);
        assert_eq!((times.count(), times.max_ns), (1000, 997_000));
        assert!((times.mean_ns().unwrap() - 997.0 * 500.5).abs() < 1e-6);
        for percent in [1.0, 50.0, 90.0, 99.0, 100.0] {
            let exact = 997.0 * 10.0 * percent;
            let told = times.percentile_ns(percent).unwrap() as f64;
            assert!((told - exact).abs() / exact < 0.04, "{percent} %: {told}, exactly {exact}");
        }
    }

    #[test]
    fn of_no_times_nothing_is_told() {
        let none = SpanTimes::default();
        assert_eq!((none.count(), none.mean_ns(), none.percentile_ns(50.0)), (0, None, None));
    }

    #[test]
    fn what_was_counted_before_is_taken_away() {
        let span = |buckets: &[(u32, u64)], sum_ns, max_ns| SpanTimes {
            origin: 0,
            from: 4,
            to: 13,
            sum_ns,
            max_ns,
            buckets: buckets.to_vec(),
        };
        let first = |frames| HopFirsts { hop: 4, frames, bytes: frames * 100 };
        let of = |span, first| Histograms { spans: vec![span], firsts: vec![first], ..Histograms::default() };
        let all = of(span(&[(3, 5), (20, 1)], 35, 20), first(6));
        let since = all.since(&of(span(&[(3, 2), (20, 1)], 26, 20), first(3)));
        assert_eq!(since, of(span(&[(3, 3)], 9, 3), first(3)));
        assert!(all.since(&all).is_empty());
    }
}
