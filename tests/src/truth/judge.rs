//! From samples to growths, and from growths to a verdict. Pure.

use std::{collections::BTreeMap, fmt, time::Duration};

use tracer::latency::Layer;

use super::{block::Sample, trial::Trial};

/// How far the delayed layer may be off: a tenth, and where that is less, this much.
const SHARE: f64 = 0.1;
const AT_LEAST_NS: f64 = 50_000.0;
/// By how much another layer may grow or shrink: a tenth of the delay.
const OF_OTHERS: f64 = 0.1;
/// A delay as short as this is held against the noise of an emulated host, if that is greater: four standard errors.
const SHORT: Duration = Duration::from_micros(100);
const NOISE: f64 = 4.0;

/// An exchange that took so much longer than the median of its kind met a machine that was elsewhere: it is left out and
/// counted. More than one in twenty fails the trial.
const ELSEWHERE_NS: f64 = 2e6;
const ELSEWHERE_SHARE: f64 = 0.05;

/// One layer's, or part of one's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// Mean of the delayed exchanges less that of the plain ones, ns.
    pub mean_ns: f64,
    /// Its standard error, ns.
    pub se_ns: f64,
}

impl Growth {
    fn of(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Growth {
        let values = |delayed: bool| -> Vec<f64> {
            samples.iter().filter(|sample| sample.delayed == delayed).map(&value).collect()
        };
        let (plain, delayed) = (Mean::of(&values(false)), Mean::of(&values(true)));
        Growth { mean_ns: delayed.mean - plain.mean, se_ns: (plain.variance + delayed.variance).sqrt() }
    }
}

/// Leaves out exchanges that met a machine that was elsewhere; gives how many.
fn leave_out(samples: &mut Vec<Sample>) -> usize {
    let total = |sample: &Sample| sample.layers.values().sum::<f64>();
    let median = |delayed: bool| {
        let alike = samples.iter().filter(|sample| sample.delayed == delayed);
        let mut totals: Vec<f64> = alike.map(total).collect();
        totals.sort_by(f64::total_cmp);
        totals.get(totals.len() / 2).copied().unwrap_or_default()
    };
    let medians = [median(false), median(true)];
    let before = samples.len();
    samples.retain(|sample| total(sample) <= medians[usize::from(sample.delayed)] + ELSEWHERE_NS);
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

/// What a trial has come to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Host, what delayed, and by how much it was meant to.
    pub scene: &'static str,
    /// What delayed.
    pub trial: Trial,
    /// By how much it was meant to delay.
    pub delay: Duration,
    /// Exchanges without and with the delay.
    pub counts: [usize; 2],
    /// Those of them in which the guest could not be told from the VMM.
    pub untold: [usize; 2],
    /// Questions without an exchange.
    pub missing: usize,
    /// Exchanges that were left out.
    pub left_out: usize,
    /// By how much it has delayed, ns.
    pub injected_ns: f64,
    /// By layer.
    pub layers: BTreeMap<Layer, Growth>,
    /// Of the VMM's threads waiting for a processor.
    pub waiting: Growth,
}

impl Measured {
    /// Sums up the samples of a trial.
    pub fn of(
        scene: &'static str,
        trial: Trial,
        delay: Duration,
        mut samples: Vec<Sample>,
        missing: usize,
    ) -> Measured {
        let left_out = leave_out(&mut samples);
        let untold = |delayed: bool| {
            let alike = samples.iter().filter(|sample| sample.delayed == delayed);
            alike.filter(|sample| sample.layers.contains_key(&Layer::GuestVmm)).count()
        };
        let delayed = samples.iter().filter(|sample| sample.delayed).count();
        let layers = samples.iter().flat_map(|sample| sample.layers.keys().copied());
        let growth = |layer: Layer| {
            Growth::of(&samples, |sample| sample.layers.get(&layer).copied().unwrap_or_default())
        };
        Measured {
            scene,
            trial,
            delay,
            counts: [samples.len() - delayed, delayed],
            untold: [untold(false), untold(true)],
            missing,
            left_out,
            injected_ns: Growth::of(&samples, |sample| sample.kept_ns).mean_ns,
            layers: layers.map(|layer| (layer, growth(layer))).collect(),
            waiting: Growth::of(&samples, |sample| sample.waiting_ns),
        }
    }

    /// The delayed layer's.
    fn asserted(&self) -> Growth {
        self.layers.get(&self.trial.layer()).copied().unwrap_or_default()
    }

    fn others(&self) -> impl Iterator<Item = (Layer, Growth)> {
        let asserted = self.trial.layer();
        self.layers
            .iter()
            .map(|(layer, growth)| (*layer, *growth))
            .filter(move |(layer, _)| *layer != asserted)
    }

    /// A bound, or the noise where the delay is so short that the noise is greater.
    fn bound(&self, bound_ns: f64, growth: Growth) -> f64 {
        if self.delay <= SHORT { bound_ns.max(NOISE * growth.se_ns) } else { bound_ns }
    }

    /// How far the delayed layer may be off.
    fn close_ns(&self) -> f64 {
        (self.injected_ns * SHARE).max(AT_LEAST_NS)
    }

    /// What is wrong.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let [plain, delayed] = self.counts;
        if plain < 2 || delayed < 2 || self.missing * 100 > plain + delayed {
            faults.push(format!("{plain} plain and {delayed} delayed exchanges, {} missing", self.missing));
        }
        if self.left_out as f64 > (plain + delayed) as f64 * ELSEWHERE_SHARE {
            faults.push(format!("{} exchanges took far longer than others", self.left_out));
        }
        if !(self.injected_ns >= self.delay.as_nanos() as f64 * (1.0 - SHARE)) {
            faults.push(format!("the delay was no more than {}", us(self.injected_ns)));
        }
        let close = self.close_ns();
        let mut check = |what: &str, growth: Growth, expected_ns: f64, bound_ns: f64| {
            let off = (growth.mean_ns - expected_ns).abs();
            if !(off <= self.bound(bound_ns, growth)) {
                faults.push(format!(
                    "{what} grew by {}, {} was expected",
                    us(growth.mean_ns),
                    us(expected_ns)
                ));
            }
        };
        check(self.trial.layer().name(), self.asserted(), self.injected_ns, close);
        if self.trial.waits() {
            check("waiting for a processor", self.waiting, self.injected_ns, close);
        }
        for (layer, growth) in self.others() {
            check(layer.name(), growth, 0.0, self.injected_ns * OF_OTHERS);
        }
        faults
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (layer, growth) = (self.trial.layer(), self.asserted());
        let error = (growth.mean_ns / self.injected_ns - 1.0) * 100.0;
        let [plain, delayed] = self.counts;
        write!(
            formatter,
            "{}: {} by {} for {:?}: {layer} {:+.1} µs (se {:.1}), error {error:+.1} %",
            self.scene,
            self.trial.name(),
            us(self.injected_ns),
            self.delay,
            growth.mean_ns / 1e3,
            growth.se_ns / 1e3,
        )?;
        if self.trial.waits() {
            write!(formatter, ", of it waiting {:+.1} µs", self.waiting.mean_ns / 1e3)?;
        }
        if self.bound(self.close_ns(), growth) > self.close_ns() {
            write!(formatter, ", not resolvable here")?;
        }
        write!(formatter, "; the others:")?;
        for (layer, growth) in self.others() {
            write!(formatter, " {layer} {:+.1} (se {:.1})", growth.mean_ns / 1e3, growth.se_ns / 1e3)?;
            if self.bound(self.injected_ns * OF_OTHERS, growth) > self.injected_ns * OF_OTHERS {
                write!(formatter, " not resolvable here")?;
            }
        }
        write!(formatter, "; {plain} and {delayed} exchanges")?;
        let [plain, delayed] = self.untold;
        if plain + delayed > 0 {
            write!(formatter, ", in {plain} and {delayed} guest and VMM not told apart")?;
        }
        if self.left_out > 0 {
            write!(formatter, ", {} left out", self.left_out)?;
        }
        Ok(())
    }
}

fn us(ns: f64) -> String {
    format!("{:.1} µs", ns / 1e3)
}
