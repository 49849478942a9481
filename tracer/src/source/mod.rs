//! Where records come from while recording: the ring buffer or the buffers of the CPUs, drained without wake-ups.

mod merge;

use tracer_common::event::HopEvent;

use self::merge::Merge;
use crate::{
    decode::{DecodeError, Record, decode, typed},
    probe::Outlet,
};

/// The reader's side of what the programs write to.
pub struct Source {
    outlet: Outlet,
    merge: Merge,
    /// Records that could not be decoded so far.
    pub undecoded: u64,
}

impl Source {
    /// Takes the programs' outlet.
    pub fn new(outlet: Outlet) -> Source {
        let cpus = outlet.slots.as_ref().map_or(0, |slots| slots.cpus());
        Source { outlet, merge: Merge::new(cpus), undecoded: 0 }
    }

    /// How many records one CPU has room for.
    pub fn room(&self) -> usize {
        self.outlet.room
    }

    /// Hands waiting records to `sink`, about `limit` of them, nearly in the order of their times, and returns how many
    /// there were.
    ///
    /// # Errors
    /// What `sink` returns, which ends the draining; the record at hand counts as taken.
    pub fn drain<E>(
        &mut self,
        limit: usize,
        mut sink: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<usize, E> {
        let Source { outlet, merge, undecoded } = self;
        let mut taken = 0;
        while taken < limit
            && let Some(item) = outlet.ring.next()
        {
            taken += 1;
            decode(&item).map_or_else(|error| left_out(undecoded, error), &mut sink)?;
        }
        let Some(slots) = &outlet.slots else { return Ok(taken) };
        let mut take = |event: &HopEvent| match typed(event) {
            Ok(event) => sink(Record::Event(event)),
            Err(error) => left_out(undecoded, error),
        };
        Ok(taken + merge.drain(slots, limit - taken, &mut take)?)
    }
}

#[cold]
fn left_out<E>(undecoded: &mut u64, error: DecodeError) -> Result<(), E> {
    *undecoded += 1;
    log::warn!("a record was left out: {error}");
    Ok(())
}
