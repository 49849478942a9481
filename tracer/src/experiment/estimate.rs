//! A figure over several runs: its mean, with the interval in which the mean of very many runs lies in 95 % of such
//! experiments. The run is the unit: exchanges of one run have too much in common to count one by one.
//!
//! Intervals are Student's (1908) for one condition and Welch's (1947) for the difference of two.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// A mean over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the 95 % interval; none with fewer than two runs.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// How many runs; of a difference those of the side that has fewer.
    pub runs: u32,
}

impl Estimate {
    /// The mean of one value a run; none without runs.
    pub fn of(values: &[f64]) -> Option<Estimate> {
        let sample = Sample::of(values)?;
        Some(sample.estimate(sample.mean, sample.variance_of_mean, sample.count - 1.0))
    }

    /// How much higher `other` is than `base`.
    pub fn difference(base: &[f64], other: &[f64]) -> Option<Estimate> {
        let (base, other) = (Sample::of(base)?, Sample::of(other)?);
        let variance = base.variance_of_mean + other.variance_of_mean;
        // Welch and Satterthwaite's degrees of freedom.
        let part = |sample: &Sample| sample.variance_of_mean.powi(2) / (sample.count - 1.0).max(1.0);
        let divisor = part(&base) + part(&other);
        let freedom = if divisor > 0.0 { variance.powi(2) / divisor } else { base.count + other.count - 2.0 };
        let fewer = if base.count < other.count { base } else { other };
        Some(fewer.estimate(other.mean - base.mean, variance, freedom))
    }
}

#[derive(Clone, Copy)]
struct Sample {
    count: f64,
    mean: f64,
    /// Of the mean, not of one value.
    variance_of_mean: f64,
}

impl Sample {
    fn of(values: &[f64]) -> Option<Sample> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Sample { count, mean, variance_of_mean: squares / (count - 1.0).max(1.0) / count })
    }

    fn estimate(&self, mean: f64, variance: f64, freedom: f64) -> Estimate {
        let runs = self.count as u32;
        let student = (runs > 1).then(|| StudentsT::new(0.0, 1.0, freedom.max(1.0)).ok()).flatten();
        let half = student.map(|student| student.inverse_cdf(0.975) * variance.sqrt());
        Estimate { mean, low: half.map(|half| mean - half), high: half.map(|half| mean + half), runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(estimate: Option<Estimate>) -> (f64, Option<f64>, Option<f64>) {
        let round = |value: f64| (value * 1e4).round() / 1e4;
        let Estimate { mean, low, high, .. } = estimate.unwrap();
        (round(mean), low.map(round), high.map(round))
    }

    #[test]
    fn intervals_are_those_of_student_and_welch() {
        // By scipy.stats.t.interval and scipy.stats.ttest_ind(equal_var=False).confidence_interval().
        let (base, other) = ([10.0, 12.0, 11.0, 13.0, 9.0], [14.0, 15.0, 13.5, 16.0]);
        assert_eq!(rounded(Estimate::of(&base)), (11.0, Some(9.0368), Some(12.9632)));
        assert_eq!(rounded(Estimate::difference(&base, &other)), (3.625, Some(1.4964), Some(5.7536)));
    }

    #[test]
    fn one_run_has_no_interval_and_none_no_mean() {
        assert_eq!(rounded(Estimate::of(&[3.0])), (3.0, None, None));
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::difference(&[1.0], &[]), None);
        assert_eq!(rounded(Estimate::difference(&[1.0], &[3.0, 4.0])), (2.5, None, None));
    }

    #[test]
    fn runs_that_are_all_alike_have_an_interval_of_no_width() {
        assert_eq!(rounded(Estimate::of(&[4.0, 4.0, 4.0])), (4.0, Some(4.0), Some(4.0)));
        assert_eq!(rounded(Estimate::difference(&[4.0, 4.0], &[5.0, 5.0])), (1.0, Some(1.0), Some(1.0)));
    }
}
