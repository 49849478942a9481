//! Where records come from while recording: the ring buffer or the buffers of the CPUs, drained without wake-ups.

mod merge;

use self::merge::Merge;
use crate::{
    decode::{Record, decode},
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
        let mut take = |bytes: &[u8]| match decode(bytes) {
            Ok(record) => sink(record),
            Err(error) => {
                *undecoded += 1;
                log::warn!("a record was left out: {error}");
                Ok(())
            }
        };
        let mut taken = 0;
        while taken < limit
            && let Some(item) = outlet.ring.next()
        {
            taken += 1;
            take(&item)?;
        }
        let Some(slots) = &outlet.slots else { return Ok(taken) };
        Ok(taken + merge.drain(slots, limit - taken, &mut take)?)
    }
}
