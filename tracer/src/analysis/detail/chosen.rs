//! Which exchanges are kept whole: the slowest, and a sample from which one near the median is taken.
//!
//! The median is known only at the end, and not every exchange can be kept until then. So every n-th is, evenly over
//! the recording; when the sample is full, every second of it is let go and n doubles. It depends on the order of the
//! exchanges alone, so the same recording always shows the same one.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::correlate::exchange::Exchange;

/// How many of the slowest are kept.
pub const SLOWEST: usize = 5;
/// The most exchanges in the sample.
pub const SAMPLE: usize = 512;

/// The exchanges of a group that are kept.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The least slow on top.
    slowest: BinaryHeap<Reverse<Slow>>,
    sample: Vec<Exchange>,
    /// Every how many-th is sampled.
    every: u64,
    offered: u64,
}

/// An exchange by its total; of the same total the earlier one counts as slower.
#[derive(Clone, Debug)]
struct Slow(u64, Reverse<u64>, Exchange);

impl Slow {
    fn key(&self) -> (u64, Reverse<u64>) {
        (self.0, self.1)
    }
}

impl PartialEq for Slow {
    fn eq(&self, other: &Slow) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Slow {}

impl PartialOrd for Slow {
    fn partial_cmp(&self, other: &Slow) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slow {
    fn cmp(&self, other: &Slow) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Default for Chosen {
    fn default() -> Chosen {
        Chosen { slowest: BinaryHeap::new(), sample: Vec::new(), every: 1, offered: 0 }
    }
}

impl Chosen {
    /// Takes the next exchange in, or lets it go.
    pub fn offer(&mut self, exchange: &Exchange) {
        let (number, total_ns) = (self.offered, exchange.total_ns());
        self.offered += 1;
        let least = self.slowest.peek().map_or(0, |Reverse(slow)| slow.0);
        if self.slowest.len() < SLOWEST || total_ns > least {
            self.slowest.push(Reverse(Slow(total_ns, Reverse(number), exchange.clone())));
            if self.slowest.len() > SLOWEST {
                self.slowest.pop();
            }
        }
        if number.is_multiple_of(self.every) {
            if self.sample.len() == SAMPLE {
                let mut index = 0;
                self.sample.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.every *= 2;
            }
            // With the sample halved, its turn may be over.
            if number.is_multiple_of(self.every) {
                self.sample.push(exchange.clone());
            }
        }
    }

    /// The slowest first.
    pub fn slowest(&self) -> Vec<&Exchange> {
        let mut slowest: Vec<&Slow> = self.slowest.iter().map(|Reverse(slow)| slow).collect();
        slowest.sort_by_key(|slow| Reverse(slow.key()));
        slowest.into_iter().map(|slow| &slow.2).collect()
    }

    /// That of the sample whose total is nearest to this; of several the first.
    pub fn nearest(&self, total_ns: u64) -> Option<&Exchange> {
        self.sample.iter().min_by_key(|exchange| exchange.total_ns().abs_diff(total_ns))
    }

    /// How many are in the sample.
    pub fn sampled(&self) -> usize {
        self.sample.len()
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::hop::{Hook, Hop};

    use super::*;
    use crate::correlate::{
        Rule, Stamp,
        exchange::{ExchangeKind, Initiator},
    };

    fn exchange(start_ns: u64, total_ns: u64) -> Exchange {
        let stamp = |hop, time_ns| Stamp { hop, time_ns, hook: Hook::ALL[0], rule: Rule::Birth };
        Exchange {
            kind: ExchangeKind::Echo,
            initiator: Initiator::Guest,
            stamps: vec![stamp(Hop::TapRx, start_ns), stamp(Hop::TapRing, start_ns + total_ns)],
            turn: 1,
        }
    }

    fn totals(chosen: &Chosen) -> Vec<u64> {
        chosen.slowest().into_iter().map(Exchange::total_ns).collect()
    }

    #[test]
    fn the_slowest_are_kept_wherever_they_come() {
        let mut chosen = Chosen::default();
        (0..10_000u64).for_each(|number| chosen.offer(&exchange(number, number * 7_919 % 10_007)));
        assert_eq!(totals(&chosen), [10_006, 10_005, 10_004, 10_003, 10_002]);
    }

    #[test]
    fn of_the_same_time_the_first_are_kept() {
        let mut chosen = Chosen::default();
        (0..100).for_each(|number| chosen.offer(&exchange(number, 5)));
        let starts: Vec<_> = chosen.slowest().iter().map(|kept| kept.stamps[0].time_ns).collect();
        assert_eq!(starts, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_sample_is_even_and_bounded_and_reaches_the_end() {
        let mut chosen = Chosen::default();
        for number in 0..100_000 {
            chosen.offer(&exchange(number, number));
            assert!(chosen.sampled() <= SAMPLE);
        }
        let starts: Vec<u64> = chosen.sample.iter().map(|kept| kept.stamps[0].time_ns).collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == chosen.every), "{starts:?}");
        assert!(starts.len() > SAMPLE / 3 && *starts.last().unwrap() >= 100_000 - chosen.every);
        let nearest = chosen.nearest(50_000).unwrap().total_ns();
        assert!(nearest.abs_diff(50_000) <= chosen.every);
    }

    #[test]
    fn nothing_offered_is_nothing_chosen() {
        let chosen = Chosen::default();
        assert!(chosen.slowest().is_empty() && chosen.nearest(1).is_none());
    }
}
