//! From what was typed to what will be done: validated, with the VMs and devices found.
//!
//! Not in here: whether this host can record at all (`preflight`), which hooks are used (`plan`).

#[doc(hidden)]
pub mod fuzz;
mod histogram;
mod hooks;
mod hops;
mod live;
mod output;
mod sample;
mod select;
mod size;
mod watch;

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tracer_common::{
    filter::Clause,
    hop::{Hook, Hop},
};

pub use self::{
    sample::{LARGEST as LARGEST_SAMPLE, SampleWish},
    watch::WatchConfig,
};
use crate::{
    cli::{LiveArgs, RecordArgs, TraceArgs},
    correlate::Limits,
    live::Window,
    plan::{Wishes, chains::Case},
    preflight,
    probe::{BufferMode, Buffers},
    profile::{self, Definition},
    recording::Mode,
    topology::{Topology, Vm},
};

/// What is to be traced, and how.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// The VMs to trace; with `--nic`, the NICs of their taps are those named.
    pub vms: Vec<Vm>,
    /// All VMs of the host, as found.
    pub topology: Topology,
    /// The filter: as typed, empty for none, and as the kernel evaluates it.
    pub filter: (String, Vec<Clause>),
    /// What the user wants of the plan.
    pub wishes: Wishes,
    /// File with this kernel's BTF, where it is not the kernel's own.
    pub btf: Option<PathBuf>,
    /// Bytes of the buffers between the kernel and vmhop: a power of two and a multiple of the page.
    pub ring_bytes: u32,
    /// Which buffers they are.
    pub buffer_mode: BufferMode,
    /// What leaves the kernel.
    pub mode: Mode,
    /// Cases that programs are attached for beside those of the VMs.
    pub cases: BTreeSet<Case>,
    /// vCPUs on KVM that may come later, and are to have accounts then.
    pub vcpu_room: u32,
    /// Which part of the frames to record; none for all.
    pub sample: Option<SampleWish>,
    /// How often `-v` was given.
    pub verbose: u8,
}

/// A recording to make.
#[derive(Clone, Debug)]
pub struct RecordConfig {
    /// What is traced.
    pub trace: TraceConfig,
    /// When to stop; none for at the command's end or an interrupt.
    pub duration: Option<Duration>,
    /// Where to record to.
    pub output: PathBuf,
    /// The command to run meanwhile, its arguments behind it; empty for none.
    pub command: Vec<OsString>,
    /// Where its output goes.
    pub command_output: CommandOutput,
    /// Whether the report at the end is JSON.
    pub json: bool,
}

/// A view to show.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// What is traced.
    pub trace: TraceConfig,
    /// Where to record to meanwhile; none for nowhere.
    pub output: Option<PathBuf>,
    /// Of how long a time the figures are.
    pub window: Window,
    /// How often to draw.
    pub interval: Duration,
}

/// Where the output of the command goes that runs meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutput {
    /// Where vmhop's own goes.
    Inherited,
    /// To standard error, so that standard output holds the report alone.
    Apart,
    /// Both of it to a file; the command then has no input.
    File(PathBuf),
}

impl TraceConfig {
    fn new(typed: TypedTrace, args: &TraceArgs, verbose: u8) -> Result<TraceConfig> {
        preflight::require(args.btf.is_some())?;
        let topology = Topology::discover()?;
        let mut vms = select::vms(&topology, &args.vms)?;
        select::use_nics(&mut vms, &args.nics)?;
        let TypedTrace { filter, ring_bytes, sample, hooks, user_hops, only } = typed;
        let mode = args.mode.unwrap_or_default();
        let wishes = Wishes { xdp: args.xdp, hooks, user_hops, only, mode };
        let (btf, buffer_mode) = (args.btf.clone(), args.buffers);
        let (cases, vcpu_room) = (BTreeSet::new(), 0);
        Ok(TraceConfig {
            vms,
            topology,
            filter,
            wishes,
            btf,
            ring_bytes,
            buffer_mode,
            mode,
            cases,
            vcpu_room,
            sample,
            verbose,
        })
    }

    /// Where the programs leave their records.
    ///
    /// # Errors
    /// Buffers that this kernel does not have.
    pub fn buffers(&self) -> Result<Buffers> {
        match self.mode {
            Mode::Stream => Buffers::new(self.buffer_mode, self.ring_bytes),
            Mode::Histogram => Ok(Buffers::histograms()),
        }
    }
}

impl RecordConfig {
    /// Validates what was typed and finds what it names on this host: first the words, then whether the host
    /// can record, then the VMs.
    ///
    /// # Errors
    /// A word that means nothing, a host that cannot record, a VM or device that does not exist; each with its
    /// remedy.
    pub fn from_args(args: &RecordArgs, verbose: u8) -> Result<RecordConfig> {
        let typed = TypedTrace::parse(&args.trace, args.trace.mode.unwrap_or_default())?;
        let duration = args.duration.as_deref().map(|typed| duration("--duration", typed)).transpose()?;
        let output = output::choose(args.output.as_deref(), args.force)?;
        let (command, json) = (args.command.clone(), args.json);
        Ok(RecordConfig {
            trace: TraceConfig::new(typed, &args.trace, verbose)?,
            duration,
            output,
            command,
            command_output: if json { CommandOutput::Apart } else { CommandOutput::Inherited },
            json,
        })
    }
}

impl LiveConfig {
    /// As [`RecordConfig::from_args`].
    ///
    /// # Errors
    /// As [`RecordConfig::from_args`].
    pub fn from_args(args: &LiveArgs, verbose: u8) -> Result<LiveConfig> {
        ensure!(
            args.trace.mode.unwrap_or_default() == Mode::Stream,
            "the live view is made of single frames, which histogram mode does not have: leave out --mode histogram"
        );
        let typed = TypedTrace::parse(&args.trace, args.trace.mode.unwrap_or_default())?;
        let (window, interval) = (live::window(&args.window)?, live::interval(&args.interval)?);
        let chosen = args.output.as_deref().map(|path| output::choose(Some(path), args.force));
        let output = chosen.transpose()?;
        Ok(LiveConfig { trace: TraceConfig::new(typed, &args.trace, verbose)?, output, window, interval })
    }
}

/// The limits of a report, from `--limit-frames`.
///
/// # Errors
/// What was typed is no number of frames.
pub fn limits(limit_frames: &str) -> Result<Limits> {
    Ok(Limits::of_frames(size::frames(limit_frames)?))
}

/// What can be validated without looking at the host's VMs.
#[derive(Debug)]
struct TypedTrace {
    filter: (String, Vec<Clause>),
    ring_bytes: u32,
    sample: Option<SampleWish>,
    hooks: Vec<(Hop, Hook)>,
    user_hops: Vec<Definition>,
    only: Vec<Hop>,
}

impl TypedTrace {
    /// `mode` is that of `args`, or the command's own.
    fn parse(args: &TraceArgs, mode: Mode) -> Result<TypedTrace> {
        if mode == Mode::Histogram {
            histogram::check(args)?;
        }
        Ok(TypedTrace {
            filter: filter(args.filter.as_deref())?,
            ring_bytes: size::ring_bytes(&args.ring_size)?,
            sample: sample::wish(args.sample.as_deref(), args.budget.as_deref())?,
            hooks: args.hooks.iter().map(|typed| hooks::wish(typed)).collect::<Result<_>>()?,
            only: args.only.iter().map(|typed| hops::named(typed)).collect::<Result<_>>()?,
            user_hops: profile::gather(&args.own.hops, &args.own.profiles)?,
        })
    }
}

/// Reads `--filter`. The one place that knows the filter's parser.
fn filter(typed: Option<&str>) -> Result<(String, Vec<Clause>)> {
    let Some(text) = typed else { return Ok((String::new(), Vec::new())) };
    let filter = crate::filter::parse(text)?;
    Ok((filter.text, filter.clauses))
}

/// Reads a duration given with `option`.
fn duration(option: &str, typed: &str) -> Result<Duration> {
    let duration = humantime::parse_duration(typed)
        .with_context(|| format!("{option} `{typed}` is no duration, such as 500ms, 10s or 2m"))?;
    ensure!(!duration.is_zero(), "{option} `{typed}` is no time at all: give 500ms, 10s, 2m");
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit_and_some_length() {
        assert_eq!(duration("--every", "500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("--every", "2m").unwrap(), Duration::from_secs(120));
        for wrong in ["10", "ten", "", "-1s", "0s", "10 parsecs"] {
            let error = format!("{:#}", duration("--every", wrong).unwrap_err());
            assert!(error.starts_with(&format!("--every `{wrong}`")) && error.contains("10s"), "{error}");
        }
    }
}
