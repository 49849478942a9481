//! What was measured, as a table.

use super::{
    correlate::{Measured, Size},
    measure::Sample,
};
use crate::shell::say;

/// Prints it.
pub fn print(measured: &Measured) {
    say(&format!(
        "Synthetic events on CPU {} alone, CPU time, the fastest of {} runs: what else a shared machine does only adds. \
         The generator's time and memory are its own; the rest is beyond it.",
        measured.cpu,
        measured.sizes.first().map_or(0, |size| size.correlate.len())
    ));
    say("");
    say(&row(&["", "generator", "correlator", "", "", "whole analysis", "", "", "", ""].map(str::to_owned)));
    let heads = [
        "events",
        "ns/event",
        "ns/event",
        "M events/s",
        "MiB",
        "ns/event",
        "M events/s",
        "MiB",
        "passages",
        "exchanges",
    ];
    say(&row(&heads.map(str::to_owned)));
    measured.sizes.iter().for_each(|size| say(&row(&cells(size))));
    say("");
    if let Some(smallest) = measured.sizes.first() {
        let ns = per_event(&measured.read, smallest.events);
        say(&format!(
            "Reading a recording of {} events: {ns:.0} ns/event, {} M events/s",
            smallest.events,
            rate(ns)
        ));
    }
    if let Some(growth) = measured.growth() {
        say(&format!("Memory at the largest number of events: {growth:.2} of that at the smallest"));
    }
}

fn row(cells: &[String; 10]) -> String {
    cells.iter().map(|cell| format!("{cell:>14}")).collect()
}

fn cells(size: &Size) -> [String; 10] {
    let generator = per_event(&size.generate, size.events);
    let beyond = |samples: &[Sample]| per_event(samples, size.events) - generator;
    let (correlate, analyse) = (beyond(&size.correlate), beyond(&size.analyse));
    let last = size.analyse.last();
    [
        size.events.to_string(),
        format!("{generator:.0}"),
        format!("{correlate:.0}"),
        rate(correlate),
        mib(&size.correlate),
        format!("{analyse:.0}"),
        rate(analyse),
        mib(&size.analyse),
        last.map_or(0, |sample| sample.passages).to_string(),
        last.map_or(0, |sample| sample.exchanges).to_string(),
    ]
}

fn per_event(samples: &[Sample], events: u64) -> f64 {
    samples.iter().map(|sample| sample.cpu_ns).min().unwrap_or_default() as f64 / events as f64
}

/// Millions of events a second.
fn rate(ns_per_event: f64) -> String {
    format!("{:.2}", 1000.0 / ns_per_event)
}

fn mib(samples: &[Sample]) -> String {
    format!("{:.1}", memory_kib(samples) as f64 / 1024.0)
}

/// Peak memory beyond the generator's, of the run that took most, KiB.
pub fn memory_kib(samples: &[Sample]) -> u64 {
    samples.iter().map(|sample| sample.peak_kib.saturating_sub(sample.base_kib)).max().unwrap_or_default()
}
