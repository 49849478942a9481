//! The line on standard error that tells how a recording stands. On a terminal it is written over again and
//! again; elsewhere only its beginning and end are told.

use std::io::{self, IsTerminal as _, Write as _};

use crate::session::{Outcome, Progress};

/// The line.
pub struct LiveLine {
    terminal: bool,
    shown: bool,
}

impl LiveLine {
    /// A line that has not been written yet.
    pub fn new() -> LiveLine {
        LiveLine { terminal: io::stderr().is_terminal(), shown: false }
    }

    /// Shows how the recording stands.
    pub fn show(&mut self, progress: &Progress) {
        if !self.terminal {
            if !self.shown {
                say(format_args!("recording; Ctrl-C stops\n"));
            }
            self.shown = true;
            return;
        }
        self.shown = true;
        let Progress { elapsed, frames, events, lost } = progress;
        let seconds = elapsed.as_secs_f64();
        say(format_args!(
            "\r\x1b[Krecording {seconds:.1} s: {frames} frames, {events} events, {lost} lost; Ctrl-C stops"
        ));
    }

    /// Ends the line and says what came of it.
    pub fn end(&mut self, outcome: &Outcome) {
        let clear = if self.terminal && self.shown { "\r\x1b[K" } else { "" };
        say(format_args!("{clear}recorded to {}: {}\n", outcome.path.display(), outcome.reason));
    }
}

impl Default for LiveLine {
    fn default() -> LiveLine {
        LiveLine::new()
    }
}

/// Standard error may be closed; then nobody wants to know.
fn say(text: std::fmt::Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}
