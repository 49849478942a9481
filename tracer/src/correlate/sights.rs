//! What XDP programs saw of frames that have no address yet, until they are born, by device and content.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::{Rule, Stamp};
use crate::decode::Event;

/// How long a sight waits for the frame's birth, ns of event time.
const WITHIN_NS: u64 = 1_000_000_000;

/// Device and digest.
type Key = (u8, u64);

/// Sights that no birth has claimed.
#[derive(Debug)]
pub(super) struct Sights {
    most: usize,
    waiting: FxHashMap<Key, Waiting>,
    /// All sights, oldest first, those claimed among them: number, time and key.
    ages: VecDeque<(u64, u64, Key)>,
    numbers: u64,
    /// How many were given up for want of room.
    pub(super) evicted: u64,
}

/// The sights of one content, oldest first.
#[derive(Debug, Default)]
struct Waiting {
    sights: VecDeque<(u64, Stamp)>,
    /// One of them was given up for want of room: which of the frames to come it was, nothing tells.
    doubted: bool,
}

impl Sights {
    /// Of the last `most` sights those that wait are kept.
    pub(super) fn new(most: usize) -> Sights {
        Sights { most, waiting: FxHashMap::default(), ages: VecDeque::new(), numbers: 0, evicted: 0 }
    }

    /// Gives up those that have waited for too long.
    pub(super) fn expire(&mut self, now_ns: u64) {
        let too_old = |(_, time_ns, _): &mut (u64, u64, Key)| time_ns.saturating_add(WITHIN_NS) < now_ns;
        while let Some((number, _, key)) = self.ages.pop_front_if(too_old) {
            self.give_up(number, key);
        }
    }

    /// Takes the sight of a frame with no address.
    pub(super) fn push(&mut self, key: Key, event: &Event) {
        self.numbers += 1;
        let sight = (self.numbers, Stamp::of(event, Rule::Content));
        self.waiting.entry(key).or_default().sights.push_back(sight);
        self.ages.push_back((self.numbers, event.time_ns, key));
        if self.ages.len() > self.most
            && let Some((number, _, key)) = self.ages.pop_front()
            && self.give_up(number, key)
        {
            self.evicted += 1;
            if let Some(waiting) = self.waiting.get_mut(&key) {
                waiting.doubted = true;
            }
        }
    }

    /// Whether the sight was still waiting.
    fn give_up(&mut self, number: u64, key: Key) -> bool {
        let Some(waiting) = self.waiting.get_mut(&key) else { return false };
        let is_it = |(known, _): &mut (u64, Stamp)| *known == number;
        let gone = waiting.sights.pop_front_if(is_it).is_some();
        if waiting.sights.is_empty() {
            self.waiting.remove(&key);
        }
        gone
    }

    /// The sight of a frame that is born now, and whether it may be another's.
    pub(super) fn claim(&mut self, key: Key) -> Option<(Stamp, bool)> {
        let waiting = self.waiting.get_mut(&key)?;
        let doubted = waiting.doubted || waiting.sights.len() > 1;
        let (_, sight) = waiting.sights.pop_front()?;
        if waiting.sights.is_empty() {
            self.waiting.remove(&key);
        }
        Some((sight, doubted))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sight;
    use super::*;

    #[test]
    fn a_sight_waits_for_a_second() {
        let mut sights = Sights::new(10);
        sights.push((1, 7), &sight(100, 7));
        sights.expire(100 + WITHIN_NS);
        assert_eq!(sights.claim((1, 7)).map(|(stamp, doubted)| (stamp.time_ns, doubted)), Some((100, false)));
        sights.push((1, 7), &sight(200, 7));
        sights.expire(201 + WITHIN_NS);
        assert_eq!((sights.claim((1, 7)), sights.evicted), (None, 0));
    }

    #[test]
    fn what_was_given_up_for_room_leaves_others_like_it_in_doubt() {
        let mut sights = Sights::new(3);
        sights.push((1, 7), &sight(100, 7));
        sights.push((1, 7), &sight(101, 7));
        sights.push((1, 8), &sight(102, 8));
        sights.push((1, 9), &sight(103, 9));
        let claim = |sights: &mut Sights, digest| {
            sights.claim((1, digest)).map(|(stamp, doubted)| (stamp.time_ns, doubted))
        };
        assert_eq!(claim(&mut sights, 7), Some((101, true)));
        assert_eq!(claim(&mut sights, 8), Some((102, false)));
        assert_eq!(sights.evicted, 1);
        (0..100).for_each(|number| sights.push((1, number), &sight(200 + number, number)));
        assert_eq!((sights.waiting.len(), sights.ages.len()), (3, 3));
    }
}
