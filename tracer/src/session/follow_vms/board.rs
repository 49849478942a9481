//! What a watch shows to whoever asks, from whichever thread: a copy is taken, so that nobody who reads slowly holds it up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    export::openmetrics,
    report::{Report, WatchState},
};

/// The board.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Shown>);

#[derive(Clone, Debug, Default)]
struct Shown {
    state: WatchState,
    report: Option<Report>,
    analysed: u64,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        // What is behind it is replaced as a whole, so that it is never half.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows how the watch stands.
    pub(super) fn show(&self, state: &WatchState) {
        self.lock().state = state.clone();
    }

    /// Adds the report of another recording.
    pub(super) fn add(&self, later: Report) {
        let mut shown = self.lock();
        shown.analysed += 1;
        match &mut shown.report {
            Some(report) => report.add(later),
            None => shown.report = Some(later),
        }
    }

    /// All of it as OpenMetrics text.
    pub(super) fn text(&self) -> std::io::Result<Vec<u8>> {
        let Shown { mut state, report, analysed } = self.lock().clone();
        state.analysed = analysed;
        let mut text = Vec::new();
        openmetrics::write_watch(&state, report.as_ref(), &mut text)?;
        Ok(text)
    }
}
