//! A table of what was used last, within a bound: where it is full, what was not used for the longest time is forgotten,
//! by halves. Two tables, of which the younger one takes in what is used; when it is half of what there may be, it
//! becomes the older one, and what the older one still holds is gone.

use std::{hash::Hash, mem};

use rustc_hash::FxHashMap;

/// At least half of `most` entries, those used last; at most `most`.
#[derive(Clone, Debug)]
pub(super) struct Recent<K, V> {
    half: usize,
    younger: FxHashMap<K, V>,
    older: FxHashMap<K, V>,
    /// How many entries were forgotten.
    pub(super) forgotten: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// An empty one.
    pub(super) fn new(most: usize) -> Recent<K, V> {
        let half = most.div_ceil(2).max(1);
        Recent { half, younger: FxHashMap::default(), older: FxHashMap::default(), forgotten: 0 }
    }

    /// The value of a key; makes it the one used last.
    pub(super) fn get(&mut self, key: K) -> Option<&mut V> {
        if !self.younger.contains_key(&key) {
            let value = self.older.remove(&key)?;
            self.insert(key, value);
        }
        self.younger.get_mut(&key)
    }

    /// Gives a key a value.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.older.remove(&key);
        if self.younger.len() >= self.half && !self.younger.contains_key(&key) {
            let gone = mem::replace(&mut self.older, mem::take(&mut self.younger));
            self.forgotten += gone.len() as u64;
        }
        self.younger.insert(key, value);
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
        let mut recent = Recent::new(10);
        for number in 0..1000 {
            recent.insert(number, number);
            assert_eq!(recent.get(7.min(number)), Some(&mut 7.min(number)));
            assert!(recent.len() <= 10);
        }
        assert_eq!(recent.get(999), Some(&mut 999));
        assert_eq!((recent.get(8), recent.get(500)), (None, None));
        assert_eq!(recent.forgotten as usize, 1000 - recent.len());
        let kept = (0..1000).filter(|number| recent.get(*number).is_some()).count();
        assert!((5..=10).contains(&kept), "{kept}");
    }

    #[test]
    fn a_key_has_one_value() {
        let mut recent = Recent::new(4);
        for number in 0..20 {
            recent.insert(0, number);
            recent.insert(1 + number % 3, 100);
            assert_eq!(recent.get(0), Some(&mut number.clone()));
        }
    }
}
