//! The one event loop: attaches, drains the ring into the recording, watches what could go away, and stops
//! cleanly whatever ends it. With `source` the only module that names tokio.

mod budget;
mod command;
mod prepare;
mod sink;
mod watch;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

pub use self::prepare::setup;
use self::{command::Running, prepare::Prepared, sink::Sink};
use crate::{config::RecordConfig, report::Report};

/// How often the ring is looked at. At a million records a second 128 KiB wait meanwhile.
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
    /// Events that the ring had no room for.
    pub lost: u64,
}

/// Why the loop ended.
enum Stop {
    Command(command::Ended),
    TimeIsUp,
    Interrupted,
    Gone(String),
    WriteFailed(anyhow::Error),
}

/// Records as `config` says, telling `progress` from time to time.
///
/// # Errors
/// The recording could not start; nothing stays attached. What goes wrong later is in the [`Outcome`].
pub fn record(config: &RecordConfig, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the event loop")?;
    runtime.block_on(run(config, progress))
}

async fn run(config: &RecordConfig, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    let mut signals = Signals::new()?;
    let prepared = Prepared::new(config)?;
    // Before the file is touched: a command that does not exist costs no earlier recording. What it causes meanwhile
    // waits in the ring.
    let mut running = Running::start(&config.command, &config.command_output)?;
    let mut sink = Sink::new(prepared, config)?;
    let mut gone = watch::spawn(config, sink.devices())?;
    let stop = follow(config, &mut sink, &mut signals, &mut gone, &mut running, progress).await;
    running.stop().await;
    if !matches!(stop, Stop::WriteFailed(_)) {
        linger(&mut sink).await;
    }
    Ok(finish(config, sink, stop))
}

/// Drains until something ends the recording.
async fn follow(
    config: &RecordConfig,
    sink: &mut Sink,
    signals: &mut Signals,
    gone: &mut mpsc::UnboundedReceiver<String>,
    running: &mut Running,
    progress: &mut dyn FnMut(Progress),
) -> Stop {
    let deadline = config.duration.map(|duration| Instant::now() + duration);
    let mut drain = every(DRAIN_EVERY);
    let mut flush = every(FLUSH_EVERY);
    loop {
        let step = tokio::select! {
            _ = drain.tick() => sink.drain(),
            _ = flush.tick() => sink.flush().map(|()| progress(sink.progress())),
            ended = running.wait() => return Stop::Command(ended),
            () = until(deadline) => return Stop::TimeIsUp,
            () = signals.any() => return Stop::Interrupted,
            Some(what) = gone.recv() => return Stop::Gone(what),
        };
        if let Err(error) = step {
            return Stop::WriteFailed(error);
        }
    }
}

/// Follows the frames that are on their way.
async fn linger(sink: &mut Sink) {
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

fn finish(config: &RecordConfig, sink: Sink, stop: Stop) -> Outcome {
    let (end, reason, failed) = match stop {
        Stop::Command(ended) => (End::Command, ended.to_string(), ended.failed()),
        Stop::TimeIsUp => (End::Time, "the time was up".to_owned(), false),
        Stop::Interrupted => (End::Interrupt, "interrupted".to_owned(), false),
        Stop::Gone(what) => {
            (End::Gone, format!("{what}: the recording ends there; what was recorded is kept"), true)
        }
        Stop::WriteFailed(error) => (End::Write, unwritten(config, &error), true),
    };
    let path = config.output.clone();
    match sink.close(&reason, failed) {
        Ok(()) => Outcome { path, reason, failed, end },
        Err(_) if failed => Outcome { path, reason, failed, end },
        Err(error) => Outcome { path, reason: unwritten(config, &error), failed: true, end: End::Write },
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
