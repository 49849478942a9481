//! The buffers of the CPUs as one stream: a slice of time from each, then the next slice, so that what comes out is out of
//! order by less than what [`correlate`](crate::correlate) puts right.

use tracer_common::event::HopEvent;

use crate::{host::monotonic_ns, probe::Slots};

/// A slice, ns.
const SLICE_NS: u64 = 1_000_000;

/// How far each CPU's buffer has been read.
pub(super) struct Merge {
    read: Vec<u64>,
}

impl Merge {
    pub(super) fn new(cpus: usize) -> Merge {
        Merge { read: vec![0; cpus] }
    }

    /// Hands to `take` what was written until now, slice by slice until there were `limit` records.
    pub(super) fn drain<E>(
        &mut self,
        slots: &Slots,
        limit: usize,
        take: &mut impl FnMut(&HopEvent) -> Result<(), E>,
    ) -> Result<usize, E> {
        // What a CPU writes while another is read waits: it would be followed by what is older.
        let until_ns = monotonic_ns().unwrap_or(u64::MAX);
        let mut taken = 0;
        while taken < limit
            && let Some(first_ns) = self.first(slots).filter(|first_ns| *first_ns <= until_ns)
        {
            let slice_ns = until_ns.min(first_ns.saturating_add(SLICE_NS));
            for cpu in 0..self.read.len() {
                taken += self.slice(slots, cpu, slice_ns, take)?;
            }
        }
        Ok(taken)
    }

    /// The earliest time that waits.
    fn first(&self, slots: &Slots) -> Option<u64> {
        self.read.iter().enumerate().filter_map(|(cpu, at)| slots.time(cpu, *at)).min()
    }

    fn slice<E>(
        &mut self,
        slots: &Slots,
        cpu: usize,
        until_ns: u64,
        take: &mut impl FnMut(&HopEvent) -> Result<(), E>,
    ) -> Result<usize, E> {
        let start = self.read[cpu];
        let (mut at, mut outcome) = (start, Ok(()));
        while outcome.is_ok()
            && let Some(time_ns) = slots.time(cpu, at).filter(|time_ns| *time_ns <= until_ns)
        {
            let record = slots.record(cpu, at, time_ns);
            at += 1;
            outcome = take(&record);
        }
        if at != start {
            self.read[cpu] = at;
            slots.give_back(cpu, at);
        }
        outcome.map(|()| (at - start) as usize)
    }
}
