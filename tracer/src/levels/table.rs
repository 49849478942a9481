//! The table of the four levels, and a ping's figures.

use std::net::IpAddr;

use serde::Serialize;
use tracer_common::frame::Kind;

use super::{
    ETHERNET, Levels, Protocol, Selection,
    book::{Key, Tally, Times},
};
use crate::decode::Flow;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Ethernet: frames, their bytes with the header and without the check sequence.
    Mac,
    /// IP: the packets' total lengths.
    Network,
    /// TCP, UDP or ICMP: what is in the IP packets, its header included.
    Transport,
    /// Frames with payload behind the transport's header, and that payload.
    Application,
}

/// Frames of one way or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Frames, as on the wire.
    pub frames: u64,
    /// Their bytes at the level.
    pub bytes: u64,
    /// From the first of them to the last, ns.
    pub duration_ns: u64,
}

/// A level's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LevelRow {
    /// Which.
    pub level: Level,
    /// Towards the station.
    pub towards: Count,
    /// From the station.
    pub from: Count,
    /// Both ways.
    pub both: Count,
}

/// The four levels, from the wire up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelTable {
    /// MAC, network, transport, application.
    pub rows: [LevelRow; 4],
    /// Frames of the device of which it is not known whether they are meant: of flows whose addresses were not told, or
    /// beyond the bound.
    pub left_out: u64,
}

/// A ping to the station.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ping {
    /// Echo requests towards the station; bytes at the MAC level.
    pub requests: Count,
    /// Echo replies from it.
    pub replies: Count,
}

/// Sums of one way, by level.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    frames: u64,
    bytes: [u64; 3],
    payload_frames: u64,
    payload_bytes: u64,
    times: Times,
    payload_times: Times,
}

impl Sums {
    fn add(&mut self, tally: &Tally, is_ipv4: bool) {
        let (header, padding) = if is_ipv4 { (20, tally.padding) } else { (40, 0) };
        let network = tally.bytes.saturating_sub(ETHERNET * tally.frames + padding);
        let transport = network.saturating_sub(header * tally.frames);
        self.frames += tally.frames;
        for (sum, bytes) in self.bytes.iter_mut().zip([tally.bytes, network, transport]) {
            *sum += bytes;
        }
        self.payload_frames += tally.payload_frames;
        self.payload_bytes += tally.payload_bytes;
        self.times.join(tally.times);
        self.payload_times.join(tally.payload_times);
    }

    fn with(mut self, other: Sums) -> Sums {
        self.frames += other.frames;
        for (sum, bytes) in self.bytes.iter_mut().zip(other.bytes) {
            *sum += bytes;
        }
        self.payload_frames += other.payload_frames;
        self.payload_bytes += other.payload_bytes;
        self.times.join(other.times);
        self.payload_times.join(other.payload_times);
        self
    }

    fn at(&self, level: Level) -> Count {
        let all = |bytes| Count { frames: self.frames, bytes, duration_ns: self.times.duration_ns() };
        match level {
            Level::Mac => all(self.bytes[0]),
            Level::Network => all(self.bytes[1]),
            Level::Transport => all(self.bytes[2]),
            Level::Application => Count {
                frames: self.payload_frames,
                bytes: self.payload_bytes,
                duration_ns: self.payload_times.duration_ns(),
            },
        }
    }
}

impl Selection {
    fn takes(&self, key: &Key, flow: &Flow) -> bool {
        let protocol = match self.protocol {
            Protocol::Echo => matches!(key.kind, Kind::EchoRequest | Kind::EchoReply),
            Protocol::Tcp => flow.protocol == TCP,
            Protocol::Udp => flow.protocol == UDP,
            Protocol::Ip => true,
        };
        // An echo's identifier stands where ports do.
        let has_port = |port| {
            !matches!(flow.protocol, ICMP | ICMPV6) && (flow.src_port == port || flow.dst_port == port)
        };
        protocol && self.port.is_none_or(has_port)
    }

    /// Whether a frame goes towards the station; none where the station is no end of the flow.
    fn is_towards(&self, key: &Key, (src, dst): (IpAddr, IpAddr)) -> Option<bool> {
        match (self.station.contains(&src), self.station.contains(&dst)) {
            _ if self.station.is_empty() => Some(key.sent),
            (_, true) => Some(true),
            (true, false) => Some(false),
            (false, false) => None,
        }
    }
}

/// Sums towards the station and from it of what `takes` lets pass, and the frames that cannot be told.
fn sums(levels: &Levels, select: &Selection, takes: impl Fn(&Key, bool) -> bool) -> (Sums, Sums, u64) {
    let (mut towards, mut from) = (Sums::default(), Sums::default());
    let mut unknown = levels.left_out(select.device);
    for (key, tally, flow) in levels.of_device(select.device) {
        let Some(flow) = flow else {
            // What is no IP has no flow that could be told.
            unknown += if key.kind == Kind::Arp { 0 } else { tally.frames };
            continue;
        };
        let (Some(src), Some(dst)) = (flow.src, flow.dst) else { continue };
        let Some(is_towards) = select.is_towards(key, (src, dst)).filter(|_| select.takes(key, &flow)) else {
            continue;
        };
        if takes(key, is_towards) {
            let sums = if is_towards { &mut towards } else { &mut from };
            sums.add(tally, src.is_ipv4());
        }
    }
    (towards, from, unknown)
}

impl LevelTable {
    pub(super) fn of(levels: &Levels, select: &Selection) -> LevelTable {
        let (towards, from, left_out) = sums(levels, select, |_, _| true);
        let both = towards.with(from);
        let row = |level| LevelRow {
            level,
            towards: towards.at(level),
            from: from.at(level),
            both: both.at(level),
        };
        let rows = [Level::Mac, Level::Network, Level::Transport, Level::Application].map(row);
        LevelTable { rows, left_out }
    }
}

impl Ping {
    pub(super) fn of(levels: &Levels, select: &Selection) -> Ping {
        let asked = |key: &Key, is_towards: bool| match key.kind {
            Kind::EchoRequest => is_towards,
            Kind::EchoReply => !is_towards,
            _ => false,
        };
        let (requests, replies, _) = sums(levels, select, asked);
        Ping { requests: requests.at(Level::Mac), replies: replies.at(Level::Mac) }
    }
}
