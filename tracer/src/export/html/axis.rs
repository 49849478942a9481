//! Axes: places and words of their ticks. Lengths are in percent, so that a chart is as wide as the page allows while its
//! words keep their size.

use crate::export::numbers::{self, ABSENT};

/// A log scale of times that covers whole powers of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LogScale {
    low: f64,
    high: f64,
}

impl LogScale {
    /// One on which all of these can be shown; nothing where none is above 0.
    pub(super) fn of(times_ns: impl Iterator<Item = f64>) -> Option<LogScale> {
        let (low, high) = times_ns
            .filter(|ns| *ns > 0.0 && ns.is_finite())
            .fold((f64::INFINITY, 0.0_f64), |(low, high), ns| (low.min(ns), high.max(ns)));
        if high == 0.0 {
            return None;
        }
        let low = (low.log10() + 1e-9).floor();
        Some(LogScale { low, high: (high.log10() - 1e-9).ceil().max(low + 1.0) })
    }

    /// Where a time lies, percent from the lower end; times of 0 at the lower end.
    pub(super) fn place(&self, ns: f64) -> f64 {
        let place = 100.0 * (ns.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        place.clamp(0.0, 100.0)
    }

    /// Powers of ten on it, at most seven.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let step = ((self.high - self.low) / 6.0).ceil().max(1.0) as usize;
        (self.low as i32..=self.high as i32).step_by(step).map(|power| 10f64.powi(power)).collect()
    }
}

/// A time as short as an axis wants it: without digits that say nothing.
pub(super) fn tick(ns: f64) -> String {
    let shown = numbers::time(ns);
    let Some((number, unit)) = shown.split_once(' ') else { return shown };
    match number.contains('.') {
        true => format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.')),
        false => shown,
    }
}

/// Round times from 0 to at most `end_ns`, five to ten of them.
pub(super) fn linear_ticks(end_ns: u64) -> Vec<u64> {
    if end_ns == 0 {
        return vec![0];
    }
    let rough = end_ns as f64 / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [5.0, 2.0, 1.0].into_iter().map(|factor| factor * power).find(|step| *step <= rough);
    let step = (step.unwrap_or(power) as u64).max(1);
    (0..=end_ns / step).map(|number| number * step).collect()
}

/// A length in percent.
pub(super) fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

/// How words stand at a place on an axis, so that those at its ends are not cut off.
pub(super) fn anchor(place: f64) -> &'static str {
    match place {
        place if place < 4.0 => "start",
        place if place > 96.0 => "end",
        _ => "middle",
    }
}

/// A percentile: `50`, `99.9`.
pub(super) fn percentile(percent: f64) -> String {
    if !percent.is_finite() {
        return ABSENT.to_owned();
    }
    format!("{percent:.6}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_scale_covers_whole_powers_of_ten() {
        let scale = LogScale::of([1_500.0, 0.0, 80_000.0].into_iter()).unwrap();
        assert_eq!(scale.ticks(), [1e3, 1e4, 1e5]);
        assert_eq!((scale.place(1e3), scale.place(1e4), scale.place(1e5)), (0.0, 50.0, 100.0));
        assert_eq!((scale.place(0.0), scale.place(1e9)), (0.0, 100.0));
        assert_eq!(LogScale::of([0.0].into_iter()), None);
        assert_eq!(LogScale::of([1e3].into_iter()).unwrap().ticks(), [1e3, 1e4]);
        assert!(LogScale::of([1.0, 1e15].into_iter()).unwrap().ticks().len() <= 7);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            linear_ticks(1_710_000),
            [0, 200_000, 400_000, 600_000, 800_000, 1_000_000, 1_200_000, 1_400_000, 1_600_000]
        );
        for end in [1, 3, 10, 999, 12_345_678_901, u64::MAX] {
            let ticks = linear_ticks(end);
            assert!((2..=10).contains(&ticks.len()) && *ticks.last().unwrap() <= end, "{end}: {ticks:?}");
        }
        assert_eq!(linear_ticks(0), [0]);
    }

    #[test]
    fn words_of_ticks_are_short() {
        for (ns, shown) in [(0.0, "0 ns"), (1e3, "1 µs"), (1.5e6, "1.5 ms"), (1e8, "100 ms"), (1e10, "10 s")]
        {
            assert_eq!(tick(ns), shown);
        }
        assert_eq!([0.0, 50.0, 99.9, 99.99].map(percentile), ["0", "50", "99.9", "99.99"]);
    }
}
