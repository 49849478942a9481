//! Puts the events of several CPUs into the order of their time.
//!
//! A program takes its time stamp before it reserves its record, so a record may stand behind one of another
//! CPU that is younger. By how much is bounded by how long a program can be interrupted.
//!
//! Events wait in runs, each in the order of time: an event goes to the end of the first run that it does not come
//! before, else it begins a run of its own (patience sorting). So the last events of the runs fall from run to run, and
//! what comes nearly in order, as it does from a few CPUs, makes a few runs: taking the first of their first events is
//! then cheaper than keeping a heap. Of events of equal time the one that came first stands in the earlier run, since
//! what kept it out of that run kept out the later one as well.

use std::collections::VecDeque;

use crate::decode::Event;

/// How far, in event time, a record may lag behind the youngest one before it.
pub const SLACK_NS: u64 = 5_000_000;

/// Orders events by time, those of equal time as they came.
#[derive(Debug, Default)]
pub struct Reorder {
    /// None of them is empty.
    runs: Vec<VecDeque<Event>>,
    /// By run: the times of its first and of its last event.
    firsts: Vec<u64>,
    lasts: Vec<u64>,
    /// The run with the next event, where there is one.
    next: usize,
    /// Empty runs, for their memory.
    spare: Vec<VecDeque<Event>>,
    newest_ns: u64,
    released_ns: u64,
    /// Events that came after a younger one had been released; they go out at once, out of order.
    pub late: u64,
}

impl Reorder {
    /// Takes an event in.
    pub fn push(&mut self, event: Event) {
        let time_ns = event.time_ns;
        self.late += u64::from(time_ns < self.released_ns);
        self.newest_ns = self.newest_ns.max(time_ns);
        if let Some(run) = self.lasts.iter().position(|last_ns| *last_ns <= time_ns) {
            self.lasts[run] = time_ns;
            self.runs[run].push_back(event);
            return;
        }
        let mut run = self.spare.pop().unwrap_or_default();
        run.push_back(event);
        self.runs.push(run);
        self.firsts.push(time_ns);
        self.lasts.push(time_ns);
        if time_ns < self.firsts[self.next] {
            self.next = self.runs.len() - 1;
        }
    }

    /// The next event, if nothing can come before it any more.
    pub fn due(&self) -> Option<&Event> {
        let first_ns = *self.firsts.get(self.next)?;
        if first_ns.saturating_add(SLACK_NS) > self.newest_ns { None } else { self.first() }
    }

    /// The next event, if no more will be pushed.
    pub fn first(&self) -> Option<&Event> {
        self.runs.get(self.next)?.front()
    }

    /// Lets the next event go.
    pub fn pop(&mut self) {
        let Some(run) = self.runs.get_mut(self.next) else { return };
        self.released_ns = self.released_ns.max(self.firsts[self.next]);
        run.pop_front();
        match run.front() {
            Some(first) => self.firsts[self.next] = first.time_ns,
            None => self.end_run(self.next),
        }
        self.find_next();
    }

    fn end_run(&mut self, run: usize) {
        self.spare.push(self.runs.remove(run));
        self.firsts.remove(run);
        self.lasts.remove(run);
    }

    /// The first of those runs that begin first.
    fn find_next(&mut self) {
        let mut oldest_ns = u64::MAX;
        self.next = 0;
        for (run, &first_ns) in self.firsts.iter().enumerate() {
            if first_ns < oldest_ns {
                (self.next, oldest_ns) = (run, first_ns);
            }
        }
    }
}
