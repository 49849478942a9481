//! Questions that wait for their answers, by what the answers will agree in; within a bound.

use std::{
    collections::{VecDeque, hash_map::Entry},
    hash::Hash,
};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::correlate::{End, Passage, Side, Stamp};

/// Ages of answered questions that are kept until they are worth looking through.
const SPARE_AGES: usize = 4096;
/// Empty queues that are kept for their memory, and how many questions they have room for, at most.
const SPARE: usize = 64;

/// What an answer needs to know of its question.
#[derive(Debug)]
pub(super) struct Question {
    number: u64,
    pub(super) stamps: Box<[Stamp]>,
    pub(super) from: Side,
    pub(super) of_guest: bool,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) timestamps: u32,
    /// TCP: sequence number behind its last byte.
    pub(super) end: u32,
    pub(super) ambiguous: bool,
    /// TCP: some of its bytes were sent more than once, and the sendings have timestamps.
    pub(super) contested: bool,
}

impl Question {
    pub(super) fn of(passage: &Passage, end: u32, contested: bool) -> Question {
        Question {
            number: 0,
            stamps: passage.stamps.as_slice().into(),
            from: passage.from,
            of_guest: passage.of_guest,
            seq: passage.seq,
            ack: passage.ack,
            timestamps: passage.timestamps,
            end,
            ambiguous: is_doubted(passage),
            contested,
        }
    }
}

/// Whether a passage may be another's in part, or was not followed to its end.
pub(super) fn is_doubted(passage: &Passage) -> bool {
    passage.ambiguous || passage.end == End::Evicted
}

/// The last `most` questions, as far as they wait.
#[derive(Debug)]
pub(super) struct Questions<K> {
    most: usize,
    patience_ns: u64,
    /// None of them is empty.
    by_key: FxHashMap<K, VecDeque<Question>>,
    /// All questions in the order in which they were asked, some answered ones among them: number, time and key.
    ages: VecDeque<(u64, u64, K)>,
    /// How many wait.
    waiting: usize,
    numbers: u64,
    spare: Vec<VecDeque<Question>>,
    /// How many were given up for want of room.
    pub(super) evicted: u64,
}

impl<K: Copy + Eq + Hash> Questions<K> {
    /// An empty one, for so many, which count as unanswered after so long, ns of event time.
    pub(super) fn new(most: usize, patience_ns: u64) -> Questions<K> {
        let (by_key, ages, spare) = (FxHashMap::default(), VecDeque::new(), Vec::new());
        Questions { most, patience_ns, by_key, ages, waiting: 0, numbers: 0, spare, evicted: 0 }
    }

    /// Those that wait under a key.
    pub(super) fn get(&self, key: K) -> impl Iterator<Item = &Question> {
        self.by_key.get(&key).into_iter().flatten()
    }

    /// Lets `work` change or take those that wait under a key, if there are any.
    pub(super) fn with<R>(&mut self, key: K, work: impl FnOnce(&mut VecDeque<Question>) -> R) -> Option<R> {
        let Entry::Occupied(mut entry) = self.by_key.entry(key) else { return None };
        let before = entry.get().len();
        let result = work(entry.get_mut());
        self.waiting -= before - entry.get().len();
        let (left, room) = (entry.get().len(), entry.get().capacity());
        if left == 0 {
            let empty = entry.remove();
            if self.spare.len() < SPARE && room <= SPARE {
                self.spare.push(empty);
            }
        } else if room > SPARE && left < room / 8 {
            entry.get_mut().shrink_to(2 * left);
        }
        Some(result)
    }

    /// Takes a question that is asked at `now_ns`, behind those for which `behind` holds. For want of room under its key,
    /// where `room` may wait, the first is given up, and altogether the oldest; gives its key.
    pub(super) fn ask(
        &mut self,
        key: K,
        now_ns: u64,
        mut question: Question,
        room: usize,
        behind: impl Fn(&Question) -> bool,
    ) -> Option<K> {
        let mut given_up = None;
        self.numbers += 1;
        question.number = self.numbers;
        self.ages.push_back((self.numbers, now_ns, key));
        let spare = &mut self.spare;
        let waiting = self.by_key.entry(key).or_insert_with(|| spare.pop().unwrap_or_default());
        let at = waiting.iter().rposition(behind).map_or(0, |at| at + 1);
        waiting.insert(at, question);
        self.waiting += 1;
        if waiting.len() > room {
            waiting.pop_front();
            self.waiting -= 1;
            self.evicted += 1;
            given_up = Some(key);
        }
        while self.waiting > self.most
            && let Some((number, _, key)) = self.ages.pop_front()
        {
            if self.take(key, number).is_some() {
                self.evicted += 1;
                given_up = Some(key);
            }
        }
        if self.ages.len() > 2 * self.waiting + SPARE_AGES {
            self.forget_answered();
        }
        given_up
    }

    /// Drops the ages of questions that wait no more.
    fn forget_answered(&mut self) {
        let waiting: FxHashSet<u64> =
            self.by_key.values().flatten().map(|question| question.number).collect();
        self.ages.retain(|(number, ..)| waiting.contains(number));
    }

    /// Takes one that has waited for too long at `now_ns`.
    pub(super) fn expire(&mut self, now_ns: u64) -> Option<(K, Question)> {
        let patience_ns = self.patience_ns;
        let is_old = |(_, asked_ns, _): &mut (u64, u64, K)| asked_ns.saturating_add(patience_ns) < now_ns;
        while let Some((number, _, key)) = self.ages.pop_front_if(is_old) {
            if let Some(question) = self.take(key, number) {
                return Some((key, question));
            }
        }
        None
    }

    fn take(&mut self, key: K, number: u64) -> Option<Question> {
        self.with(key, |waiting| {
            // Nearly always the first.
            let at = waiting.iter().position(|question| question.number == number)?;
            waiting.remove(at)
        })?
    }

    /// Takes all, in no order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (K, Question)> {
        self.ages.clear();
        self.waiting = 0;
        let all = std::mem::take(&mut self.by_key).into_iter();
        all.flat_map(|(key, waiting)| waiting.into_iter().map(move |question| (key, question)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE_NS: u64 = 1_000_000;

    fn question(end: u32) -> Question {
        Question::of(&Passage::empty(Side::Guest(0), Side::Wire(1)), end, false)
    }

    fn ends(questions: &Questions<u8>, key: u8) -> Vec<u32> {
        questions.get(key).map(|question| question.end).collect()
    }

    #[test]
    fn of_more_than_there_is_room_for_the_oldest_goes() {
        let mut questions = Questions::new(4, PATIENCE_NS);
        for (key, end) in [(1, 1), (2, 2), (1, 3), (3, 4), (3, 5), (3, 6)] {
            questions.ask(key, 0, question(end), 4, |_| true);
        }
        assert_eq!((ends(&questions, 1), ends(&questions, 2), questions.evicted), (vec![3], vec![], 2));
        assert_eq!(questions.by_key.len(), 2);
    }

    #[test]
    fn of_more_than_a_flow_has_room_for_its_oldest_goes() {
        let mut questions = Questions::new(100, PATIENCE_NS);
        let given_up: Vec<_> = (0..5).map(|end| questions.ask(1, 0, question(end), 3, |_| true)).collect();
        assert_eq!(given_up, [None, None, None, Some(1), Some(1)]);
        questions.ask(2, 0, question(9), 3, |_| true);
        assert_eq!(
            (ends(&questions, 1), ends(&questions, 2), questions.evicted),
            (vec![2, 3, 4], vec![9], 2)
        );
    }

    #[test]
    fn answered_ones_are_not_given_up() {
        let mut questions = Questions::new(2, PATIENCE_NS);
        for number in 0..100 {
            questions.ask(1, 0, question(number), 4, |_| true);
            assert_eq!(questions.with(1, |waiting| waiting.pop_front().map(|it| it.end)), Some(Some(number)));
        }
        assert_eq!((questions.evicted, questions.waiting, questions.by_key.len()), (0, 0, 0));
    }

    #[test]
    fn ages_of_answered_ones_are_forgotten() {
        let mut questions = Questions::new(100, PATIENCE_NS);
        questions.ask(0, 0, question(7), 4, |_| true);
        for number in 0..3 * SPARE_AGES as u32 {
            questions.ask(1, 5, question(number), 4, |_| true);
            questions.with(1, VecDeque::pop_front);
        }
        assert!(questions.ages.len() <= SPARE_AGES + 3, "{}", questions.ages.len());
        assert_eq!(questions.expire(1 + PATIENCE_NS).map(|(key, old)| (key, old.end)), Some((0, 7)));
    }

    #[test]
    fn a_question_waits_for_its_patience() {
        let mut questions = Questions::new(10, PATIENCE_NS);
        questions.ask(1, 100, question(1), 4, |_| true);
        questions.ask(1, 200, question(2), 4, |known| known.end > 5);
        assert_eq!(ends(&questions, 1), [2, 1]);
        assert!(questions.expire(100 + PATIENCE_NS).is_none());
        assert_eq!(questions.expire(101 + PATIENCE_NS).map(|(_, old)| old.end), Some(1));
        assert_eq!(questions.expire(201 + PATIENCE_NS).map(|(_, old)| old.end), Some(2));
    }
}
