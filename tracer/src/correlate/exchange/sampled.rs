//! What a recording of a part of the frames says of questions and answers: which bytes of a TCP connection were chosen, so
//! that their first acknowledgement was as well.

use tracer_common::sample::{STRETCH, Sampling};

use super::Question;
use crate::correlate::Passage;

/// A choice is told so long before it takes effect, ns; so is an answer expected within it.
pub const NOTICE_NS: u64 = 500_000_000;

/// The choice of frames, as it was made and changed.
#[derive(Clone, Debug)]
pub struct SampledFrames {
    seed: u32,
    /// From when on (ns) one of so many frames was chosen, in the order of time.
    changes: Vec<(u64, u32)>,
}

impl SampledFrames {
    /// One of `one_in` from the beginning.
    pub fn new(seed: u32, one_in: u32) -> SampledFrames {
        SampledFrames { seed, changes: vec![(0, one_in)] }
    }

    /// From `from_ns` on one of `one_in`.
    pub fn change(&mut self, from_ns: u64, one_in: u32) {
        self.changes.push((from_ns, one_in));
    }

    /// Whether the first acknowledgement of what ends at `end`, sent at `time_ns`, was chosen.
    pub(super) fn holds_answer(&self, end: u32, time_ns: u64) -> bool {
        let until_ns = time_ns.saturating_add(NOTICE_NS);
        let first = self.changes.iter().rposition(|(from_ns, _)| *from_ns <= time_ns).unwrap_or(0);
        let in_force = self.changes.iter().skip(first).take_while(|(from_ns, _)| *from_ns <= until_ns);
        let one_in = in_force.map(|(_, one_in)| *one_in).max().unwrap_or(1);
        Sampling::one_in(one_in, self.seed).chooses_byte(end)
    }
}

/// Whether the segment can be what first acknowledged the question: what acknowledges so much at once may not have been
/// chosen, so that this is a later one.
pub(super) fn may_be_first(question: &Question, answer: &Passage) -> bool {
    answer.ack.wrapping_sub(question.end) < STRETCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_held_to_the_choice_that_comes_next() {
        let mut sampled = SampledFrames::new(7, 1);
        sampled.change(1_000_000_000, 1 << 16);
        let chosen = |at: u64| (0..1000).filter(|n| sampled.holds_answer(n * STRETCH, at)).count();
        assert_eq!(chosen(0), 1000);
        assert!(chosen(600_000_000) < 10 && chosen(5_000_000_000) < 10);
    }
}
