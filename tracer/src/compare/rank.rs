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
