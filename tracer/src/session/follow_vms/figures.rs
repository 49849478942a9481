//! Where the figures of a watch come from. Serving and printing, looking for VMs, and the attached programs know nothing of it:
//! they hand on what they have, and the board asks the [`Feed`].
//!
//! There are two. [`Snapshots`] are of histogram mode: the report is made of what the programs have counted. [`Recordings`] are
//! of the other: what programs send is written to files, and each file's report is added to those before it.

use anyhow::Result;

use super::{
    board::Feed,
    recordings::Recordings,
    snapshots::Snapshots,
    tracing::{Counted, Tracing},
};
use crate::{
    config::WatchConfig,
    decode::Record,
    recording::{Came, Header, Mode},
    report::WatchState,
};

/// A source of figures. The watch calls it from its event loop.
pub(super) trait Figures {
    /// What the board asks for the report, from other threads.
    fn feed(&self) -> Feed;

    /// Begins a part, of which `header` tells and `notes` say what could not be done; `start` is what its programs had counted
    /// before. The part before, where there was one, ends for this reason.
    ///
    /// # Errors
    /// What was seen cannot be kept; that ends the watch.
    fn begin(&mut self, reason: &str, header: &Header, notes: &[String], start: Counted) -> Result<()>;

    /// Takes a record of the attached programs.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn record(&mut self, record: Record) -> Result<()>;

    /// Takes news: a sentence, and what came.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn tell(&mut self, text: String, came: Option<Came>) -> Result<()>;

    /// The programs have been counted, as once a second, or for the last time after they were detached.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn count(&mut self, tracing: &Tracing) -> Result<()>;

    /// Keeps what was taken, several times a second; says why another part is to begin, where it is time.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn flush(&mut self) -> Result<Option<&'static str>>;

    /// The watch ends, for this reason.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn end(&mut self, reason: &str) -> Result<()>;

    /// Shows what became of the parts so far.
    fn show(&self, state: &mut WatchState);
}

/// The source that is asked for.
///
/// # Errors
/// There is no place for recordings.
pub(super) fn open(config: &WatchConfig) -> Result<Box<dyn Figures>> {
    Ok(match config.trace.mode {
        Mode::Histogram => Box::new(Snapshots::open(config)?),
        Mode::Stream => Box::new(Recordings::open(config)?),
    })
}
