//! Where records come from while recording: the ring buffer, drained without wake-ups.

use aya::maps::{MapData, RingBuf};

use crate::decode::{Record, decode};

/// The ring buffer's consumer side.
pub struct RingSource {
    ring: RingBuf<MapData>,
    /// Records that could not be decoded so far.
    pub undecoded: u64,
}

impl RingSource {
    /// Takes the ring.
    pub fn new(ring: RingBuf<MapData>) -> RingSource {
        RingSource { ring, undecoded: 0 }
    }

    /// Hands each waiting record to `sink`, at most `limit` of them, and returns how many there were.
    ///
    /// # Errors
    /// What `sink` returns, which ends the draining; the record at hand counts as taken.
    pub fn drain<E>(
        &mut self,
        limit: usize,
        mut sink: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<usize, E> {
        for taken in 0..limit {
            let Some(item) = self.ring.next() else { return Ok(taken) };
            match decode(&item) {
                Ok(record) => sink(record)?,
                Err(error) => {
                    self.undecoded += 1;
                    log::warn!("a record was left out: {error}");
                }
            }
        }
        Ok(limit)
    }
}
