//! A report's figures as OpenMetrics text, for Prometheus and what reads the same. A function of the report alone, so that
//! it can be written to a file as well as served.
//!
//! Sums and counts are counters, percentiles gauges with the label `quantile` (1 is the longest): what is absent in the
//! report has no sample. Which families there are is in [`families`].

mod families;
mod watch;

use std::{
    fmt,
    io::{self, Write},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use crate::{
    report::{Report, WatchState},
    topology::printable,
};

/// Writes the report, `# EOF` at its end.
///
/// # Errors
/// The writer's.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures(report.clone())));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

/// Writes how a watch stands, and its report so far, where there is one.
///
/// # Errors
/// The writer's.
pub fn write_watch(state: WatchState, report: Option<Report>, out: &mut dyn Write) -> io::Result<()> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Standing(state)));
    if let Some(report) = report {
        registry.register_collector(Box::new(Figures(report)));
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

/// A watch that is asked for its figures.
#[derive(Debug)]
struct Standing(WatchState);

impl Collector for Standing {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        watch::encode(&self.0, &mut Families { encoder })
    }
}

/// A report that is asked for its figures.
#[derive(Debug)]
struct Figures(Report);

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::encode(&self.0, &mut Families { encoder })
    }
}

/// Names and values by which samples of one family differ.
type Labels = Vec<(&'static str, String)>;

/// Labels of words, some of which others chose; the encoder escapes what OpenMetrics asks for.
fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, printable(value))).collect()
}

/// Writes families of samples, one after another.
struct Families<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    /// Numbers that only grow while something is recorded.
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        samples.try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<Labels, _, u64>(&value, None)
        })
    }

    /// Time that only grows; given in ns.
    fn seconds_total(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let unit = Unit::Seconds;
        let mut family = self.encoder.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
        samples.try_for_each(|(labels, ns)| {
            family.encode_family(&labels)?.encode_counter::<Labels, _, u64>(&(ns / 1e9), None)
        })
    }

    /// Any other number.
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        samples.try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    /// Words about something, as labels of the number 1.
    fn info(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Labels>) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        samples.try_for_each(|labels| family.encode_info(&labels))
    }
}

#[cfg(test)]
mod tests;
