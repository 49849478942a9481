//! How much layers have grown: means of delayed exchanges less those of plain ones. Pure.

use super::block::Sample;

/// An exchange that took longer than the median of its kind by so many times the distance between the quartiles met a
/// machine that was elsewhere: it is left out and counted.
const ELSEWHERE: f64 = 10.0;

/// One layer's, or part of one's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// Mean of the delayed exchanges less that of the plain ones, ns.
    pub mean_ns: f64,
    /// Its standard error, ns.
    pub se_ns: f64,
}

impl Growth {
    pub(super) fn of(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Growth {
        let values = |delayed: bool| -> Vec<f64> {
            samples.iter().filter(|sample| sample.delayed == delayed).map(&value).collect()
        };
        let (plain, delayed) = (Mean::of(&values(false)), Mean::of(&values(true)));
        Growth { mean_ns: delayed.mean - plain.mean, se_ns: (plain.variance + delayed.variance).sqrt() }
    }
}

/// Leaves out exchanges that met a machine that was elsewhere; gives how many.
pub(super) fn leave_out(samples: &mut Vec<Sample>) -> usize {
    let total = |sample: &Sample| sample.layers.values().sum::<f64>();
    let limit = |delayed: bool| {
        let alike = samples.iter().filter(|sample| sample.delayed == delayed);
        let mut totals: Vec<f64> = alike.map(total).collect();
        totals.sort_by(f64::total_cmp);
        let quartile = |number: usize| totals.get(totals.len() * number / 4).copied().unwrap_or_default();
        quartile(2) + ELSEWHERE * (quartile(3) - quartile(1))
    };
    let limits = [limit(false), limit(true)];
    let before = samples.len();
    samples.retain(|sample| total(sample) <= limits[usize::from(sample.delayed)]);
    before - samples.len()
}

/// A mean and the variance of that mean.
struct Mean {
    mean: f64,
    variance: f64,
}

impl Mean {
    fn of(values: &[f64]) -> Mean {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Mean { mean, variance: squares / (count - 1.0) / count }
    }
}
