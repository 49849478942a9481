//! Two samples compared by their ranks: by how much the one lies above the other, and whether that could be chance.
//!
//! * The **shift** is Hodges' and Lehmann's: the median of all differences between a value of the one sample and a
//!   value of the other (J. L. Hodges, E. L. Lehmann, *Estimates of location based on rank tests*, Annals of
//!   Mathematical Statistics 34, 1963). One wild value moves it little.
//! * Its **interval** lies between two of these differences, by the null distribution of U (D. F. Bauer, *Constructing
//!   confidence sets using rank statistics*, Journal of the American Statistical Association 67, 1972). With ties it
//!   is wider than it need be, never narrower.
//! * **p** is that of Mann and Whitney, two-sided (H. B. Mann, D. R. Whitney, *On a test of whether one of two random
//!   variables is stochastically larger than the other*, Annals of Mathematical Statistics 18, 1947): twice the
//!   smaller tail of all ways to deal the midranks out, ties included; of large samples the normal approximation with
//!   the corrections for ties and continuity.
//!
//! Not in here: what the values are, and what follows from p.

use statrs::distribution::{ContinuousCDF as _, Normal};

/// The confidence that intervals are to have.
pub const CONFIDENCE: f64 = 0.95;
/// Values on both sides together up to which every way to deal them out is counted.
const EXACT: usize = 64;

/// By how much one sample lies above another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The estimate, in the unit of the values.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How likely intervals made like this one hold the true shift, 0 to 1: at least [`CONFIDENCE`], but where there are
    /// so few values that not even the range of all differences reaches it.
    pub confidence: f64,
    /// Probability of a U as far from its middle as this one, if nothing differs.
    pub p: f64,
}

/// By how much `other` lies above `base`; nothing where one of them is empty.
pub fn shift(base: &[f64], other: &[f64]) -> Option<Shift> {
    if base.is_empty() || other.is_empty() {
        return None;
    }
    let mut differences: Vec<f64> =
        other.iter().flat_map(|later| base.iter().map(move |earlier| later - earlier)).collect();
    differences.sort_unstable_by(f64::total_cmp);
    let (place, confidence) = interval(base.len(), other.len());
    Some(Shift {
        estimate: median(&differences)?,
        low: differences[place - 1],
        high: differences[differences.len() - place],
        confidence,
        p: mann_whitney(base, other),
    })
}

/// The middle of sorted values.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

/// The smallest p that so many values on each side can have: all of one side above all of the other.
pub fn smallest_p(base: usize, other: usize) -> f64 {
    // One in the number of ways to choose those of one side.
    let ways: f64 = (1..=base).map(|step| (other + step) as f64 / step as f64).product();
    (2.0 / ways).min(1.0)
}

/// Bauer's interval: the how manieth of the sorted differences from either end bounds it, and with which confidence.
fn interval(base: usize, other: usize) -> (usize, f64) {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    if base + other > EXACT {
        let (mean, deviation) = moments(base, other, 0.0);
        let beyond = mean + standard().inverse_cdf(tail) * deviation;
        return ((beyond.floor() as usize).max(1), CONFIDENCE);
    }
    let ranks: Vec<usize> = (1..=base + other).collect();
    let mut below = 0.0;
    let mut place = 0;
    for probability in deal(&ranks, base).into_iter().skip(base * (base + 1) / 2) {
        if below + probability > tail {
            break;
        }
        below += probability;
        place += 1;
    }
    if place == 0 { (1, 1.0 - smallest_p(base, other)) } else { (place, 1.0 - 2.0 * below) }
}

/// Two-sided p.
fn mann_whitney(base: &[f64], other: &[f64]) -> f64 {
    let (ranks, ties) = doubled_midranks(base, other);
    let sum: usize = ranks[base.len()..].iter().sum();
    if ranks.len() <= EXACT {
        let dealt = deal(&ranks, other.len());
        let (lower, upper) = (dealt[..=sum].iter().sum::<f64>(), dealt[sum..].iter().sum::<f64>());
        return (2.0 * lower.min(upper)).min(1.0);
    }
    let (mean, deviation) = moments(base.len(), other.len(), ties);
    let u = sum as f64 / 2.0 - (other.len() * (other.len() + 1)) as f64 / 2.0;
    let off = ((u - mean).abs() - 0.5).max(0.0);
    if deviation > 0.0 { (2.0 * standard().sf(off / deviation)).min(1.0) } else { 1.0 }
}

/// Mean and standard deviation of U if nothing differs; `ties` is the sum of t³ − t over groups of t equal values.
fn moments(base: usize, other: usize, ties: f64) -> (f64, f64) {
    let (base, other) = (base as f64, other as f64);
    let all = base + other;
    let variance = base * other / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    (base * other / 2.0, variance.max(0.0).sqrt())
}

fn standard() -> Normal {
    Normal::standard()
}

/// Twice the rank of each value, so that the mean rank of equal ones is whole; and the sum of t³ − t over these.
fn doubled_midranks(base: &[f64], other: &[f64]) -> (Vec<usize>, f64) {
    let values: Vec<f64> = base.iter().chain(other).copied().collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0; values.len()];
    let (mut ties, mut before) = (0.0, 0);
    for equal in order.chunk_by(|&left, &right| values[left] == values[right]) {
        let count = equal.len();
        for &at in equal {
            ranks[at] = 2 * before + count + 1;
        }
        before += count;
        ties += (count as f64).powi(3) - count as f64;
    }
    (ranks, ties)
}

/// Probability of each sum of `size` of these ranks, all ways to choose them alike.
fn deal(ranks: &[usize], size: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; size + 1];
    ways[0][0] = 1.0;
    for (number, &rank) in ranks.iter().enumerate() {
        for taken in (0..size.min(number + 1)).rev() {
            let [fewer, more] = &mut ways[taken..taken + 2] else { continue };
            for (from, into) in fewer.iter().zip(&mut more[rank..]) {
                *into += from;
            }
        }
    }
    let of_size = ways.pop().unwrap_or_default();
    let all: f64 = of_size.iter().sum();
    of_size.into_iter().map(|count| count / all).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hollander's and Wolfe's permeability constants of the human chorioamnion, at term and before, as in the examples
    /// of R's `wilcox.test`.
    const TERM: [f64; 10] = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    const EARLY: [f64; 5] = [1.15, 0.88, 0.90, 0.74, 1.21];

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    fn many(factor: usize, modulus: usize, count: usize) -> Vec<f64> {
        (0..count).map(|at| (at * factor % modulus) as f64).collect()
    }

    #[test]
    fn figures_are_those_of_other_implementations() {
        // R 4: wilcox.test(EARLY, TERM, conf.int = TRUE): p-value = 0.2544, interval −0.76 to 0.15, estimate −0.305.
        // SciPy 1.17: mannwhitneyu(EARLY, TERM, method='exact').pvalue; numpy.median of all differences.
        let found = shift(&TERM, &EARLY).unwrap();
        close(found.p, 0.254_412_254_412_254_4);
        close(found.estimate, -0.305);
        close(found.low, -0.76);
        close(found.high, 0.15);
        close(found.confidence, 0.960_039_960_039_96);
    }

    #[test]
    fn ties_are_dealt_out_too() {
        // By enumeration of all ways to deal scipy.stats.rankdata's midranks out.
        let found = shift(&[1.0, 2.0, 2.0, 3.0, 4.0], &[2.0, 3.0, 3.0, 5.0, 6.0, 6.0]).unwrap();
        close(found.p, 0.121_212_121_212_121_22);
        close(found.estimate, 2.0);
    }

    #[test]
    fn large_samples_have_the_normal_approximation() {
        // SciPy 1.17: mannwhitneyu(y, x, method='asymptotic', use_continuity=True).pvalue, without and with ties; the
        // interval by norm.ppf(0.025) and the sorted differences.
        let base = many(37, 101, 40);
        let other: Vec<f64> = many(53, 97, 45).iter().map(|value| value + 6.0).collect();
        let found = shift(&base, &other).unwrap();
        close(found.p, 0.860_212_955_379_542_6);
        assert_eq!((found.estimate, found.low, found.high), (1.0, -12.0, 15.0));
        let tens = |values: &[f64]| values.iter().map(|value| (value / 10.0).floor()).collect::<Vec<_>>();
        close(shift(&tens(&base), &tens(&other)).unwrap().p, 0.992_941_092_070_552_6);
    }

    #[test]
    fn the_interval_lies_where_the_null_distribution_says() {
        // By the counting recursion of Mann and Whitney, in Python.
        for (base, other, place, confidence) in [
            (4, 4, 1, 0.971_428_571_428_571_4),
            (5, 5, 3, 0.968_253_968_253_968_3),
            (6, 6, 6, 0.958_874_458_874_458_9),
            (10, 10, 24, 0.956_742_947_455_021_8),
            (20, 20, 128, 0.950_909_674_810_627_6),
        ] {
            let found = interval(base, other);
            assert_eq!(found.0, place, "{base} and {other}");
            close(found.1, confidence);
        }
    }

    #[test]
    fn three_against_three_cannot_reach_95_percent() {
        let found = shift(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]).unwrap();
        close(found.p, 0.1);
        close(found.confidence, 0.9);
        assert_eq!((found.low, found.high), (8.0, 12.0));
        close(smallest_p(3, 3), 0.1);
        close(smallest_p(4, 4), 2.0 / 70.0);
        assert!(shift(&[], &[1.0]).is_none());
    }

    fn sample() -> impl Strategy<Value = Vec<f64>> {
        // Whole numbers, so that there are ties and sums are exact.
        proptest::collection::vec((0..50i32).prop_map(f64::from), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn swapping_the_sides_negates_the_shift(base in sample(), other in sample()) {
            let (there, back) = (shift(&base, &other).unwrap(), shift(&other, &base).unwrap());
            prop_assert_eq!(there.estimate, -back.estimate);
            prop_assert_eq!((there.low, there.high), (-back.high, -back.low));
            prop_assert!((there.p - back.p).abs() < 1e-9);
        }

        #[test]
        fn what_is_added_to_one_side_is_added_to_the_shift(base in sample(), other in sample(), more in -100..100i32) {
            let more = f64::from(more);
            let moved: Vec<f64> = other.iter().map(|value| value + more).collect();
            let (before, after) = (shift(&base, &other).unwrap(), shift(&base, &moved).unwrap());
            prop_assert_eq!(after.estimate, before.estimate + more);
            prop_assert_eq!((after.low, after.high), (before.low + more, before.high + more));
        }

        #[test]
        fn equal_samples_have_no_shift(values in sample()) {
            let found = shift(&values, &values).unwrap();
            prop_assert_eq!(found.estimate, 0.0);
            prop_assert!(found.low <= 0.0 && found.high >= 0.0 && found.p > 0.999, "{:?}", found);
        }

        #[test]
        fn the_estimate_lies_in_its_interval(base in sample(), other in sample()) {
            let found = shift(&base, &other).unwrap();
            prop_assert!(found.low <= found.estimate && found.estimate <= found.high && found.p <= 1.0, "{:?}", found);
        }
    }
}
