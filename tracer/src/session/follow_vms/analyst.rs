//! Takes the figures of closed recordings, and adds them up, in a thread of its own: it may take as long as recording did. Where
//! it takes longer, recordings are left out as a whole, and counted.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use anyhow::{Context as _, Result};

use crate::{
    analysis::{Unobserved, analyse_with},
    correlate::Limits,
    record::RecordReader,
    report::Report,
};

/// Recordings that may wait.
const WAITING: usize = 2;
/// Frames on their way at once that there is memory for.
const FRAMES: usize = 64 << 10;

/// The figures of the recordings so far.
#[derive(Default)]
pub(super) struct Sum {
    report: Mutex<Option<Report>>,
    recordings: AtomicU64,
}

impl Sum {
    /// The report of all of them; none before the first.
    pub(super) fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many they are.
    pub(super) fn recordings(&self) -> u64 {
        self.recordings.load(Ordering::Relaxed)
    }

    fn add(&self, later: Report) {
        let mut sum = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sum {
            Some(report) => report.add(later),
            None => *sum = Some(later),
        }
        self.recordings.fetch_add(1, Ordering::Relaxed);
    }
}

/// The analyst. Dropping it leaves what waits undone.
pub(super) struct Analyst {
    recordings: SyncSender<PathBuf>,
    /// Whether a recording is of no more use when its figures have been taken.
    deletes: bool,
}

impl Analyst {
    /// Starts it.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(sum: Arc<Sum>, deletes: bool) -> Result<Analyst> {
        let (recordings, waiting) = sync_channel(WAITING);
        let work = move || run(&waiting, &sum, deletes);
        thread::Builder::new()
            .name("analyst".to_owned())
            .spawn(work)
            .context("failed to start the analyst")?;
        Ok(Analyst { recordings, deletes })
    }

    /// Hands over a closed recording; false where it will not be looked at.
    pub(super) fn hand(&self, recording: PathBuf) -> bool {
        match self.recordings.try_send(recording) {
            Ok(()) => true,
            Err(refused) => {
                let (TrySendError::Full(path) | TrySendError::Disconnected(path)) = refused;
                if self.deletes {
                    delete(&path);
                }
                false
            }
        }
    }
}

fn run(waiting: &Receiver<PathBuf>, sum: &Sum, deletes: bool) {
    for path in waiting {
        let analyse = || {
            let mut reader = RecordReader::open(&path)?;
            analyse_with(&mut reader, Limits::of_frames(FRAMES), &mut Unobserved)
        };
        match analyse() {
            Ok(report) => sum.add(report),
            Err(error) => log::warn!("the figures of a recording are left out: {error}"),
        }
        if deletes {
            delete(&path);
        }
    }
}

fn delete(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        log::warn!("failed to delete {}: {error}", path.display());
    }
}
