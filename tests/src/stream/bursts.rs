//! Downloads whose segments arrive in bursts that GRO merges: one super-frame goes on to the guest, which acknowledges it.

use tracer::decode::Event;
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use crate::world::{NIC, Random, tap, worker};

/// Bursts for each thousand events of a world.
const PER_THOUSAND: usize = 5;
/// Bytes of a segment, and of what goes before them.
const SEGMENT: u32 = 1448;
const HEADERS: u32 = 66;
const ACK: u8 = 0x10;
/// Where the memory of these frames is: by itself.
const SKBS: u64 = 0xffff_8890_0000_0000;
const HEADS: u64 = 0xffff_8891_0000_0000;
/// Flows of downloads; those of worlds are smaller.
const FLOWS: u64 = 1 << 40;
const DOWNLOADS: usize = 8;

/// One burst in the making.
struct Burst {
    events: Vec<Event>,
    now_ns: u64,
    flow: u64,
    seq: u32,
    digest: u64,
}

/// Bursts for a world's events, at random times.
pub(super) fn over(events: &[Event], random: &mut Random) -> Vec<Event> {
    let last_ns = events.iter().map(|event| event.time_ns).max().unwrap_or_default();
    let count = events.len() * PER_THOUSAND / 1000;
    let mut starts: Vec<u64> = (0..count).map(|_| random.below(last_ns)).collect();
    starts.sort_unstable();
    let (mut sent, mut now_ns, mut events) = ([1_u32; DOWNLOADS], 0, Vec::new());
    for start_ns in starts {
        let download = random.below(DOWNLOADS as u64) as usize;
        let segments = 2 + random.below(43) as u32;
        let mut burst = Burst {
            events,
            now_ns: start_ns.max(now_ns),
            flow: FLOWS + 2 * download as u64,
            seq: sent[download],
            digest: random.number() | 1,
        };
        burst.arrive(segments);
        sent[download] += segments * SEGMENT;
        Burst { events, now_ns, .. } = burst;
    }
    events
}

impl Burst {
    fn arrive(&mut self, segments: u32) {
        for number in 0..segments {
            let (seq, digest) = (self.seq + number * SEGMENT, self.digest + u64::from(number));
            let event = Event { seq, digest, ..self.frame(Hop::NicRx, NIC, u64::from(number), SEGMENT) };
            self.events.push(event);
        }
        let whole = segments * SEGMENT;
        for (hop, device) in [
            (Hop::NicStack, NIC),
            (Hop::BridgeIn, NIC),
            (Hop::BridgeOut, tap(0)),
            (Hop::TapQueue, tap(0)),
            (Hop::TapRing, tap(0)),
        ] {
            let event = Event { gso_size: SEGMENT as u16, ..self.frame(hop, device, 0, whole) };
            self.events.push(event);
        }
        for hop in [Hop::VmmRead, Hop::SkbFree] {
            let event = self.bare(hop, tap(0), 0);
            self.events.push(event);
        }
        self.now_ns += 10_000;
        self.acknowledge(self.seq + whole);
    }

    fn acknowledge(&mut self, ack: u32) {
        let (flow, seq, digest) = (self.flow ^ 1, 1, !self.digest);
        for (hop, device) in [
            (Hop::TapRx, tap(0)),
            (Hop::BridgeIn, tap(0)),
            (Hop::BridgeOut, NIC),
            (Hop::NicQueue, NIC),
            (Hop::NicXmit, NIC),
        ] {
            let event = Event { flow, seq, ack, digest, ..self.frame(hop, device, 100, 0) };
            self.events.push(event);
        }
        let event = self.bare(Hop::SkbFree, NIC, 100);
        self.events.push(event);
    }

    fn frame(&mut self, hop: Hop, device: u8, memory: u64, payload: u32) -> Event {
        Event {
            head: HEADS + 0x800 * memory,
            digest: self.digest,
            flow: self.flow,
            len: HEADERS + payload,
            seq: self.seq,
            ack: 1,
            kind: Some(Kind::Tcp),
            tcp_flags: ACK,
            overhead: HEADERS as u8,
            ..self.bare(hop, device, memory)
        }
    }

    fn bare(&mut self, hop: Hop, device: u8, memory: u64) -> Event {
        self.now_ns += 300;
        Event {
            skb: SKBS + 0x100 * memory,
            tid: if hop == Hop::VmmRead { worker(0, 0) } else { 0 },
            device: Some(device),
            ..Event::at(self.now_ns, hop, Hook::NetifReceiveSkb)
        }
    }
}
