//! What was typed behind `vmhop experiment`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The same workloads over the same paths, again and again: the study's tables, where the time is spent, with statistics
#[derive(Clone, Debug, Subcommand)]
pub enum ExperimentCommand {
    /// Run an experiment: one that vmhop brings, or a TOML file
    ///
    /// Each cell (network, path, workload) is measured as often as the experiment says, in rounds of random order. A run is a
    /// recording; recordings, the machine's environment, the seed of the order and what the workloads wrote stay in
    /// the folder. The tables follow on standard output when all is done. After Ctrl-C, a crash or a full disk go on with
    /// --resume. Needs root.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Make the tables of an experiment's folder again, also in the middle of it; needs no root
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// List the experiments that vmhop brings
    List,
    /// Show one of them, as a file that can be copied and changed
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// `vmhop experiment run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Name of an experiment (see `vmhop experiment list`), or a TOML file
    #[arg(value_name = "SPEC", required_unless_present = "resume")]
    pub spec: Option<String>,
    /// Make the stations: a lab for each of the experiment's networks, one after the other
    ///
    /// Its name tells it from other labs of this machine; a lab of that name is taken down first.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "experiment", require_equals = true)]
    pub lab: Option<String>,
    /// Folder for the results [default: experiment-NAME-YYYYMMDD-HHMMSS, by UTC, in this folder]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Go on with an experiment that was interrupted: its runs that are done are kept, failed ones are done again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["spec", "lab", "output", "seed", "repetitions", "capture"])]
    pub resume: Option<PathBuf>,
    /// How often each cell is measured, instead of what the experiment says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: Option<u32>,
    /// What the order of the runs is drawn from [default: the experiment's, else another each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Capture each run with tcpdump as well, where its frames are counted: runs/*.pcap
    #[arg(long)]
    pub capture: bool,
    /// What to write at the end
    #[arg(long, value_enum, default_value_t)]
    pub format: ExperimentFormat,
}

/// `vmhop experiment report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The folder of results
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    pub format: ExperimentFormat,
    /// File to write to [default: standard output]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
}

/// What an experiment's tables look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExperimentFormat {
    /// Tables for a person.
    #[default]
    Text,
    /// Schema vmhop.experiment/1, for a program.
    Json,
    /// One page for a browser.
    Html,
}

const RUN_EXAMPLES: &str = "\
Examples:
  sudo vmhop experiment run hosted-vm --lab
                                      the study: guests, host and peer; makes all it needs, takes some 20 minutes
  sudo vmhop experiment run smoke --lab
                                      eight short runs, to see that all works here
  vmhop experiment show hosted-vm > mine.toml
  sudo vmhop experiment run mine.toml -o results
                                      with stations of your own
  sudo vmhop experiment run --resume results

Exit status:
  0  all runs are done
  1  a run has failed, or it was interrupted; what was measured is kept
  2  it could not start: a bad experiment, a folder that is in use, missing permissions";

const REPORT_EXAMPLES: &str = "\
Examples:
  vmhop experiment report results
  vmhop experiment report results --format json | jq '.cells[] | {path, workload}'
  vmhop experiment report results --format html -o results.html

Exit status:
  0  done
  1  a recording is damaged, or the tables could not be written
  2  the folder holds no experiment";
