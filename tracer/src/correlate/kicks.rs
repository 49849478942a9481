//! Kicks that no frame has claimed: for which queue a guest rang, as far as that can be told.

use rustc_hash::FxHashMap;

use crate::correlate::passage::Stamp;

/// Kicks of one VM that no frame has claimed.
#[derive(Clone, Debug, Default)]
pub(super) struct Kicks {
    /// Those that were not for a vhost queue, or are not yet known to be.
    doorbells: FxHashMap<u64, Doorbell>,
    /// By vhost queue: the first one since the worker last began on it.
    by_queue: FxHashMap<u64, Stamp>,
}

/// What a guest writes to for a queue of one of its devices, whichever that is.
#[derive(Clone, Debug, Default)]
struct Doorbell {
    /// The last kick that no frame has claimed, with the vCPU's thread.
    rung: Option<(Stamp, u32)>,
    /// How many kicks there were.
    kicks: u64,
    /// How many of them alone led to a write.
    led: u64,
}

/// A new doorbell may be a NIC's for so many kicks.
const NEW: u64 = 3;
/// One that leads to a write less often than the best one by this factor is of another device.
const OF_ANOTHER_DEVICE: f64 = 4.0;

impl Doorbell {
    /// Share of its kicks that led to a write.
    fn rate(&self) -> f64 {
        self.led as f64 / self.kicks.max(1) as f64
    }

    /// Whether its kicks may lead to frames, where those of the best doorbell do so at this rate: of another device's,
    /// a disk's, few are followed by one.
    fn may_send(&self, best: f64) -> bool {
        self.kicks <= NEW || self.rate() * OF_ANOTHER_DEVICE >= best
    }
}

impl Kicks {
    /// A vCPU writes to a doorbell.
    pub(super) fn ring(&mut self, doorbell: u64, kick: Stamp, tid: u32) {
        let doorbell = self.doorbells.entry(doorbell).or_default();
        (doorbell.rung, doorbell.kicks) = (Some((kick, tid)), doorbell.kicks + 1);
    }

    /// A kick reaches a queue of vhost. The first one since a worker last began there makes it begin again.
    pub(super) fn reached(&mut self, queue: u64, kick: Stamp, tid: u32) {
        self.by_queue.entry(queue).or_insert(kick);
        for doorbell in self.doorbells.values_mut().filter(|doorbell| doorbell.rung == Some((kick, tid))) {
            (doorbell.rung, doorbell.kicks) = (None, doorbell.kicks.saturating_sub(1));
        }
    }

    /// The kick that made a worker begin to take frames from a queue.
    pub(super) fn begun(&mut self, queue: u64) -> Option<Stamp> {
        self.by_queue.remove(&queue)
    }

    /// Takes the kick that led to a VMM's write. Where the guest rang for several queues, none is known to be the one:
    /// all are given up.
    pub(super) fn claim(&mut self, until_ns: u64) -> Option<Stamp> {
        let best = self.doorbells.values().map(Doorbell::rate).fold(0.0, f64::max);
        let before = |kick: &mut (Stamp, u32)| kick.0.time_ns <= until_ns;
        let rung = self.doorbells.values_mut().filter_map(|doorbell| {
            let (kick, _) = doorbell.rung.take_if(before)?;
            Some((doorbell.may_send(best), kick, doorbell))
        });
        let mut rung: Vec<_> = rung.collect();
        if rung.len() > 1 {
            rung.retain(|(may_send, ..)| *may_send);
        }
        let [(may_send, kick, doorbell)] = &mut rung[..] else { return None };
        doorbell.led += 1;
        may_send.then_some(*kick)
    }
}
