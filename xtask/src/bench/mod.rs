//! `cargo xtask bench`: what vmhop costs on this machine, and how right it is, on release builds.

mod correlate;
mod measure;
mod overhead;
mod table;
mod worlds;

use std::process::ExitCode;

use clap::Subcommand;

/// What to measure
#[derive(Debug, Subcommand)]
pub enum Job {
    /// The correlator: events per second on one CPU, and whether its memory grows with the recording
    ///
    /// Synthetic events, made while they are taken, in a process for each figure. Ends with exit code 1 where the
    /// memory at the largest number of events exceeds that at the smallest by more than 20 %.
    Correlate(correlate::Args),
    /// What vmhop costs a frame, beside programs that only read the clock, bpftrace, ftrace, perf and tcpdump
    ///
    /// Frames at full rate through tap, bridge and veth, in pairs without and with each tool; then losses, the reader's
    /// speed, and ping and iperf3 in a lab. docs/overhead.md tells how to read it. Ends with exit code 1 where a limit is
    /// missed. Needs root.
    Overhead(overhead::Args),
    /// The correlator's answers: 10,000 synthetic worlds whose truth is known, whole and with a tenth of the events removed
    ///
    /// Prints precision, recall, and the coverage of each hop beside the truth. Ends with exit code 1 after a wrong pair.
    Worlds,
}

/// Measures it.
pub fn run(job: &Job) -> anyhow::Result<ExitCode> {
    match job {
        Job::Correlate(args) => correlate::run(args),
        Job::Overhead(args) => overhead::run(args),
        Job::Worlds => worlds::run(),
    }
}
