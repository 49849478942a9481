//! What was typed: the commands and their options, and the help that teaches them.
//!
//! Not in here: what the words mean. Options are kept as typed and validated in `config`, so that a wrong one
//! is answered in the same words and on one line, wherever it is found.

mod diff;
mod help;
mod watch;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use self::{
    diff::{DiffArgs, DiffFormat},
    watch::WatchArgs,
};
use crate::{
    experiment::ExperimentCommand, lab::LabCommand, plan::XdpMode, probe::BufferMode, recording::Mode,
};

/// Where does a VM's frame spend its time?
#[derive(Clone, Debug, Parser)]
#[command(name = "vmhop", version, long_about = help::ABOUT, after_help = help::EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Say more on standard error: -v what is done, -vv what is decided on the way, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show what this host can trace, hop by hop, and what is missing
    #[command(long_about = help::DOCTOR, after_help = help::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Show the VMs of this host and the path behind each of their taps
    #[command(long_about = help::TOPOLOGY, after_help = help::TOPOLOGY_EXAMPLES)]
    Topology(TopologyArgs),
    /// Record the way of each frame, then report where it spent its time
    #[command(long_about = help::RECORD, after_help = help::RECORD_EXAMPLES)]
    Record(RecordArgs),
    /// Show on the terminal where frames spend their time right now
    #[command(long_about = help::LIVE, after_help = help::LIVE_EXAMPLES)]
    Live(LiveArgs),
    /// Trace until stopped: figures for Prometheus, recordings that take turns; VMs may come and go
    #[command(long_about = watch::ABOUT, after_help = watch::EXAMPLES)]
    Watch(WatchArgs),
    /// Report from a recording
    #[command(long_about = help::REPORT, after_help = help::REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Compare two conditions: by how much each layer and segment has shifted, and whether that is chance
    #[command(long_about = diff::ABOUT, after_help = diff::EXAMPLES)]
    Diff(DiffArgs),
    /// List the profiles, sets of further hops for --profile, or show one
    #[command(long_about = help::PROFILES, after_help = help::PROFILES_EXAMPLES)]
    Profiles(ProfilesArgs),
    /// Run experiments: the same traffic again and again over several paths, with the statistics of where its time went
    #[command(subcommand, after_help = help::EXPERIMENT_EXAMPLES)]
    Experiment(ExperimentCommand),
    /// A VM to try vmhop on: a guest on a tap and a bridge, a NIC, a wire and a peer, made from nothing
    #[command(subcommand, after_help = help::LAB_EXAMPLES)]
    Lab(LabCommand),
}

/// `vmhop doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Send frames through devices made for it, and tell which hooks fire
    ///
    /// A function can be probed and never called, where the compiler inlined it. The devices are in namespaces of
    /// their own and go away with vmhop, whatever ends it. Takes a few seconds; needs root.
    #[arg(long)]
    pub self_test: bool,
    /// Hops of the user's own.
    #[command(flatten)]
    pub own: OwnHops,
    /// Write JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// File with this kernel's type information (BTF), where the kernel does not bring its own
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}

/// Hops of the user's own, for functions that vmhop does not know.
#[derive(Clone, Debug, Default, Args)]
pub struct OwnHops {
    /// Further hop: a kernel function that frames pass, and which of its arguments is the sk_buff, counted from
    /// arg0; may be repeated
    ///
    /// For example vmnet.in='kprobe:VNetHubReceive(skb=arg1)'. Where the argument is a pointer to the pointer, say
    /// skb=*arg1. Function and argument are checked before anything is attached.
    #[arg(long = "hop", value_name = "NAME=HOOK")]
    pub hops: Vec<String>,
    /// Set of further hops: one of vmhop's own, see `vmhop profiles`, or a TOML file; may be repeated
    #[arg(long = "profile", value_name = "NAME|FILE")]
    pub profiles: Vec<String>,
}

/// `vmhop profiles`.
#[derive(Clone, Debug, Args)]
pub struct ProfilesArgs {
    /// The profile to show, as a file that can be copied and changed [default: list them]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `vmhop topology`.
#[derive(Clone, Debug, Args)]
pub struct TopologyArgs {
    /// Write JSON instead of a tree
    #[arg(long)]
    pub json: bool,
}

/// What is traced, and how.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// VM to trace, by its name, its VMM's PID or one of its taps; may be repeated [default: all VMs]
    #[arg(long = "vm", value_name = "NAME|PID|TAP")]
    pub vms: Vec<String>,
    /// NIC behind the taps, where the one that was found is not it; may be repeated
    ///
    /// The name is looked up in the network namespace of each traced tap. By default the NIC is the port of
    /// the tap's bridge that is no tap, else the device of the default route: see `vmhop topology`.
    #[arg(long = "nic", value_name = "IF")]
    pub nics: Vec<String>,
    /// Trace only frames that match, in tcpdump's words: 'icmp and host 192.0.2.1' [default: every frame]
    ///
    /// The kernel evaluates it, so that what does not match costs next to nothing. Known are ip, ip6, arp,
    /// icmp, icmp6, tcp, udp, [src|dst] host, net and port, and, or, not and parentheses.
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// How XDP programs are used on taps and NICs; a program that is on a device already is never replaced
    #[arg(long, value_enum, value_name = "MODE", default_value_t = XdpMode::Auto)]
    pub xdp: XdpMode,
    /// Hook that is to serve a hop, instead of the one chosen: tap.write=raw_tp:sys_enter; may be repeated
    ///
    /// `vmhop doctor` shows the choice for each hop, and what was passed over.
    #[arg(long = "hook", value_name = "HOP=HOOK")]
    pub hooks: Vec<String>,
    /// Hops to trace, and no others: tap.rx,nic.queue,nic.xmit [default: all that can be served]
    ///
    /// Each hop costs every frame some time, and the recording some bytes: fewer cost less. The report then cannot tell
    /// what lies between: the time from one traced hop to the next is one segment, charged to the layer that both ends
    /// share, else unattributed; drops are told with skb.drop, where frames end with nic.done and vmm.read.end, and
    /// exchanges only where both ends of their frames are traced. Hops that share a program with one of these come
    /// along, as nic.stack does with tap.rx. `vmhop doctor` lists the hops.
    #[arg(long = "hops", value_name = "LIST", value_delimiter = ',')]
    pub only: Vec<String>,
    /// What leaves the kernel: every event, or histograms alone [default: stream; for watch: histogram]
    ///
    /// In histogram mode the kernel itself forms the segments and counts them: nothing is lost however many frames pass, and
    /// memory stays as it is. The report then tells segments and layers of frames; what only whole frames tell (exchanges,
    /// flows, kicks, the wire, each single frame) it marks as not known.
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// File with this kernel's type information (BTF), where the kernel does not bring its own
    ///
    /// Raw tracepoints then stand in for BTF tracepoints. It must describe exactly this kernel.
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Hops of the user's own.
    #[command(flatten)]
    pub own: OwnHops,
    /// Size of the buffers between the kernel and vmhop, a power of two: 4MiB, 256MiB
    ///
    /// Events that find them full are lost, and counted by hop. A busier host needs larger ones. Where each CPU
    /// has a buffer of its own, they share it, but each has 1 MiB at least.
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub ring_size: String,
    /// What carries the records from the kernel to vmhop
    #[arg(long, value_enum, value_name = "KIND", default_value_t = BufferMode::Auto)]
    pub buffers: BufferMode,
    /// Record only a part of the frames, the same at every hop and whole exchanges: 1/64, or auto
    ///
    /// A frame is chosen by what no hop changes and what question and answer share: echo by its sequence number, TCP in
    /// stretches of 1 MiB of its stream, UDP by flow. Counts are then of the chosen frames. auto leaves out as many as keep
    /// the cost of measuring within --budget, and says so.
    #[arg(long, value_name = "1/N|auto")]
    pub sample: Option<String>,
    /// What --sample auto may cost, programs and reader together, in percent of one CPU [default: 2%]
    #[arg(long, value_name = "PERCENT")]
    pub budget: Option<String>,
}

/// `vmhop record`.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// What is traced.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Stop after this time: 500ms, 10s, 2m [default: when CMD ends, else at Ctrl-C]
    #[arg(long, value_name = "D")]
    pub duration: Option<String>,
    /// File to record to [default: vmhop-YYYYMMDD-HHMMSS.vmhop, by UTC, in this folder]
    ///
    /// An existing recording is written over; another existing file only with --force.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over FILE even if it is no recording
    #[arg(long)]
    pub force: bool,
    /// Write the report at the end as JSON, as `vmhop report --format json` does
    ///
    /// The output of CMD then goes to standard error, so that standard output holds the JSON alone.
    #[arg(long)]
    pub json: bool,
    /// Command to run meanwhile; the recording ends with it
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `vmhop live`.
#[derive(Clone, Debug, Args)]
pub struct LiveArgs {
    /// What is traced.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Figures are of so long a time: 2s, 10s or 60s; the key w changes it
    #[arg(long, value_name = "D", default_value = "10s")]
    pub window: String,
    /// Draw as often as this: 100ms to 10s
    #[arg(long, value_name = "D", default_value = "500ms")]
    pub interval: String,
    /// Record to this file meanwhile, for `vmhop report`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over FILE even if it is no recording
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// `vmhop report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// File to write to [default: standard output]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Frames on their way at once that there is memory for: 100000, 256k, 1M
    ///
    /// Sets the memory that a report takes: up to 4 KiB for each. Of more frames the oldest are given up; the report
    /// counts them, and their times are in none of its figures.
    #[arg(long, value_name = "N", default_value = "256k")]
    pub limit_frames: String,
}

/// What a report looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for a person.
    #[default]
    Text,
    /// Schema vmhop.report/1, for a program.
    Json,
    /// A page with drawings and charts, in one file that loads nothing.
    Html,
    /// A line for each segment of each exchange.
    Csv,
    /// The same table for pandas and its kin; binary.
    Parquet,
    /// The frames' headers at each hop, for Wireshark; binary.
    Pcapng,
    /// The exchanges on a time line, for ui.perfetto.dev; binary.
    Perfetto,
    /// The report's figures for Prometheus.
    Openmetrics,
}

impl Format {
    /// Whether it is not made for a terminal.
    pub fn is_binary(self) -> bool {
        match self {
            Format::Parquet | Format::Pcapng | Format::Perfetto => true,
            Format::Text | Format::Json | Format::Html | Format::Csv | Format::Openmetrics => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_to_run_keeps_its_own_options() {
        let typed = ["vmhop", "record", "--vm", "lab", "-o", "a.vmhop", "--", "ping", "-c", "3", "--", "x"];
        let Command::Record(args) = Cli::parse_from(typed).command else { panic!("another command") };
        assert_eq!(args.trace.vms, ["lab"]);
        assert_eq!(args.command, ["ping", "-c", "3", "--", "x"]);
        assert_eq!(args.trace.ring_size, "32MiB");
    }

    #[test]
    fn verbosity_is_taken_before_and_behind_the_command() {
        assert_eq!(Cli::parse_from(["vmhop", "-v", "topology"]).verbose, 1);
        assert_eq!(Cli::parse_from(["vmhop", "topology", "-vv"]).verbose, 2);
    }
}
