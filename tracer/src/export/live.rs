//! The line on standard error that tells how a recording stands. On a terminal it is written over again and
//! again; elsewhere only its beginning and end are told.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use crate::{
    experiment::Step,
    session::{Outcome, Progress},
    topology::printable,
};

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

/// Tells how an experiment stands: on a terminal one line that is written over, elsewhere a line for each run.
pub struct ExperimentLine {
    terminal: bool,
}

impl ExperimentLine {
    /// A line that has not been written yet.
    pub fn new() -> ExperimentLine {
        ExperimentLine { terminal: io::stderr().is_terminal() }
    }

    /// Shows the next step.
    pub fn show(&mut self, step: &Step<'_>) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        match step {
            Step::Begins { runs, done, expected } => {
                let before = if *done > 0 { format!(", {done} are done already") } else { String::new() };
                say(format_args!(
                    "{runs} runs{before}; about {}; Ctrl-C stops, --resume goes on\n",
                    about(*expected)
                ));
            }
            Step::Lab { network } => say(format_args!("{clear}network {network}\n")),
            Step::WarmUp { runs } => say(format_args!("{clear}warming up: {runs} runs\n")),
            Step::Run { number, of, title, left } => {
                let end = if self.terminal { "" } else { "\n" };
                say(format_args!("{clear}[{number}/{of}] {title}; about {} left{end}", about(*left)));
            }
            Step::Failed { title, why } => say(format_args!("{clear}FAILED {title}: {}\n", printable(why))),
            Step::Ends => say(format_args!("{clear}")),
        }
    }
}

impl Default for ExperimentLine {
    fn default() -> ExperimentLine {
        ExperimentLine::new()
    }
}

/// A duration to the second, or to the minute where it is long.
fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..90 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

/// Standard error may be closed; then nobody wants to know.
fn say(text: std::fmt::Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}
