//! What a recording's header says of the numbers in events: names of hops, VMs behind taps, the wall clock.

use std::collections::BTreeMap;

use tracer_common::hop::{HOP_SLOTS, Hop};

use crate::{
    correlate::{Passage, Side},
    recording::{DeviceSlot, Header, Note},
};

/// Names and clock of one recording.
pub(super) struct Names {
    hops: Vec<String>,
    /// By the slot of a tap.
    vms: BTreeMap<u8, String>,
    /// What the wall clock is ahead of `CLOCK_MONOTONIC`, ns.
    ahead_ns: i128,
}

impl Names {
    pub(super) fn of(header: &Header) -> Names {
        let mut hops = vec![String::new(); HOP_SLOTS];
        for &hop in Hop::ALL {
            hops[hop as usize] = header.hop_name(hop);
        }
        Names {
            hops,
            vms: taps(&header.devices).collect(),
            ahead_ns: i128::from(header.started_unix_ns) - i128::from(header.started_monotonic_ns),
        }
    }

    /// Learns of taps that came while the recording went on.
    pub(super) fn note(&mut self, note: &Note) {
        if let Note::Warning { came: Some(came), .. } = note {
            self.vms.extend(taps(&came.devices));
        }
    }

    /// The name of a hop, a user's own included.
    pub(super) fn hop(&self, hop: Hop) -> &str {
        &self.hops[hop as usize]
    }

    /// The VM of the tap with this slot; empty where that is not known.
    pub(super) fn vm(&self, slot: u8) -> &str {
        self.vms.get(&slot).map_or("", String::as_str)
    }

    /// Wall clock, ns since the epoch; `None` where a header makes no sense.
    pub(super) fn unix_ns(&self, monotonic_ns: u64) -> Option<i64> {
        i64::try_from(i128::from(monotonic_ns) + self.ahead_ns).ok().filter(|&time_ns| time_ns >= 0)
    }
}

/// Slots of taps, and the VMs' names.
fn taps(devices: &[DeviceSlot]) -> impl Iterator<Item = (u8, String)> {
    devices.iter().filter(|entry| entry.role == "tap").map(|entry| (entry.slot, entry.vm.clone()))
}

/// Slot of the tap of the guest that takes part in an exchange with this answer; between two guests that of the one that
/// asked.
pub(super) fn guest(answer: &Passage) -> Option<u8> {
    match (answer.from, answer.to) {
        (_, Side::Guest(slot)) | (Side::Guest(slot), _) => Some(slot),
        _ => None,
    }
}
