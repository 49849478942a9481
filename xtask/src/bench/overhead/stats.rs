//! What interleaved pairs of measurements come to. Pure.

use serde::Serialize;

/// The same work twice: with nothing attached and with the tool, one right after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// With nothing attached; the unit is that of the measurement.
    pub without: f64,
    /// With the tool.
    pub with: f64,
}

/// What pairs come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Median of what was measured with nothing attached.
    pub without: f64,
    /// Median of what the tool adds.
    pub added: f64,
    /// Median of with / without.
    pub ratio: f64,
    /// Lower and upper quartile of that.
    pub quartiles: [f64; 2],
}

impl Summary {
    /// Nothing without a pair.
    pub fn of(pairs: &[Pair]) -> Option<Summary> {
        let all = |value: fn(&Pair) -> f64| pairs.iter().map(value).collect::<Vec<f64>>();
        let ratios = all(|pair| pair.with / pair.without);
        Some(Summary {
            without: median(&all(|pair| pair.without))?,
            added: median(&all(|pair| pair.with - pair.without))?,
            ratio: median(&ratios)?,
            quartiles: [quantile(&ratios, 0.25)?, quantile(&ratios, 0.75)?],
        })
    }
}

/// The middle value, or the mean of both.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The middle of values that were rounded, each standing for all within half a step: of those that are the middle value, as
/// many lie below the middle as it takes. ping tells round trips to three digits.
pub fn median_of_rounded(values: &[f64]) -> Option<f64> {
    let middle = quantile(values, 0.5)?;
    let next = |above: bool| {
        let apart = values.iter().filter(|value| if above { **value > middle } else { **value < middle });
        apart.map(|value| (value - middle).abs()).min_by(f64::total_cmp)
    };
    let Some(step) = next(true).into_iter().chain(next(false)).min_by(f64::total_cmp) else {
        return Some(middle);
    };
    let below = values.iter().filter(|value| **value < middle).count() as f64;
    let within = values.iter().filter(|value| **value == middle).count() as f64;
    if within == 0.0 {
        return Some(middle);
    }
    let share = (values.len() as f64 / 2.0 - below) / within;
    Some(middle + (share - 0.5) * step)
}

/// By linear interpolation between the values next to it.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_nothing_has_none() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), Some(2.0));
    }

    #[test]
    fn rounded_values_are_spread_over_their_step() {
        // Of four at 20 the middle one is behind the first: three of eight lie below them.
        assert_eq!(median_of_rounded(&[10.0, 10.0, 10.0, 20.0, 20.0, 20.0, 20.0, 30.0]), Some(17.5));
        assert_eq!(median_of_rounded(&[10.0, 20.0, 20.0, 30.0]), Some(20.0));
        assert_eq!(median_of_rounded(&[7.0, 7.0]), Some(7.0));
        assert_eq!(median_of_rounded(&[10.0, 20.0]), Some(15.0));
        assert_eq!(median_of_rounded(&[]), None);
    }

    #[test]
    fn ratios_and_differences_are_taken_pair_by_pair() {
        // A machine that grows slower meanwhile: the medians of either side would tell another ratio.
        let pairs = [(100.0, 150.0), (200.0, 300.0), (1000.0, 1500.0)];
        let pairs = pairs.map(|(without, with)| Pair { without, with });
        let summary = Summary::of(&pairs).unwrap();
        assert_eq!((summary.ratio, summary.added, summary.without), (1.5, 100.0, 200.0));
        assert_eq!(summary.quartiles, [1.5, 1.5]);
        assert_eq!(Summary::of(&[]), None);
    }
}
