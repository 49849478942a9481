//! Events that no kernel would send, in any order: passages and exchanges within their limits, and the same ones
//! whenever they are asked for.

use tracer::{
    correlate::{
        Correlator, Limits, Options, Passage,
        exchange::{Exchange, Exchanger},
    },
    decode::{Event, LATEST_NS},
};
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use crate::world::{Machine, Random, Recipe, correlator};

/// Bytes that an event is made of.
const BYTES: usize = 12;

/// Stamps that a way has at most, with branches that share them.
const MOST_STAMPS: usize = 32;

pub(super) fn run(bytes: &[u8]) {
    let Some((&host, bytes)) = bytes.split_first() else { return };
    let events = events(bytes);
    let eager = Told::of(&events, host, true);
    let late = Told::of(&events, host, false);
    assert!(
        eager.passages.len() <= events.len(),
        "{} passages of {} events",
        eager.passages.len(),
        events.len()
    );
    let stamps: usize = eager.passages.iter().map(|passage| passage.stamps.len()).sum();
    assert!(stamps <= events.len() * MOST_STAMPS, "{stamps} stamps of {} events", events.len());
    assert_eq!(eager.passages.len(), late.passages.len());
    assert!(eager.passages.iter().all(|passage| late.passages.contains(passage)));
}

/// What became of events.
struct Told {
    passages: Vec<Passage>,
    exchanger: Exchanger,
    exchanges: usize,
}

impl Told {
    /// Asks for passages after each event, or only when all are in.
    fn of(events: &[Event], host: u8, eager: bool) -> Told {
        let mut told = Told { passages: Vec::new(), exchanger: Exchanger::default(), exchanges: 0 };
        let mut correlator = host_of(host);
        for event in events {
            correlator.push(*event);
            if eager {
                told.collect(&mut correlator);
            }
        }
        correlator.finish();
        told.collect(&mut correlator);
        told.exchanger.finish();
        assert!(told.exchanges <= told.passages.len());
        told
    }

    fn collect(&mut self, correlator: &mut Correlator) {
        while let Some(passage) = correlator.poll() {
            self.exchanger.push(&passage);
            self.passages.push((*passage).clone());
            correlator.take_back(passage);
            while let Some(exchange) = self.exchanger.poll() {
                self.exchanges += 1;
                in_order(&exchange);
            }
        }
    }
}

fn in_order(exchange: &Exchange) {
    assert!(exchange.turn <= exchange.stamps.len(), "{exchange:?}");
}

/// The host that a byte stands for: VMs, what runs them, hooks, and how many passages may be open.
fn host_of(byte: u8) -> Correlator {
    let bit = |number: u8| byte & (1 << number) != 0;
    let machine = match (bit(0), bit(1)) {
        (false, _) => Machine::Emulated,
        (true, vhost) => Machine::Kvm { vhost, queues: 1 + usize::from(vhost) },
    };
    let limits = Limits { open: if bit(2) { 3 } else { 1000 }, ..Limits::default() };
    let options = Options {
        waits_for_vcpu: bit(3),
        irqs: bit(4),
        xdp: bit(5),
        no_socket: Some(3),
        segments_told: bit(6),
    };
    correlator(usize::from(bit(6)) + usize::from(bit(7)), machine, limits, options)
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let mut now = 0;
    bytes.as_chunks::<BYTES>().0.iter().map(|bytes| event(bytes, &mut now)).collect()
}

/// An event of few addresses, contents and threads, so that they meet.
fn event(
    &[hop, hook, time, place, skb, head, digest, flow, kind, number, sign, tid]: &[u8; BYTES],
    now: &mut u64,
) -> Event {
    let nibbles = |byte: u8| (u64::from(byte >> 4), u64::from(byte & 15));
    *now = moved(*now, time);
    let (cpu, device) = nibbles(place);
    let (seq, ack) = nibbles(number);
    Event {
        time_ns: *now,
        skb: u64::from(skb & 15),
        head: u64::from(head & 15),
        digest: u64::from(digest & 15),
        flow: u64::from(flow & 15),
        len: u32::from(sign) * 61,
        seq: spread(seq),
        ack: spread(ack),
        stamps: u32::from(head >> 4),
        tid: u32::from(tid & 31),
        cpu: cpu as u16 & 3,
        device: (device < 4).then_some(device as u8),
        hop: Hop::ALL[usize::from(hop) % Hop::ALL.len()],
        hook: Hook::ALL[usize::from(hook) % Hook::ALL.len()],
        kind: Kind::from_code(kind % 11),
        tcp_flags: kind,
        overhead: sign,
        gso_size: SIZES[usize::from(skb >> 4) % SIZES.len()],
        tunnelled: digest & 16 != 0,
    }
}

/// Payload of a super-frame's segments.
const SIZES: [u16; 5] = [0, 1, 61, 1448, u16::MAX];

/// A byte as a step of time: forth by up to a minute, back a little, and to its ends.
fn moved(now: u64, step: u8) -> u64 {
    match step {
        255 => LATEST_NS,
        254 => LATEST_NS - 1_000_000,
        253 => 0,
        240..=252 => now.saturating_sub(1_000 << (2 * (step - 240))),
        _ => (now + ((u64::from(step % 8) + 1) << (step / 8))).min(LATEST_NS),
    }
}

/// Numbers close to each other, and on both sides of where they wrap.
fn spread(nibble: u64) -> u32 {
    [
        0,
        1,
        2,
        100,
        1000,
        1460,
        2920,
        4380,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX - 1460,
        u32::MAX - 1,
        u32::MAX,
        5,
        6,
        7,
    ][nibble as usize]
}

/// Noise, and the hops of worlds that make sense.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::new(0xc0de);
    let mut noise = |length: usize| (0..length).map(|_| random.number() as u8).collect::<Vec<u8>>();
    let mut seeds: Vec<Vec<u8>> = [1, 13, 200, 1201].into_iter().map(&mut noise).collect();
    seeds.extend((0..12).map(told_small));
    seeds
}

/// A world in the bytes of this target: its events' addresses and times, as far as they fit.
fn told_small(seed: u64) -> Vec<u8> {
    let machine = if seed.is_multiple_of(2) {
        Machine::Emulated
    } else {
        Machine::Kvm { vhost: seed % 4 == 1, queues: 1 }
    };
    let recipe = Recipe {
        seed,
        vms: 1 + (seed % 2) as usize,
        machine,
        routed: seed.is_multiple_of(3),
        user: false,
        talks: 3,
        nat: false,
        xdp: None,
        bridge: !seed.is_multiple_of(3),
        vcpu: true,
        drops: 50,
        tap_cuts: false,
        duplicates: 0,
        lag_ns: 0,
    };
    let host = u8::from(machine.is_kvm()) | 0b0101_1000;
    let mut before = 0;
    let events = recipe.build().events;
    let encode = |event: &Event| {
        let hop = Hop::ALL.iter().position(|hop| *hop == event.hop).unwrap_or_default() as u8;
        let hook = Hook::ALL.iter().position(|hook| *hook == event.hook).unwrap_or_default() as u8;
        let time = 8 * (64 - (event.time_ns - before).leading_zeros().min(63)).saturating_sub(3) as u8;
        before = event.time_ns;
        let place = event.device.map_or(15, |device| device & 3) | ((event.cpu as u8 & 3) << 4);
        let low = |number: u64| (number ^ (number >> 8) ^ (number >> 16)) as u8 & 15;
        let kind = event.kind.map_or(0, |kind| kind as u8);
        let content = [low(event.skb), low(event.head), low(event.digest), event.flow as u8, kind];
        [
            &[hop, hook, time.min(239), place][..],
            &content,
            &[low(u64::from(event.seq)), event.overhead, event.tid as u8],
        ]
        .concat()
    };
    std::iter::once(host).chain(events.iter().flat_map(encode)).collect()
}
