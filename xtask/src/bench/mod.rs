//! `cargo xtask bench`: what vmhop costs on this machine, measured on release builds.

mod correlate;
mod measure;
mod table;

use std::process::ExitCode;

use clap::Subcommand;

/// What to measure
#[derive(Debug, Subcommand)]
pub enum Job {
    /// The correlator: events per second on one CPU, and whether its memory grows with the recording
    ///
    /// Synthetic events, made while they are taken, in a process for each figure. Ends with exit code 1 where the
    /// memory at the largest number of events exceeds that at the smallest by more than 10 %.
    Correlate(correlate::Args),
}

/// Measures it.
pub fn run(job: &Job) -> anyhow::Result<ExitCode> {
    match job {
        Job::Correlate(args) => correlate::run(args),
    }
}
