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
#[derive(Debug)]
pub struct Reorder {
    most: usize,
    waiting: usize,
    /// None of them is empty.
    runs: Vec<VecDeque<Event>>,
    /// By run: the times of its first and of its last event.
    firsts: Vec<u64>,
    lasts: Vec<u64>,
    /// The run with the next event, where there is one.
    next: usize,
    /// An empty run, for its memory: where there are many, each of them is short.
    spare: Option<VecDeque<Event>>,
    newest_ns: u64,
    released_ns: u64,
    /// Events that came after a younger one had been released; they go out at once, out of order.
    pub late: u64,
}

impl Reorder {
    /// Of more than `most` events the first one goes out, whether or not one can still come before it.
    pub fn new(most: usize) -> Reorder {
        Reorder {
            most,
            waiting: 0,
            runs: Vec::new(),
            firsts: Vec::new(),
            lasts: Vec::new(),
            next: 0,
            spare: None,
            newest_ns: 0,
            released_ns: 0,
            late: 0,
        }
    }

    /// Takes an event in.
    pub fn push(&mut self, event: Event) {
        self.waiting += 1;
        let time_ns = event.time_ns;
        self.late += u64::from(time_ns < self.released_ns);
        self.newest_ns = self.newest_ns.max(time_ns);
        if let Some(run) = self.lasts.iter().position(|last_ns| *last_ns <= time_ns) {
            self.lasts[run] = time_ns;
            self.runs[run].push_back(event);
            return;
        }
        let mut run = self.spare.take().unwrap_or_default();
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
        let is_due = first_ns.saturating_add(SLACK_NS) <= self.newest_ns || self.waiting > self.most;
        if is_due { self.first() } else { None }
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
        self.waiting -= 1;
        match run.front() {
            Some(first) => self.firsts[self.next] = first.time_ns,
            None => self.end_run(self.next),
        }
        self.find_next();
    }

    fn end_run(&mut self, run: usize) {
        let empty = self.runs.remove(run);
        self.spare.get_or_insert(empty);
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tracer_common::hop::{Hook, Hop};

    use super::*;

    fn event(time_ns: u64, number: usize) -> Event {
        Event { skb: number as u64, ..Event::at(time_ns, Hop::SkbFree, Hook::KfreeSkb) }
    }

    fn run(times: &[u64], most: usize) -> (Vec<(u64, u64)>, u64) {
        let (mut order, mut out) = (Reorder::new(most), Vec::new());
        for (number, time_ns) in times.iter().enumerate() {
            order.push(event(*time_ns, number));
            while let Some(event) = order.due() {
                out.push((event.time_ns, event.skb));
                order.pop();
            }
            assert!(order.waiting <= most);
        }
        while let Some(event) = order.first() {
            out.push((event.time_ns, event.skb));
            order.pop();
        }
        (out, order.late)
    }

    #[test]
    fn a_record_within_the_slack_takes_its_place() {
        let times = [10, 30, 20, SLACK_NS + 9, 5, SLACK_NS + 40];
        let (out, late) = run(&times, usize::MAX);
        assert_eq!(
            out.iter().map(|(time_ns, _)| *time_ns).collect::<Vec<_>>(),
            [5, 10, 20, 30, SLACK_NS + 9, SLACK_NS + 40]
        );
        assert_eq!(late, 0);
    }

    #[test]
    fn a_record_beyond_the_slack_is_late_and_goes_out_at_once() {
        let (out, late) = run(&[10, SLACK_NS + 10, 9, SLACK_NS + 20], usize::MAX);
        assert_eq!((out[1], late), ((9, 2), 1));
    }

    #[test]
    fn where_there_is_no_room_the_first_goes() {
        let (out, late) = run(&[30, 20, 10, 5, 40], 2);
        assert_eq!(out, [(10, 2), (5, 3), (20, 1), (30, 0), (40, 4)]);
        assert_eq!(late, 1);
    }

    proptest! {
        #[test]
        fn any_order_within_the_slack_is_put_right(lags in vec((0..2_000_u64, 0..=SLACK_NS), 0..500)) {
            let mut base_ns = SLACK_NS;
            let times: Vec<u64> = lags.iter().map(|(step, lag)| { base_ns += step; base_ns - lag }).collect();
            let (out, late) = run(&times, usize::MAX);
            let mut expected: Vec<_> = times.iter().enumerate().map(|(number, time_ns)| (*time_ns, number as u64)).collect();
            expected.sort_unstable();
            prop_assert_eq!((out, late), (expected, 0));
        }
    }
}
