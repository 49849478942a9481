//! A table of what was used of late, within a bound. Two tables, of which the younger one takes in what is used; when that
//! is full, or has taken in for long enough, it becomes the older one, and what the older one still holds is forgotten.

use std::{hash::Hash, mem};

use rustc_hash::FxHashMap;

/// At most `most` entries (one more if that is odd), at least half of these, those used last.
#[derive(Clone, Debug)]
pub(super) struct Recent<K, V> {
    half: usize,
    within_ns: u64,
    younger: FxHashMap<K, V>,
    older: FxHashMap<K, V>,
    /// When the younger table began: before that the older one was used last.
    turned_ns: u64,
    doubted_until_ns: u64,
    /// How many entries were forgotten for want of room, sooner than they may be.
    pub(super) evicted: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// An empty one. What was not used within `within_ns` means nothing any more.
    pub(super) fn new(most: usize, within_ns: u64) -> Recent<K, V> {
        Recent {
            half: most.div_ceil(2).max(1),
            within_ns,
            younger: FxHashMap::default(),
            older: FxHashMap::default(),
            turned_ns: 0,
            doubted_until_ns: 0,
            evicted: 0,
        }
    }

    /// The value of a key that is used at `now_ns`; what `value` gives where there is none.
    pub(super) fn entry(&mut self, key: K, now_ns: u64, value: impl FnOnce() -> V) -> &mut V {
        if self.turned_ns.saturating_add(self.within_ns) < now_ns {
            self.turn(now_ns);
        }
        if self.younger.len() >= self.half && !self.younger.contains_key(&key) {
            let known = self.older.remove(&key);
            self.turn(now_ns);
            self.older.extend(known.map(|known| (key, known)));
        }
        let older = &mut self.older;
        self.younger.entry(key).or_insert_with(|| older.remove(&key).unwrap_or_else(value))
    }

    /// The value of a key, if there is one.
    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.younger.get(&key).or_else(|| self.older.get(&key))
    }

    /// The value of a key, if there is one, which does not count as use.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.younger.get_mut(&key).or_else(|| self.older.get_mut(&key))
    }

    /// Whether a key without a value may have had one that meant something.
    pub(super) fn is_doubted(&self, key: K, now_ns: u64) -> bool {
        now_ns < self.doubted_until_ns && self.get(key).is_none()
    }

    fn turn(&mut self, now_ns: u64) {
        let gone = mem::replace(&mut self.older, mem::take(&mut self.younger));
        let over_ns = self.turned_ns.saturating_add(self.within_ns);
        if over_ns > now_ns {
            self.evicted += gone.len() as u64;
            self.doubted_until_ns = over_ns;
        }
        self.turned_ns = now_ns;
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(10, 1_000_000);
        for number in 0..1000 {
            *recent.entry(number, number, || 0) += number;
            *recent.entry(7, number, || 0) += 1;
            assert!(recent.len() <= 10);
        }
        assert_eq!(recent.get(7), Some(&1007));
        assert_eq!((recent.get(8), recent.get(500), recent.get(999)), (None, None, Some(&999)));
        assert_eq!(recent.evicted as usize, 1000 - recent.len());
        assert!((5..=10).contains(&recent.len()));
        assert!(recent.is_doubted(8, 1000) && !recent.is_doubted(7, 1000));
    }

    #[test]
    fn what_was_not_used_for_long_enough_is_not_missed() {
        let mut recent = Recent::new(10, 100);
        for number in 0..1000 {
            recent.entry(number, number * 60, || 0);
            assert!(recent.len() <= 5);
        }
        assert_eq!((recent.evicted, recent.is_doubted(1, 60_000)), (0, false));
        (0..1000).for_each(|number| *recent.entry(number, 60_000, || 0) += 1);
        assert!(recent.is_doubted(1, 60_050));
        assert!(!recent.is_doubted(1, 60_101), "it would mean nothing any more");
    }
}
