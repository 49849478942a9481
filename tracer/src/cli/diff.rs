//! `vmhop diff`: its options and its help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `vmhop diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// What to compare with: a recording, a folder with the recordings of one condition, or an experiment's folder
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// What to compare: a recording, a folder with the recordings of the other condition, or an experiment's folder
    #[arg(value_name = "OTHER")]
    pub other: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    pub format: DiffFormat,
    /// File to write to [default: standard output]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Exit with 1 if a figure rises by more than this: 'vmm.p99 10%', 'nic.mean 50us'; may be repeated
    ///
    /// A layer, total, or a segment as in tap.ring->vmm.read; then mean, p50, p90 or p99; then a share of BASE's figure
    /// or a time. It holds for every group of exchanges that has it, or for one: 'echo:peer/vmm.p99 10%'. What cannot
    /// be checked counts as exceeded.
    #[arg(long = "fail-above", value_name = "WHAT.FIGURE SIZE")]
    pub fail_above: Vec<String>,
    /// Shifts up to here are a trifle and not called found: a share of the longer mean exchange, 5%, or a time, 50us
    /// [default: 5% between several runs, 15% where one side is a single run]
    #[arg(long, value_name = "SIZE")]
    pub ignore_below: Option<String>,
    /// Frames on their way at once that there is memory for, as of `vmhop report`
    #[arg(long, value_name = "N", default_value = "256k")]
    pub limit_frames: String,
}

/// What a comparison looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// Tables for a person.
    #[default]
    Text,
    /// Schema vmhop.diff/1, for a program.
    Json,
    /// A page for a browser, in one file.
    Html,
}

/// `vmhop diff --help`.
pub(super) const ABOUT: &str = "\
Compare two conditions: by how much each layer and segment has shifted, and whether that is chance

BASE and OTHER are each one recording, or a folder of which every *.vmhop is one run of the same condition; two folders \
of `vmhop experiment run` are compared cell by cell. For each \
layer: both means, which add up, and their difference; the Hodges-Lehmann shift with its 95 % interval; p after Mann and \
Whitney, adjusted for the number of layers. A shift is called found if it is more than chance and its whole interval \
lies beyond --ignore-below. Segments are tested inside the layers that were found.

Record several runs of each condition: between two single recordings the spread from run to run is not known. \
Warnings of too few runs and of losses cannot be turned off. docs/diff.md tells how to read it.";

/// Below `vmhop diff --help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  vmhop diff before.vmhop after.vmhop
  for run in 1 2 3 4 5 6; do
    sudo vmhop record --vm web1 -o before/$run.vmhop -- ping -c 200 -i 0.02 192.0.2.2; done
                                      six runs of one condition, in a folder
  vmhop diff before/ after/           of the other condition there are as many
  vmhop diff before/ after/ --fail-above 'vmm.p99 10%' --fail-above 'total.mean 50us'
                                      in CI: fails where these have risen by more
  vmhop diff before/ after/ --format json | jq '.groups[].layers[] | select(.verdict == \"found\")'
  vmhop diff before/ after/ --format html -o diff.html
  vmhop diff results-1/ results-2/    two experiments, each network, path and workload for itself

Exit status:
  0  done, and nothing is above what --fail-above allows
  1  something is, or could not be checked; or a recording is damaged
  2  wrong usage, no such file, or no recording in the folder";
