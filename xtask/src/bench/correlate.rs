//! `cargo xtask bench correlate`: the sizes, the runs of each, and the judgement on memory.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::{
    measure::{Program, Sample, What},
    table,
};
use crate::{
    setup,
    shell::{note, say},
};

/// How much more memory the largest number of events may take than the smallest. Questions wait five seconds for their
/// answer; a million events last two, so that the table of those without an answer does not fill.
const GROWTH: f64 = 1.2;

/// How to measure
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Numbers of events
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1M,10M,50M", value_parser = events)]
    events: Vec<u64>,
    /// Runs of each; what is printed is the fastest, and the most memory
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// CPU to run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    cpu: usize,
    /// Frames that the correlator's limits allow for, as `vmhop report --limit-frames`
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// Write all samples to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A number as 200k, 1M.
fn events(typed: &str) -> Result<u64, String> {
    let units = [("k", 1_000), ("M", 1_000_000), ("", 1)];
    let number = units.iter().find_map(|(unit, scale)| {
        let number: u64 = typed.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*scale).filter(|number| *number > 0)
    });
    number.ok_or_else(|| "is no number of events, such as 200k or 10M".to_owned())
}

/// What was measured at one number of events.
#[derive(Debug, Serialize)]
pub struct Size {
    /// So many.
    pub events: u64,
    /// The generator alone.
    pub generate: Vec<Sample>,
    /// With the correlator.
    pub correlate: Vec<Sample>,
    /// With the whole analysis.
    pub analyse: Vec<Sample>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The CPU that it ran on.
    pub cpu: usize,
    /// By number of events, smallest first.
    pub sizes: Vec<Size>,
    /// Reading a recording of the smallest number of events.
    pub read: Vec<Sample>,
}

impl Measured {
    /// Memory that the whole analysis had beyond the generator's: at the largest number of events, of that at the
    /// smallest.
    pub fn growth(&self) -> Option<f64> {
        let memory = |size: &Size| table::memory_kib(&size.analyse).max(1) as f64;
        Some(memory(self.sizes.last()?) / memory(self.sizes.first()?))
    }
}

/// Measures and prints.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !setup::prepare(false)? {
        return Ok(ExitCode::from(2));
    }
    let measured = measure(args)?;
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&measured)?;
        fs::write(path, json).with_context(|| format!("failed to write {}", path.display()))?;
    }
    table::print(&measured);
    let growth = measured.growth().context("nothing was measured")?;
    if growth > GROWTH {
        say(&format!("bench: memory GROWS with the recording: {growth:.2} times"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args) -> anyhow::Result<Measured> {
    let program = Program::build(args.cpu, args.frames)?;
    let mut numbers = args.events.clone();
    numbers.sort_unstable();
    numbers.dedup();
    let Some(&smallest) = numbers.first() else { bail!("no number of events is given") };
    let mut sizes = Vec::new();
    for events in numbers {
        let mut size = Size { events, generate: Vec::new(), correlate: Vec::new(), analyse: Vec::new() };
        // In turn, so that what else the machine does falls on all of them.
        for run in 1..=args.runs {
            note(&format!("bench: {events} events, run {run} of {}", args.runs));
            size.generate.push(program.sample(What::Generate, events)?);
            size.correlate.push(program.sample(What::Correlate, events)?);
            size.analyse.push(program.sample(What::Analyse, events)?);
        }
        sizes.push(size);
    }
    let read = (0..args.runs).map(|_| program.sample(What::Read, smallest)).collect::<Result<_, _>>()?;
    Ok(Measured { cpu: args.cpu, sizes, read })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_typed_with_their_thousands() {
        assert_eq!(events("200k"), Ok(200_000));
        assert_eq!(events("50M"), Ok(50_000_000));
        assert_eq!(events("7"), Ok(7));
        for wrong in ["", "M", "0", "1G", "-1", "1.5M", "99999999999999999999", "99999999999999M"] {
            assert!(events(wrong).is_err(), "{wrong}");
        }
    }
}
