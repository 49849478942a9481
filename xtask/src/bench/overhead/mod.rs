//! `cargo xtask bench overhead`: what vmhop costs a frame, beside the floor and beside other tools, in one run.
//!
//! A process writes frames into a tap, as a VMM does, on one CPU; whatever a tool runs in user space is on the other. Each
//! tool is measured in pairs, without and with it, so that what else the machine does falls on both sides.

mod bench;
mod bpftrace;
mod ftrace;
mod judge;
mod lab;
mod loss;
mod process;
mod recorded;
mod scene;
mod stats;
mod table;
mod tools;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Serialize;

pub use self::bench::Bench;
use self::{
    judge::Line,
    lab::{Attachment, Compared, Lab},
    loss::Flood,
    stats::Summary,
    tools::{Row, TOOLS, Tool},
};
use crate::{
    interrupt, setup,
    shell::{self, command, note, workspace},
};

/// What to measure
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these measurements [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum)]
    parts: Vec<Part>,
    /// Of the tools only these
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>())]
    only: Vec<String>,
    /// Pairs of measurements of each tool
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..))]
    pairs: u16,
    /// Length of a measurement: a pair is two of them
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..))]
    batch: u64,
    /// Length of the full rate at which nothing may be lost
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    loss_seconds: u64,
    /// Length of the full rate during which the reader is stopped
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    stall_seconds: u64,
    /// CPU of the writer of frames, and that of the tools
    #[arg(long, value_name = "CPU,CPU", value_delimiter = ',', num_args = 1, default_value = "0,1")]
    cpus: Vec<usize>,
    /// Folder for recordings, in memory
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    scratch: PathBuf,
    /// Write all that was measured to this file, as JSON
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// ns a frame with each tool.
    Rate,
    /// Reader stopped: exact losses, and how fast it then drains.
    Stall,
    /// Full rate without a loss.
    Loss,
    /// Ping's round trip in a lab.
    Ping,
    /// iperf3's throughput in a lab.
    Iperf3,
    /// How long attaching and detaching take, of all that a lab's guest has.
    Attach,
}

/// Pairs of pings for each pair of other measurements: they are short, since a machine's round trips drift by a tenth within
/// seconds, and many, since what is looked for is a fiftieth.
const PING_PAIRS: usize = 25;

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Measured {
    /// Kernel release.
    pub kernel: String,
    /// ns a frame, tool by tool.
    pub rows: Vec<Row>,
    /// At full rate, the reader stopped.
    pub stall: Option<Flood>,
    /// At full rate.
    pub loss: Option<Flood>,
    /// Round trips.
    pub ping: Option<Compared>,
    /// Throughput.
    pub iperf3: Option<Compared>,
    /// Attaching and detaching.
    pub attachment: Option<Attachment>,
    /// How much of the time the writer had its CPU while frames were counted: of an idle machine all.
    pub writer_share: Option<f64>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

/// What goes to the file.
#[derive(Serialize)]
struct Written<'a> {
    measured: &'a Measured,
    /// What the pairs of each tool come to, ns a frame.
    summaries: BTreeMap<&'a str, Summary>,
    verdict: &'a [Line],
}

/// Measures, prints and judges.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // SAFETY: takes nothing, cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    ensure!(root, "taps, namespaces and BPF need root: run it as root");
    if !setup::prepare(false)? {
        return Ok(ExitCode::from(2));
    }
    let words = ["cargo", "build", "--release", "--package", "tracer", "--package", "tests", "--bins"];
    shell::run(command(&words).current_dir(workspace()))?;
    interrupt::catch();
    let measured = measure(args)?;
    let verdict = judge::judge(&measured);
    if let Some(path) = &args.output {
        let summary = |row| Row::summary(row).map(|summary| (row.name.as_str(), summary));
        let summaries = measured.rows.iter().filter_map(summary).collect();
        let written = Written { measured: &measured, summaries, verdict: &verdict };
        let json = serde_json::to_string_pretty(&written)?;
        fs::write(path, json).with_context(|| format!("failed to write {}", path.display()))?;
    }
    table::print(&measured, &verdict);
    let missed = verdict.iter().any(|line| line.ok == Some(false));
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(args: &Args) -> anyhow::Result<Measured> {
    let wanted = |part: Part| args.parts.is_empty() || args.parts.contains(&part);
    let mut bench = Bench::new(args)?;
    let mut measured = Measured { kernel: release(), ..Measured::default() };
    if wanted(Part::Rate) {
        let chosen = |tool: &&Tool| args.only.is_empty() || args.only.iter().any(|name| name == tool.name);
        for tool in TOOLS.iter().filter(chosen) {
            note(&format!("bench: {}", tool.name));
            let row = bench.row(tool).with_context(|| format!("failed to measure {}", tool.name))?;
            measured.rows.push(row);
        }
        measured.writer_share = bench.writer_share();
    }
    if wanted(Part::Stall) {
        note(&format!("bench: {} s with the reader stopped", args.stall_seconds));
        let time = Duration::from_secs(args.stall_seconds);
        measured.stall = kept(&mut measured.notes, "reader stopped", loss::stall(&mut bench, time))?;
    }
    if wanted(Part::Loss) {
        note(&format!("bench: {} s at full rate", args.loss_seconds));
        let time = Duration::from_secs(args.loss_seconds);
        measured.loss = kept(&mut measured.notes, "full rate", loss::flood(&mut bench, time))?;
    }
    if [Part::Ping, Part::Iperf3, Part::Attach].into_iter().any(wanted) {
        in_lab(&bench, &mut measured, args, &wanted)?;
    }
    Ok(measured)
}

fn in_lab(
    bench: &Bench,
    measured: &mut Measured,
    args: &Args,
    wanted: &dyn Fn(Part) -> bool,
) -> anyhow::Result<()> {
    let notes = &mut measured.notes;
    let up = Lab::up(bench, wanted(Part::Iperf3));
    let Some(lab) = kept(notes, "lab", up)? else { return Ok(()) };
    let pairs = usize::from(args.pairs);
    if wanted(Part::Attach) {
        note("bench: attaching and detaching");
        measured.attachment = kept(notes, "attach", lab.attach(bench, pairs))?;
    }
    if wanted(Part::Ping) {
        // Round trips differ from one second to the next by ten times what is looked for.
        measured.ping = kept(notes, "ping", lab.ping(bench, PING_PAIRS * pairs))?;
    }
    if wanted(Part::Iperf3) {
        measured.iperf3 = kept(notes, "iperf3", lab.iperf3(bench, pairs))?;
    }
    Ok(())
}

/// What one measurement came to; why it did not come off is noted, so that the others are still made.
fn kept<T>(notes: &mut Vec<String>, what: &str, done: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if interrupt::noted().is_some() => Err(error),
        Err(error) => {
            notes.push(format!("{what}: {error:#}"));
            Ok(None)
        }
    }
}

fn release() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}
