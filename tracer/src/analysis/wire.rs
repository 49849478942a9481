//! What passed each NIC: frames and bytes, as the host has them and as the wire does.

use std::collections::BTreeMap;

use tracer_common::hop::{Hook, Hop};

use crate::{
    decode::Event,
    recording::{DeviceSlot, Header},
    report::NicRow,
    topology::Device,
};

/// Counts of one NIC and way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    frames: u64,
    bytes: u64,
    wire_frames: u64,
    wire_bytes: u64,
}

/// What passed each NIC, by its slot and whether it was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct WireBook {
    counts: BTreeMap<(u8, bool), Counts>,
}

impl WireBook {
    /// Enters an event of a NIC's driver. XDP's sights are left out: the frame is seen again with its address.
    pub(super) fn event(&mut self, event: &Event) {
        let sent = event.hop == Hop::NicXmit;
        if !sent && (event.hop != Hop::NicRx || event.hook == Hook::Xdp) {
            return;
        }
        let Some(slot) = event.device else { return };
        let counts = self.counts.entry((slot, sent)).or_default();
        let wire_frames = u64::from(event.wire_frames());
        counts.frames += 1;
        counts.bytes += u64::from(event.len);
        counts.wire_frames += wire_frames;
        counts.wire_bytes += u64::from(event.len) + (wire_frames - 1) * u64::from(event.overhead);
    }

    /// The rows, by device.
    pub(super) fn lay_out(&self, header: &Header) -> Vec<NicRow> {
        let row = |(&(slot, sent), counts): (&(u8, bool), &Counts)| {
            let same = |entry: &&DeviceSlot| entry.slot == slot;
            let device = header.devices.iter().find(same).map(|entry| &entry.device);
            NicRow {
                device: device.map(|device| device.name.clone()).unwrap_or_default(),
                netns: device.map(Device::netns_label).unwrap_or_default(),
                way: if sent { "transmit" } else { "receive" }.to_owned(),
                frames: counts.frames,
                bytes: counts.bytes,
                wire_frames: counts.wire_frames,
                wire_bytes: counts.wire_bytes,
            }
        };
        self.counts.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_super_frame_is_its_segments_on_the_wire() {
        let mut book = WireBook::default();
        let frame = Event {
            device: Some(1),
            len: 66 + 3000,
            overhead: 66,
            ..Event::at(1, Hop::NicXmit, Hook::NetDevStartXmit)
        };
        book.event(&Event { kind: Some(tracer_common::frame::Kind::Tcp), gso_size: 1448, ..frame });
        book.event(&Event { len: 98, overhead: 42, ..frame });
        book.event(&Event { hop: Hop::NicQueue, ..frame });
        let expected = Counts { frames: 2, bytes: 3066 + 98, wire_frames: 4, wire_bytes: 3000 + 3 * 66 + 98 };
        assert_eq!(book.counts, BTreeMap::from([((1, true), expected)]));
    }

    #[test]
    fn a_frame_that_xdp_saw_as_well_counts_once() {
        let mut book = WireBook::default();
        let frame = Event { device: Some(1), len: 98, ..Event::at(1, Hop::NicRx, Hook::Xdp) };
        book.event(&frame);
        book.event(&Event { hook: Hook::NetifRx, ..frame });
        assert_eq!(book.counts[&(1, false)].frames, 1);
    }
}
