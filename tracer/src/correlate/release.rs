//! Releases closed passages in the order of their beginning, so that a question comes before its answer even
//! when the answer was seen to its end first.

use std::collections::VecDeque;

use crate::correlate::passage::Passage;

/// How long, in event time, an open passage may hold back those that began after it.
const MAX_HOLD_NS: u64 = 1_000_000_000;

/// Closed passages that wait for older ones to close.
#[derive(Debug)]
pub struct Release {
    /// Those that are released, then, from number `first` on, those that are not, in the order of their beginning.
    passages: VecDeque<Begun>,
    released: usize,
    first: u64,
}

#[derive(Debug)]
struct Begun {
    time_ns: u64,
    state: State,
}

/// What became of a passage.
#[derive(Debug)]
enum State {
    Open,
    Closed(Box<Passage>),
    /// It is part of another, or has been open for too long to hold back others.
    Gone,
}

impl Default for Release {
    fn default() -> Release {
        Release { passages: VecDeque::new(), released: 0, first: 1 }
    }
}

impl Release {
    /// Says that the next passage has begun. They are numbered from 1 on.
    pub fn begin(&mut self, time_ns: u64) {
        self.passages.push_back(Begun { time_ns, state: State::Open });
    }

    /// Takes a passage that has closed.
    pub fn close(&mut self, number: u64, passage: Box<Passage>) {
        let begun = Begun { time_ns: passage.start_ns(), state: State::Closed(passage) };
        match self.held_mut(number) {
            Some(held) => *held = begun,
            None => {
                self.passages.insert(self.released, begun);
                self.released += 1;
            }
        }
    }

    /// Says that the passage `number` has become part of another.
    pub fn skip(&mut self, number: u64) {
        if let Some(held) = self.held_mut(number) {
            held.state = State::Gone;
        }
    }

    /// How many passages are not released, those among them that are open.
    pub fn held(&self) -> usize {
        self.passages.len() - self.released
    }

    fn held_mut(&mut self, number: u64) -> Option<&mut Begun> {
        let behind = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.passages.get_mut(self.released + behind)
    }

    /// Releases what no older open passage holds back at `now_ns`.
    pub fn advance(&mut self, now_ns: u64) {
        while let Some(next) = self.passages.get_mut(self.released) {
            if matches!(next.state, State::Open) {
                if next.time_ns.saturating_add(MAX_HOLD_NS) > now_ns {
                    return;
                }
                next.state = State::Gone;
            }
            (self.released, self.first) = (self.released + 1, self.first + 1);
        }
    }

    /// The next passage that has been released.
    pub fn pop(&mut self) -> Option<Box<Passage>> {
        while self.released > 0 {
            self.released -= 1;
            if let Some(Begun { state: State::Closed(passage), .. }) = self.passages.pop_front() {
                return Some(passage);
            }
        }
        None
    }
}
