//! A watch: traces until it is stopped, while VMs come and go, and recordings follow one another.
//!
//! - What is watched changes by map updates under the attached programs ([`tracing`]). A VM of a kind that they were not
//!   planned for, the first one on KVM say, has others attached; only then are those before it detached, and what either saw is
//!   told apart by the moment at which the new ones were complete ([`watcher`]).
//! - A recording ends and another begins between two records of the buffers: each record is in exactly one of them. A frame that
//!   is on its way at that moment has a part in each, which both report as a passage of which an end was not seen.
//! - What is shown is on the [`board`]: counters at once, and the report that the source of [`figures`] gives, of closed
//!   [`recordings`] say.
//!
//! Memory is bounded: by 255 devices, 256 VMs, the rows of a report, and what an analysis is allowed.

mod analyst;
mod board;
mod figures;
mod file;
mod folder;
mod news;
mod recordings;
mod scan;
mod serve;
mod snapshots;
mod tracing;
mod watcher;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};

use self::{board::Board, scan::Scans, watcher::Watcher};
use super::Signals;
use crate::{config::WatchConfig, report::WatchState};

/// What a watch has to say meanwhile.
#[derive(Debug)]
pub enum Told<'a> {
    /// It is served here.
    Serving(SocketAddr),
    /// The programs are attached.
    Watching {
        /// VMs there are.
        vms: usize,
    },
    /// Something came, went or could not be done: a sentence, with names that others chose.
    News(&'a str),
    /// The figures, as OpenMetrics text; it was time to print them.
    Figures(&'a [u8]),
}

/// What a watch came to.
#[derive(Debug)]
pub struct Stopped {
    /// Why it stopped.
    pub reason: String,
    /// Whether that was a failure.
    pub failed: bool,
    /// How it stood.
    pub state: WatchState,
    /// Where its recordings are kept.
    pub folder: Option<PathBuf>,
}

/// Watches as `config` says. `told` says whether somebody listens still; where figures find nobody, the watch ends.
///
/// # Errors
/// The watch could not start; nothing stays attached. What goes wrong later is in [`Stopped`].
pub fn watch(config: &WatchConfig, told: &mut dyn FnMut(Told<'_>) -> bool) -> Result<Stopped> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the event loop")?;
    let stopped = runtime.block_on(run(config, told));
    // Programs that are being attached are attached to the end, and then detached: nobody waits for that.
    runtime.shutdown_background();
    stopped
}

async fn run(config: &WatchConfig, told: &mut dyn FnMut(Told<'_>) -> bool) -> Result<Stopped> {
    let mut signals = Signals::new()?;
    let figures = figures::open(config)?;
    let board = Arc::new(Board::fed_by(figures.feed()));
    if let Some(address) = config.listen {
        told(Told::Serving(serve::start(address, board.clone())?));
    }
    let scans = Arc::new(Scans::default());
    let mut watcher = Watcher::start(config, figures, board, scans.clone(), told)?;
    let mut found = scan::start(config, scans)?;
    let ended = watcher.follow(&mut signals, &mut found).await;
    Ok(watcher.stop(ended).await)
}
