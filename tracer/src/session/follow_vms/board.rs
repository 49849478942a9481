//! What a watch shows to whoever asks, from whichever thread: a copy is taken, so that nobody who reads slowly holds it up.

use std::sync::{Mutex, PoisonError};

use crate::{
    export::openmetrics,
    report::{Report, WatchState},
};

/// Gives the report of a watch so far; none before there is one. What it counts must not fall from one time to the next.
pub(super) type Feed = Box<dyn Fn() -> Option<Report> + Send + Sync>;

/// The board.
pub(super) struct Board {
    state: Mutex<WatchState>,
    feed: Feed,
}

impl Board {
    /// A board that asks there for the report.
    pub(super) fn fed_by(feed: Feed) -> Board {
        Board { state: Mutex::default(), feed }
    }

    /// Shows how the watch stands.
    pub(super) fn show(&self, state: &WatchState) {
        // What is behind the lock is replaced as a whole, so that it is never half.
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
    }

    /// All of it as OpenMetrics text.
    pub(super) fn text(&self) -> std::io::Result<Vec<u8>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = Vec::new();
        openmetrics::write_watch(state, (self.feed)(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_report_it_says_how_the_watch_stands() {
        let board = Board::fed_by(Box::new(|| None));
        board.show(&WatchState { vms: 3, ..WatchState::default() });
        let text = String::from_utf8(board.text().unwrap()).unwrap();
        assert!(text.contains("\nvmhop_watch_vms 3") && text.ends_with("# EOF\n"), "{text}");
        assert!(!text.contains("vmhop_exchanges"), "{text}");
    }
}
