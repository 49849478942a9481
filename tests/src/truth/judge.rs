//! From the growths of layers to a verdict. Pure.

use std::{collections::BTreeMap, fmt, time::Duration};

use tracer::latency::Layer;

use super::{
    block::Sample,
    growth::{Growth, leave_out},
    trial::Trial,
};

/// How far the delayed layer may be off: a tenth, and where that is less, this much.
const SHARE: f64 = 0.1;
const AT_LEAST_NS: f64 = 50_000.0;
/// By how much another layer may grow or shrink: a tenth of the delay.
const OF_OTHERS: f64 = 0.1;
/// A delay as short as this is held against the noise of an emulated host, if that is greater: four standard errors.
const SHORT: Duration = Duration::from_micros(100);
const NOISE: f64 = 4.0;

/// How many exchanges may be left out.
const ELSEWHERE_SHARE: f64 = 0.05;

/// What a trial has come to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Host, what delayed, and by how much it was meant to.
    pub scene: &'static str,
    /// What delayed.
    pub trial: Trial,
    /// By how much it was meant to delay.
    pub delay: Duration,
    /// Whether the host is emulated, so that its noise may hide a short delay.
    pub emulated: bool,
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
        (delay, emulated): (Duration, bool),
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
            emulated,
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

    /// Whether the delay is too short for this host: it does not stand out of the noise.
    fn is_hidden(&self) -> bool {
        let noise_ns = self.asserted().se_ns * NOISE;
        let stands_out =
            noise_ns <= self.injected_ns && self.injected_ns >= self.delay.as_nanos() as f64 / 2.0;
        self.emulated && self.delay <= SHORT && !stands_out
    }

    /// What is wrong.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.faults_of_counts();
        if !self.is_hidden() {
            self.faults_of_growth(&mut faults);
        }
        faults
    }

    fn faults_of_counts(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let [plain, delayed] = self.counts;
        if plain < 2 || delayed < 2 || self.missing * 100 > plain + delayed {
            faults.push(format!("{plain} plain and {delayed} delayed exchanges, {} missing", self.missing));
        }
        if self.left_out as f64 > (plain + delayed) as f64 * ELSEWHERE_SHARE {
            faults.push(format!("{} exchanges took far longer than others", self.left_out));
        }
        faults
    }

    fn faults_of_growth(&self, faults: &mut Vec<String>) {
        if self.injected_ns.is_nan() || self.injected_ns < self.delay.as_nanos() as f64 / 2.0 {
            faults.push(format!("the delay was no more than {}", us(self.injected_ns)));
        }
        let noise_ns = self.asserted().se_ns * NOISE;
        if noise_ns.is_nan() || noise_ns > self.injected_ns {
            faults.push(format!(
                "the noise hides the delay: a standard error of {}",
                us(self.asserted().se_ns)
            ));
        }
        let close = self.close_ns();
        let mut check = |what: &str, growth: Growth, expected_ns: f64, bound_ns: f64| {
            let off = (growth.mean_ns - expected_ns).abs();
            if off.is_nan() || off > self.bound(bound_ns, growth) {
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
        if self.is_hidden() {
            write!(formatter, ", SKIPPED: hidden by the noise of an emulated host")?;
        } else if self.bound(self.close_ns(), growth) > self.close_ns() {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(1);
    const MS: f64 = 1e6;

    /// A hundred exchanges without and with a delay: `grown` is by how much each layer takes longer with it, and all
    /// vary by up to `noise` to either side.
    fn samples(kept_ns: f64, grown: &[(Layer, f64)], noise: f64) -> Vec<Sample> {
        let one = |number: usize| {
            let delayed = number % 2 == 1;
            let off = noise * (number / 2 % 11) as f64 / 5.0 - noise;
            let base = [(Layer::Vmm, 0.2 * MS), (Layer::Guest, 0.5 * MS), (Layer::Vmnet, 0.1 * MS)];
            let mut layers: BTreeMap<Layer, f64> = base.map(|(layer, ns)| (layer, ns + off)).into();
            for (layer, ns) in grown.iter().filter(|_| delayed) {
                *layers.entry(*layer).or_default() += ns;
            }
            let waiting_ns = layers[&Layer::Vmm] - 0.1 * MS;
            Sample { delayed, kept_ns: if delayed { kept_ns } else { 0.0 }, layers, waiting_ns }
        };
        (0..200).map(one).collect()
    }

    fn measured(trial: Trial, delay: Duration, samples: Vec<Sample>) -> Measured {
        Measured::of("a host", trial, (delay, false), samples, 0)
    }

    #[test]
    fn a_layer_that_grows_alone_by_the_delay_passes() {
        for (grown, passes) in
            [(1.0, true), (0.92, true), (1.08, true), (0.88, false), (1.12, false), (0.0, false)]
        {
            let measured =
                measured(Trial::GuestHolds, DELAY, samples(MS, &[(Layer::Guest, grown * MS)], 0.01 * MS));
            assert_eq!(measured.faults().is_empty(), passes, "{measured} {:?}", measured.faults());
        }
    }

    #[test]
    fn a_delay_that_shows_in_another_layer_fails() {
        let elsewhere = measured(Trial::GuestHolds, DELAY, samples(MS, &[(Layer::Vmm, MS)], 0.01 * MS));
        assert_eq!(elsewhere.faults().len(), 2, "{:?}", elsewhere.faults());
        for (other, passes) in [(0.08, true), (-0.08, true), (0.12, false), (-0.12, false)] {
            let grown = [(Layer::Guest, MS), (Layer::Nic, other * MS)];
            let measured = measured(Trial::GuestHolds, DELAY, samples(MS, &grown, 0.01 * MS));
            assert_eq!(measured.faults().is_empty(), passes, "{measured}");
        }
    }

    #[test]
    fn a_hog_makes_threads_wait() {
        let mut all = samples(MS, &[(Layer::Vmm, MS)], 0.01 * MS);
        assert_eq!(measured(Trial::Hog, DELAY, all.clone()).faults(), [""; 0]);
        all.iter_mut().for_each(|sample| sample.waiting_ns = 0.0);
        assert_eq!(measured(Trial::Hog, DELAY, all.clone()).faults().len(), 1);
        assert_eq!(measured(Trial::VmmStopped, DELAY, all).faults(), [""; 0]);
    }

    #[test]
    fn what_delays_by_more_than_it_was_told_is_held_against_what_it_did() {
        let overslept = samples(1.3 * MS, &[(Layer::Guest, 1.3 * MS)], 0.01 * MS);
        assert_eq!(measured(Trial::GuestHolds, DELAY, overslept).faults(), [""; 0]);
        let forgotten = samples(0.0, &[], 0.01 * MS);
        assert!(!measured(Trial::GuestHolds, DELAY, forgotten).faults().is_empty());
    }

    #[test]
    fn only_a_short_delay_is_held_against_the_noise_and_that_is_said() {
        let grown = [(Layer::Guest, 0.1 * MS), (Layer::Vmnet, 0.015 * MS)];
        let measured = |noise| measured(Trial::GuestHolds, SHORT, samples(0.1 * MS, &grown, noise));
        let (quiet, noisy, drowned) = (measured(0.01 * MS), measured(0.05 * MS), measured(0.5 * MS));
        assert!(!quiet.faults().is_empty() && !quiet.to_string().contains("not resolvable"), "{quiet}");
        assert!(noisy.faults().is_empty() && noisy.to_string().contains("not resolvable"), "{noisy}");
        assert!(drowned.faults()[0].contains("hides"), "{drowned} {:?}", drowned.faults());
        let grown = [(Layer::Guest, MS), (Layer::Vmnet, 0.15 * MS)];
        let longer =
            Measured::of("a host", Trial::GuestHolds, (DELAY, false), samples(MS, &grown, 0.5 * MS), 0);
        assert!(!longer.faults().is_empty(), "{longer}");
    }

    #[test]
    fn an_emulated_host_may_hide_a_short_delay_and_no_other() {
        let drowned = |delay: Duration, kept_ns: f64| {
            let samples = samples(kept_ns, &[(Layer::Guest, kept_ns)], 5.0 * kept_ns);
            Measured::of("a host", Trial::GuestHolds, (delay, true), samples, 0)
        };
        let (short, long) = (drowned(SHORT, 0.1 * MS), drowned(DELAY, MS));
        assert!(short.faults().is_empty() && short.to_string().contains("SKIPPED"), "{short}");
        assert!(!long.faults().is_empty() && !long.to_string().contains("SKIPPED"), "{long}");
    }

    #[test]
    fn exchanges_that_met_an_absent_machine_are_left_out_as_long_as_they_are_few() {
        for (absent, passes) in [(0, true), (8, true), (12, false)] {
            let mut all = samples(MS, &[(Layer::Guest, MS)], 0.01 * MS);
            for sample in all.iter_mut().take(absent) {
                sample.layers.insert(Layer::Vmm, 20.0 * MS);
            }
            let measured = measured(Trial::GuestHolds, DELAY, all);
            assert_eq!((measured.left_out, measured.faults().is_empty()), (absent, passes), "{measured}");
        }
    }

    #[test]
    fn exchanges_that_are_missing_fail() {
        let all = samples(MS, &[(Layer::Guest, MS)], 0.01 * MS);
        let measured =
            |missing| Measured::of("a host", Trial::GuestHolds, (DELAY, false), all.clone(), missing);
        assert!(measured(2).faults().is_empty() && !measured(3).faults().is_empty());
        let none = Measured::of("a host", Trial::GuestHolds, (DELAY, false), Vec::new(), 0);
        assert!(!none.faults().is_empty());
    }
}
