//! Kicks that no frame has claimed: for which queue a guest rang, as far as that can be told.

use rustc_hash::FxHashMap;

use crate::correlate::passage::Stamp;

/// Doorbells, and vhost queues, that are told apart by VM: the guest chooses what it writes to. One with 64 vCPUs, and a
/// queue for each in a NIC, a disk and a console, has 256.
const MOST: usize = 1024;

/// Kicks of one VM that no frame has claimed.
#[derive(Clone, Debug, Default)]
pub(super) struct Kicks {
    /// Those that were not for a vhost queue, or are not yet known to be; in the order of their addresses.
    doorbells: Vec<Doorbell>,
    /// By vhost queue: the first one since the worker last began on it.
    by_queue: FxHashMap<u64, Stamp>,
    /// The last kick of a doorbell that was given up with it, which no frame has claimed either.
    given_up_ns: Option<u64>,
    /// How many doorbells and queues were given up, for want of room.
    pub(super) evicted: u64,
}

/// What a guest writes to for a queue of one of its devices, whichever that is.
#[derive(Clone, Debug, Default)]
struct Doorbell {
    address: u64,
    /// The last kick that no frame has claimed, with the vCPU's thread.
    rung: Option<(Stamp, u32)>,
    /// How many kicks there were.
    kicks: u64,
    /// How many of them alone led to a write.
    led: u64,
    /// When it was last rung, ns.
    last_ns: u64,
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
    pub(super) fn ring(&mut self, address: u64, kick: Stamp, tid: u32) {
        let doorbell = self.doorbell(address);
        (doorbell.rung, doorbell.kicks, doorbell.last_ns) =
            (Some((kick, tid)), doorbell.kicks + 1, kick.time_ns);
    }

    /// The doorbell at an address, a new one where none is known.
    fn doorbell(&mut self, address: u64) -> &mut Doorbell {
        let find = |doorbells: &[Doorbell]| doorbells.binary_search_by_key(&address, |known| known.address);
        let at = match find(&self.doorbells) {
            Ok(at) => at,
            Err(_) => {
                if self.doorbells.len() == MOST {
                    self.give_up_doorbell();
                }
                let at = find(&self.doorbells).unwrap_or_else(|at| at);
                self.doorbells.insert(at, Doorbell { address, ..Doorbell::default() });
                at
            }
        };
        &mut self.doorbells[at]
    }

    /// Gives up the doorbell that was not rung for the longest time.
    fn give_up_doorbell(&mut self) {
        let oldest = (0..self.doorbells.len()).min_by_key(|at| self.doorbells[*at].last_ns);
        let Some(gone) = oldest.map(|at| self.doorbells.remove(at)) else { return };
        self.given_up_ns = self.given_up_ns.max(gone.rung.map(|(kick, _)| kick.time_ns));
        self.evicted += 1;
    }

    /// A kick reaches a queue of vhost. The first one since a worker last began there makes it begin again.
    pub(super) fn reached(&mut self, queue: u64, kick: Stamp, tid: u32) {
        if self.by_queue.len() == MOST && !self.by_queue.contains_key(&queue) {
            self.give_up_queue();
        }
        self.by_queue.entry(queue).or_insert(kick);
        for doorbell in self.doorbells.iter_mut().filter(|doorbell| doorbell.rung == Some((kick, tid))) {
            (doorbell.rung, doorbell.kicks) = (None, doorbell.kicks.saturating_sub(1));
        }
    }

    /// Gives up the queue whose worker was kicked first and has not begun since.
    fn give_up_queue(&mut self) {
        let oldest = self.by_queue.iter().map(|(queue, kick)| (kick.time_ns, *queue)).min();
        if let Some((_, queue)) = oldest {
            self.by_queue.remove(&queue);
            self.evicted += 1;
        }
    }

    /// The kick that made a worker begin to take frames from a queue.
    pub(super) fn begun(&mut self, queue: u64) -> Option<Stamp> {
        self.by_queue.remove(&queue)
    }

    /// Takes the kick that led to a VMM's write. Where the guest rang for several queues, none is known to be the one:
    /// all are given up.
    pub(super) fn claim(&mut self, until_ns: u64) -> Option<Stamp> {
        // One that was given up had rung as well.
        let unknown = self.given_up_ns.take_if(|kick_ns| *kick_ns <= until_ns).is_some();
        let best = self.doorbells.iter().map(Doorbell::rate).fold(0.0, f64::max);
        let before = |kick: &mut (Stamp, u32)| kick.0.time_ns <= until_ns;
        let rung = self.doorbells.iter_mut().filter_map(|doorbell| {
            let (kick, _) = doorbell.rung.take_if(before)?;
            Some((doorbell.may_send(best), kick, doorbell))
        });
        let mut rung: Vec<_> = rung.collect();
        if rung.len() > 1 {
            rung.retain(|(may_send, ..)| *may_send);
        }
        let [(may_send, kick, doorbell)] = &mut rung[..] else { return None };
        if unknown {
            return None;
        }
        doorbell.led += 1;
        may_send.then_some(*kick)
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::hop::{Hook, Hop};

    use super::*;
    use crate::correlate::Rule;

    fn kick(time_ns: u64) -> Stamp {
        Stamp { hop: Hop::VmmKick, time_ns, hook: Hook::IoeventfdWrite, rule: Rule::Thread }
    }

    #[test]
    fn a_guest_that_rings_everywhere_is_followed_as_far_as_there_is_room() {
        let mut kicks = Kicks::default();
        for number in 0..3 * MOST as u64 {
            kicks.ring(number << 12, kick(number), 1);
            kicks.reached(number, kick(number), 2);
        }
        assert_eq!(
            (kicks.doorbells.len(), kicks.by_queue.len(), kicks.evicted),
            (MOST, MOST, 4 * MOST as u64)
        );
        assert_eq!((kicks.begun(0), kicks.begun(3000)), (None, Some(kick(3000))));
    }

    #[test]
    fn a_kick_that_was_given_up_leaves_the_others_in_doubt_once() {
        let mut kicks = Kicks::default();
        kicks.ring(0, kick(10), 1);
        assert_eq!(kicks.claim(15), Some(kick(10)));
        for number in 1..=MOST as u64 {
            kicks.ring(0, kick(100 * number), 1);
            kicks.ring(number << 12, kick(100 * number + 1), 1);
        }
        // All but the one that was given up are claimed with it.
        assert_eq!(kicks.claim(99), None);
        let last_ns = 200 * MOST as u64;
        assert_eq!(kicks.claim(last_ns), None);
        kicks.ring(0, kick(last_ns + 10), 1);
        assert_eq!(kicks.claim(last_ns + 20), Some(kick(last_ns + 10)));
        kicks.ring(1 << 60, kick(last_ns + 30), 1);
        kicks.ring(1 << 61, kick(last_ns + 31), 1);
        assert_eq!(kicks.evicted, 3);
        assert!(kicks.given_up_ns.is_none(), "those had led to a frame, or been given up before");
    }
}
