//! The one event loop: attaches, drains the ring into a recording or another target, watches what could go away, and
//! stops cleanly whatever ends it. With `source` the only module that names tokio.

mod budget;
mod command;
mod follow_vms;
mod pace;
mod prepare;
mod sink;
mod target;
mod watch;

use std::{
    ffi::OsString,
    fs::File,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{command::Running, prepare::Prepared, sink::Sink};
pub use self::{
    follow_vms::{Stopped, Told, watch},
    prepare::setup,
    target::{Target, Turn},
};
use crate::{
    config::{CommandOutput, RecordConfig, TraceConfig},
    record::RecordWriter,
    recording::Header,
    report::Report,
};

/// How often the buffers are looked at when a session winds up.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// How often what was drained goes to the file, and progress is told.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// How long frames that are on their way when the recording ends are still followed.
const LINGER: Duration = Duration::from_millis(100);

/// What a recording came to.
#[derive(Debug)]
pub struct Outcome {
    /// The file.
    pub path: PathBuf,
    /// Why it ended.
    pub reason: String,
    /// Whether that was a failure; what was recorded before is kept.
    pub failed: bool,
    /// What ended it.
    pub end: End,
}

/// What ends a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The command that ran meanwhile.
    Command,
    /// `--duration`.
    Time,
    /// Ctrl-C and its like.
    Interrupt,
    /// A device or VM that went away.
    Gone,
    /// A recording that could not be written.
    Write,
}

impl Outcome {
    /// What the exit code must tell: a failure, or that there was nothing to measure.
    pub fn verdict(&self, report: &Report) -> Option<String> {
        if self.failed {
            return Some(self.reason.clone());
        }
        let frames = report.passages.count > 0;
        let remedy = "send some traffic meanwhile, or look at `vmhop topology` and at the filter";
        let vms = report.recording.vms.join(", ");
        (!frames).then(|| format!("no frame of {vms} passed while recording: {remedy}"))
    }
}

/// How a recording stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since it started.
    pub elapsed: Duration,
    /// Frames that entered from, or went to, a guest.
    pub frames: u64,
    /// Records.
    pub events: u64,
    /// Events that the buffers had no room for.
    pub lost: u64,
}

/// What a session came to that kept no recording of its own.
#[derive(Debug)]
pub struct Ended {
    /// Why it ended.
    pub reason: String,
    /// Whether that was a failure.
    pub failed: bool,
}

/// Why the loop ended.
enum Stop {
    Command(command::Ended),
    TimeIsUp,
    Interrupted,
    Gone(String),
    /// The target wanted it.
    Target,
    WriteFailed(anyhow::Error),
}

/// What a session does.
struct Task<'a> {
    trace: &'a TraceConfig,
    command: &'a [OsString],
    command_output: &'a CommandOutput,
    duration: Option<Duration>,
    /// What becomes of what was seen, where something went away.
    kept: &'static str,
}

/// Records as `config` says, telling `progress` from time to time.
///
/// # Errors
/// The recording could not start; nothing stays attached. What goes wrong later is in the [`Outcome`].
pub fn record(config: &RecordConfig, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    let RecordConfig { trace, command, command_output, duration, .. } = config;
    let begin = |header: &Header| create(&config.output, header);
    let kept = ": the recording ends there; what was recorded is kept";
    let task = Task { trace, command, command_output, duration: *duration, kept };
    let (stop, closed) = run(&task, begin, progress)?;
    Ok(outcome(config, &task, &stop, closed))
}

/// Hands what is traced to the target that `begin` makes, once the programs are attached, until that ends it.
///
/// # Errors
/// It could not start; nothing stays attached. What goes wrong later is in what it returns.
pub fn follow<T: Target>(config: &TraceConfig, begin: impl FnOnce(&Header) -> Result<T>) -> Result<Ended> {
    let command_output = &CommandOutput::Inherited;
    let task = Task { trace: config, command: &[], command_output, duration: None, kept: "" };
    let (stop, closed) = run(&task, begin, &mut |_| {})?;
    let (_, reason, failed) = told(&task, &stop);
    Ok(match closed {
        Err(error) if !failed => Ended { reason: format!("{error:#}"), failed: true },
        _ => Ended { reason, failed },
    })
}

/// Creates the file of a recording.
///
/// # Errors
/// It cannot be written.
pub(crate) fn create(path: &Path, header: &Header) -> Result<RecordWriter<File>> {
    let file = File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
    RecordWriter::create(file, header).with_context(|| format!("failed to write {}", path.display()))
}

/// Runs a session to its end: why it ended, and whether what was left could be kept.
fn run<T: Target>(
    task: &Task<'_>,
    begin: impl FnOnce(&Header) -> Result<T>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Stop, Result<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the event loop")?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let prepared = Prepared::new(task.trace, task.command)?;
        // Before the file is touched: a command that does not exist costs no earlier recording. What it causes
        // meanwhile waits in the ring.
        let mut running = Running::start(task.command, task.command_output)?;
        let mut sink = Sink::new(prepared, task.trace.verbose, begin)?;
        let mut gone = watch::spawn(task.trace, sink.devices())?;
        let stop = drain(task, &mut sink, &mut signals, &mut gone, &mut running, progress).await;
        sink.ended();
        running.stop().await;
        if !matches!(stop, Stop::WriteFailed(_)) {
            linger(&mut sink).await;
        }
        let (_, reason, failed) = told(task, &stop);
        let closed = sink.close(&reason, failed);
        Ok((stop, closed))
    })
}

/// Drains until something ends the session.
async fn drain<T: Target>(
    task: &Task<'_>,
    sink: &mut Sink<T>,
    signals: &mut Signals,
    gone: &mut mpsc::UnboundedReceiver<String>,
    running: &mut Running,
    progress: &mut dyn FnMut(Progress),
) -> Stop {
    let deadline = task.duration.map(|duration| Instant::now() + duration);
    let mut flush = every(FLUSH_EVERY);
    let mut next = Instant::now();
    loop {
        let step = tokio::select! {
            () = sleep_until(next) => sink.drain().and_then(|wait| {
                next = Instant::now() + wait;
                sink.turn()
            }),
            _ = flush.tick() => sink.flush().map(|()| {
                progress(sink.progress());
                ControlFlow::Continue(())
            }),
            ended = running.wait() => return Stop::Command(ended),
            () = until(deadline) => return Stop::TimeIsUp,
            () = signals.any() => return Stop::Interrupted,
            Some(what) = gone.recv() => return Stop::Gone(what),
        };
        match step {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Stop::Target,
            Err(error) => return Stop::WriteFailed(error),
        }
    }
}

/// Follows the frames that are on their way.
async fn linger<T: Target>(sink: &mut Sink<T>) {
    let end = Instant::now() + LINGER;
    let mut drain = every(DRAIN_EVERY);
    while Instant::now() < end {
        drain.tick().await;
        // A failure shows again when the recording is closed.
        if sink.drain().is_err() {
            return;
        }
    }
}

/// What ended a session, in words, and whether that is a failure.
fn told(task: &Task<'_>, stop: &Stop) -> (End, String, bool) {
    match stop {
        Stop::Command(ended) => (End::Command, ended.to_string(), ended.failed()),
        Stop::TimeIsUp => (End::Time, "the time was up".to_owned(), false),
        Stop::Interrupted | Stop::Target => (End::Interrupt, "interrupted".to_owned(), false),
        Stop::Gone(what) => (End::Gone, format!("{what}{}", task.kept), true),
        Stop::WriteFailed(error) => (End::Write, format!("{error:#}"), true),
    }
}

fn outcome(config: &RecordConfig, task: &Task<'_>, stop: &Stop, closed: Result<()>) -> Outcome {
    let (end, reason, failed) = told(task, stop);
    let path = config.output.clone();
    match (stop, closed) {
        (Stop::WriteFailed(error), _) => Outcome { path, reason: unwritten(config, error), failed, end },
        (_, Err(error)) if !failed => {
            Outcome { path, reason: unwritten(config, &error), failed: true, end: End::Write }
        }
        _ => Outcome { path, reason, failed, end },
    }
}

fn unwritten(config: &RecordConfig, error: &anyhow::Error) -> String {
    let path = config.output.display();
    format!(
        "{path} could not be written any further ({error:#}): what was written before is kept; make room, or name another place with -o"
    )
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The signals that end a recording cleanly.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
