//! Counts by device, way and flow.
//!
//! # Where
//! At a NIC `nic.rx` and `nic.xmit`, at a tap `tap.rx` and `tap.ring`: behind all that cuts super-frames up in software, and
//! once for each frame, since a flood's copies go to other devices. A super-frame that is left counts as its segments, each
//! with headers of its own. XDP's sights are left out: the frame is seen again with its address.
//!
//! # Padding
//! A frame has at least 60 bytes, and short IPv4 packets are padded to that. The record does not say how many bytes that
//! were, but of a frame of 60 bytes its payload and the usual headers tell: 20 bytes of IPv4, 8 of UDP and ICMP, 20 of TCP,
//! and with a SYN 4 more for the maximum segment size.

use rustc_hash::FxHashMap;
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use super::{
    ETHERNET, Selection,
    table::{LevelTable, Ping},
};
use crate::{
    analysis::Observer,
    decode::{Event, Flow},
    recording::Note,
};

/// Flows of which counts or addresses are kept.
const MOST: usize = 1 << 16;
/// Bytes of the shortest frame, without its check sequence.
const SHORTEST: u32 = 60;
/// Bytes of an IPv4 header without options.
const IPV4: u32 = 20;
const SYN: u8 = 0x02;

/// What passed each device, by flow.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    counts: FxHashMap<Key, Tally>,
    names: FxHashMap<u64, Flow>,
    /// Frames by device that found no room.
    left_out: FxHashMap<u8, u64>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) device: u8,
    /// By the host, over its NIC or to a guest.
    pub(super) sent: bool,
    pub(super) flow: u64,
    /// Echo requests, replies and the rest of ICMP share flows.
    pub(super) kind: Kind,
}

/// Counts as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) frames: u64,
    /// Ethernet header included.
    pub(super) bytes: u64,
    /// Of these, what pads short frames, if they are IPv4.
    pub(super) padding: u64,
    pub(super) payload_frames: u64,
    pub(super) payload_bytes: u64,
    pub(super) times: Times,
    pub(super) payload_times: Times,
}

/// From the first to the last, ns of event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times(pub(super) Option<(u64, u64)>);

impl Times {
    fn note(&mut self, time_ns: u64) {
        self.join(Times(Some((time_ns, time_ns))));
    }

    pub(super) fn join(&mut self, other: Times) {
        self.0 = match (self.0, other.0) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (one, other) => one.or(other),
        };
    }

    pub(super) fn duration_ns(self) -> u64 {
        self.0.map_or(0, |(first, last)| last - first)
    }
}

impl Tally {
    fn note(&mut self, event: &Event, kind: Kind) {
        let frames = u64::from(event.wire_frames());
        let payload = u64::from(payload(event, kind));
        self.frames += frames;
        self.bytes += u64::from(event.len) + (frames - 1) * u64::from(event.overhead);
        self.padding += u64::from(padding(event, kind));
        self.times.note(event.time_ns);
        if payload > 0 {
            self.payload_frames += frames;
            self.payload_bytes += payload;
            self.payload_times.note(event.time_ns);
        }
    }
}

/// Bytes behind the header of TCP, UDP or echo; of anything else it is not known what an application put there.
fn payload(event: &Event, kind: Kind) -> u32 {
    match kind {
        Kind::Tcp | Kind::Udp | Kind::EchoRequest | Kind::EchoReply => event.payload(),
        _ => 0,
    }
}

/// Bytes that an IPv4 packet was padded with.
fn padding(event: &Event, kind: Kind) -> u32 {
    let header = match kind {
        _ if event.len != SHORTEST || event.tunnelled => return 0,
        Kind::Tcp if event.tcp_flags & SYN != 0 && event.payload() <= 2 => 24,
        Kind::Tcp => 20,
        Kind::Udp | Kind::EchoRequest | Kind::EchoReply | Kind::Icmp => 8,
        // All behind the IP header counts as their payload.
        Kind::Fragment | Kind::Other => 0,
        Kind::Arp | Kind::Truncated => return 0,
    };
    SHORTEST.saturating_sub(ETHERNET as u32 + IPV4 + header + event.payload())
}

/// Whether an event counts, and as sent.
fn counting(event: &Event) -> Option<bool> {
    match event.hop {
        _ if event.hook == Hook::Xdp => None,
        Hop::NicRx | Hop::TapRx => Some(false),
        Hop::NicXmit | Hop::TapRing => Some(true),
        _ => None,
    }
}

impl Observer for Levels {
    fn event(&mut self, event: &Event) {
        let (Some(sent), Some(kind), Some(device)) = (counting(event), event.kind, event.device) else {
            return;
        };
        let key = Key { device, sent, flow: event.flow, kind };
        if self.counts.len() >= MOST && !self.counts.contains_key(&key) {
            *self.left_out.entry(device).or_default() += u64::from(event.wire_frames());
            return;
        }
        self.counts.entry(key).or_default().note(event, kind);
    }

    fn note(&mut self, note: &Note) {
        if let Note::Flow(flow) = note
            && self.names.len() < MOST
        {
            self.names.insert(flow.flow, *flow);
        }
    }
}

impl Levels {
    /// The four levels of what is selected.
    pub fn table(&self, select: &Selection) -> LevelTable {
        LevelTable::of(self, select)
    }

    /// The echo requests to the station and the replies from it, of what is selected.
    pub fn ping(&self, select: &Selection) -> Ping {
        Ping::of(self, select)
    }

    /// What passed a device, with the addresses of each flow where they were told.
    pub(super) fn of_device(&self, device: u8) -> impl Iterator<Item = (&Key, &Tally, Option<Flow>)> {
        let here = self.counts.iter().filter(move |(key, _)| key.device == device);
        here.map(|(key, tally)| (key, tally, self.name(key.flow)))
    }

    /// Frames of a device that found no room.
    pub(super) fn left_out(&self, device: u8) -> u64 {
        self.left_out.get(&device).copied().unwrap_or_default()
    }

    /// The ends of a flow, of which only the reverse one may have been told.
    fn name(&self, flow: u64) -> Option<Flow> {
        let reversed = |known: &Flow| Flow {
            flow,
            src: known.dst,
            dst: known.src,
            src_port: known.dst_port,
            dst_port: known.src_port,
            protocol: known.protocol,
        };
        self.names.get(&flow).copied().or_else(|| self.names.get(&(flow ^ 1)).map(reversed))
    }
}
