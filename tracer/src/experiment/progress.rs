//! How an experiment stands, as plain data for who shows it.

use std::time::Duration;

/// How an experiment stands, for who watches it.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// It begins.
    Begins {
        /// Runs to do.
        runs: usize,
        /// Runs that were done before an interruption.
        done: usize,
        /// About how long it will take.
        expected: Duration,
    },
    /// A lab is being made.
    Lab {
        /// Its network.
        network: &'a str,
    },
    /// Runs that only warm up.
    WarmUp {
        /// How many.
        runs: usize,
    },
    /// A run begins.
    Run {
        /// Its number, from 1 on.
        number: usize,
        /// Of how many.
        of: usize,
        /// What it is.
        title: &'a str,
        /// About how long is left for all.
        left: Duration,
    },
    /// A run has failed.
    Failed {
        /// What it was.
        title: &'a str,
        /// Why.
        why: &'a str,
    },
    /// All runs are over, or none goes on.
    Ends,
}

/// What an experiment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs that were done, now or before.
    pub done: usize,
    /// Runs that failed.
    pub failed: usize,
    /// Runs that are still to do.
    pub left: usize,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
}
