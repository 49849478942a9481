//! Takes the figures of closed recordings, in a thread of its own: it may take as long as recording did. Where it takes
//! longer, recordings are left out as a whole, and counted.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use anyhow::{Context as _, Result};

use super::board::Board;
use crate::{
    analysis::{Unobserved, analyse_with},
    correlate::Limits,
    record::RecordReader,
};

/// Recordings that may wait.
const WAITING: usize = 2;
/// Frames on their way at once that there is memory for.
const FRAMES: usize = 64 << 10;

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
    pub(super) fn start(board: Arc<Board>, deletes: bool) -> Result<Analyst> {
        let (recordings, waiting) = sync_channel(WAITING);
        let work = move || run(&waiting, &board, deletes);
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
                let (std::sync::mpsc::TrySendError::Full(path)
                | std::sync::mpsc::TrySendError::Disconnected(path)) = refused;
                if self.deletes {
                    delete(&path);
                }
                false
            }
        }
    }
}

fn run(waiting: &Receiver<PathBuf>, board: &Board, deletes: bool) {
    for path in waiting {
        let analyse = || {
            let mut reader = RecordReader::open(&path)?;
            analyse_with(&mut reader, Limits::of_frames(FRAMES), &mut Unobserved)
        };
        match analyse() {
            Ok(report) => board.add(report),
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
