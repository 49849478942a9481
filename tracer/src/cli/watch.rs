//! `vmhop watch`: its options and its help.

use std::path::PathBuf;

use clap::Args;

use super::TraceArgs;

/// `vmhop watch --help`.
pub(super) const ABOUT: &str = "\
Trace until stopped: figures for Prometheus, recordings that take turns; VMs may come and go

Follows the VMs of this host as they start, stop, migrate, and get and lose taps, without a restart. The figures of a \
report are served as OpenMetrics at /metrics, on the loopback device unless told otherwise, or printed. Recordings \
follow one another without a gap; with -o the newest are kept. What watching costs is among the figures. Needs root.";

/// Below `vmhop watch --help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  sudo vmhop watch                    all VMs, served at http://127.0.0.1:9429/metrics
  sudo vmhop watch --vm web1 -o /var/lib/vmhop --every 10m --keep 144
                                      web1, when it is there, with its recordings of the last day
  sudo vmhop watch --print 1m         printed each minute, and nothing served

Exit status:
  0  stopped by Ctrl-C, SIGTERM or --duration
  1  something went wrong on the way (the disk is full); what was recorded is kept
  2  it could not start: wrong usage, missing permissions, a port that is in use, no BTF";

/// `vmhop watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// What is traced; VMs need not be there yet.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Address and port to serve at [default: 127.0.0.1:9429; with --print none]
    ///
    /// Whoever reaches it reads names and addresses: behind anything but the loopback device is everybody.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Write the figures to standard output each time this has passed: 10s, 1m
    #[arg(long, value_name = "D")]
    pub print: Option<String>,
    /// Folder for the recordings [default: each is deleted when its figures have been taken]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Begin another recording each time this has passed
    #[arg(long, value_name = "D", default_value = "10m")]
    pub every: String,
    /// Begin another recording when one has this size
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub size: String,
    /// Recordings that are kept beside the one that is written; older ones of this folder's are deleted
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub keep: usize,
    /// Stop after this time: 10m, 24h [default: at Ctrl-C]
    #[arg(long, value_name = "D")]
    pub duration: Option<String>,
}
