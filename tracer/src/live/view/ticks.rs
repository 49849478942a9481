//! The last minute, in half seconds.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::{
    slow::{Slow, Slowest},
    times::{Scale, Times},
};
use crate::{
    correlate::{End, Passage, Side},
    latency::{LAYERS, Span, each_span},
};

/// How long one is, ns.
pub const TICK_NS: u64 = 500_000_000;
/// How many are kept: a minute, and the one that goes on.
const KEPT: usize = 121;

/// Whose a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// No traced VM's: the host's own.
    Nobody,
    /// A VM's, by its number in the recording's topology.
    Vm(usize),
    /// Of one VM and to another.
    Both(usize, usize),
}

impl Who {
    /// Whose a frame is that goes from one end to the other.
    pub(super) fn of(vm_of_tap: &FxHashMap<u8, usize>, from: Side, to: Side) -> Who {
        let vm = |side| match side {
            Side::Guest(slot) => vm_of_tap.get(&slot).copied(),
            Side::Wire(_) | Side::Host => None,
        };
        match (vm(from), vm(to)) {
            (Some(one), Some(other)) if one != other => Who::Both(one, other),
            (Some(vm), _) | (None, Some(vm)) => Who::Vm(vm),
            (None, None) => Who::Nobody,
        }
    }

    /// Whether it belongs to a VM; everything does to all of them.
    pub(super) fn is_of(self, vm: Option<usize>) -> bool {
        match (vm, self) {
            (None, _) => true,
            (Some(_), Who::Nobody) => false,
            (Some(vm), Who::Vm(mine)) => vm == mine,
            (Some(vm), Who::Both(one, other)) => vm == one || vm == other,
        }
    }
}

/// Frames that passed a tap, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// As the host has them: a super-frame is one.
    pub frames: u64,
    /// With their Ethernet headers.
    pub bytes: u64,
}

/// What became of passages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// All.
    pub count: u64,
    /// Dropped by the kernel.
    pub dropped: u64,
    /// No end was seen.
    pub unfinished: u64,
    /// An event could have belonged to another.
    pub ambiguous: u64,
}

/// What is whose, within half a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// Out of the guest, and into it.
    pub(super) traffic: [Traffic; 2],
    pub(super) passed: Passed,
    pub(super) spans: FxHashMap<Span, Times>,
    /// Exchanges.
    pub(super) totals: Times,
    /// Sums over exchanges, ns, by the layer's number.
    pub(super) layers_ns: [u64; LAYERS],
    pub(super) slowest: Slowest,
}

impl Part {
    /// Enters a passage.
    pub(super) fn passage(&mut self, scale: &Scale, passage: &Passage) {
        let passed = &mut self.passed;
        passed.count += 1;
        passed.ambiguous += u64::from(passage.ambiguous);
        match passage.end {
            End::Done | End::Cut => {}
            End::Dropped { .. } => passed.dropped += 1,
            End::Branched | End::Consumed | End::Unfinished | End::Open | End::Evicted => {
                passed.unfinished += 1;
            }
        }
        each_span(passage, |span, from_ns, to_ns| self.span(scale, span, from_ns, to_ns));
    }

    /// Enters a segment.
    pub(super) fn span(&mut self, scale: &Scale, span: Span, from_ns: u64, to_ns: u64) {
        self.spans.entry(span).or_default().record(scale, from_ns, to_ns);
    }

    /// Enters an exchange.
    pub(super) fn exchange(&mut self, scale: &Scale, slow: &Slow) {
        self.totals.record(scale, 0, slow.total_ns);
        for (sum, time_ns) in self.layers_ns.iter_mut().zip(slow.layers_ns) {
            *sum = sum.saturating_add(time_ns);
        }
        self.slowest.enter(slow);
    }
}

/// Half a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Tick {
    pub(super) events: u64,
    pub(super) parts: FxHashMap<Who, Part>,
}

/// The last ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticks {
    /// The number of the first one.
    first: u64,
    ticks: VecDeque<Tick>,
    /// What came when its half second was no longer kept.
    pub(super) too_late: u64,
}

impl Ticks {
    /// That of a time; none where it is no longer kept.
    pub(super) fn at(&mut self, time_ns: u64) -> Option<&mut Tick> {
        let number = time_ns / TICK_NS;
        let end = self.first + self.ticks.len() as u64;
        if self.ticks.is_empty() || number >= end + KEPT as u64 {
            self.ticks.clear();
            // Events are not quite in order: some may be of the one before.
            self.first = number.saturating_sub(1);
        }
        if number < self.first {
            self.too_late += 1;
            return None;
        }
        let place = (number - self.first) as usize;
        while self.ticks.len() <= place {
            self.ticks.push_back(Tick::default());
        }
        let beyond = self.ticks.len().saturating_sub(KEPT);
        self.ticks.drain(..beyond);
        self.first += beyond as u64;
        self.ticks.get_mut(place - beyond)
    }

    /// Those from one number to before another, as far as there are such.
    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Tick> {
        let place = |number: u64| (number.saturating_sub(self.first) as usize).min(self.ticks.len());
        self.ticks.range(place(from)..place(to).max(place(from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_kept_and_what_comes_later_still_is_counted() {
        let mut ticks = Ticks::default();
        for number in 0..1000 {
            ticks.at(number * TICK_NS).unwrap().events += number;
        }
        assert_eq!(ticks.ticks.len(), KEPT);
        assert_eq!(ticks.between(998, 1000).map(|tick| tick.events).collect::<Vec<_>>(), [998, 999]);
        assert_eq!(ticks.between(0, 2000).count(), KEPT);
        assert_eq!(ticks.between(2000, 1000).count(), 0);
        assert!(ticks.at(0).is_none());
        assert_eq!(ticks.too_late, 1);
        ticks.at(5000 * TICK_NS).unwrap().events = 7;
        assert_eq!(ticks.between(0, 6000).map(|tick| tick.events).sum::<u64>(), 7);
    }

    #[test]
    fn what_goes_between_two_vms_is_of_both() {
        let taps = FxHashMap::from_iter([(1, 0), (2, 1)]);
        let who = Who::of(&taps, Side::Guest(1), Side::Guest(2));
        assert_eq!(who, Who::Both(0, 1));
        assert!(who.is_of(Some(0)) && who.is_of(Some(1)) && who.is_of(None) && !who.is_of(Some(2)));
        assert_eq!(Who::of(&taps, Side::Wire(7), Side::Guest(2)), Who::Vm(1));
        assert!(!Who::of(&taps, Side::Host, Side::Wire(7)).is_of(Some(0)));
    }
}
