//! A frame's identity: which frame is this, told from its headers alone.
//!
//! # Why content, and when
//! Inside the host a frame is one `sk_buff` from its birth at the tap (or NIC) to its death, and its pointer
//! is an exact name for it; `skb->head` joins the clones that a flood makes. Where neither reaches (an XDP
//! program runs before the skb exists, native XDP on veth replaces it, segmentation makes new ones, another
//! host has its own) a frame is named by what it says. The name must be the same at every hop, so it covers
//! only what no layer of a host changes, and it must differ between frames, so it covers all of that which
//! varies from frame to frame.
//!
//! # What the digest covers
//! | frame | covered | left out, since a layer changes it |
//! | --- | --- | --- |
//! | any | protocol, kind | MAC addresses, VLAN tags, padding |
//! | IPv4 | identification, fragment offset | TTL, TOS (ECN marks), checksum, options, addresses (NAT) |
//! | IPv6 | – | hop limit, traffic class, flow label, addresses |
//! | TCP | sequence, acknowledgement, SYN FIN RST, timestamp option, whether it has payload | ports, checksum, window, PSH, and length: segmentation |
//! | UDP | length, first 8 bytes of payload | ports, checksum |
//! | ICMP echo | type, sequence, length, first 8 bytes of payload | identifier (NAT rewrites it), checksum |
//! | other ICMP | type, code, first 16 bytes of payload: neighbour discovery's target address | checksum |
//! | fragments | offset, more-fragments, first 8 bytes | |
//! | ARP | operation, the four addresses | |
//! | others | length, first 16 bytes behind the ethertype or IP header | |
//!
//! The key is random per recording: digests of two recordings cannot be compared, nor payload guessed from
//! one. The mixing is multiply and xor-shift; it spreads well and is not cryptographic.
//!
//! # The flow hash
//! Over protocol, addresses and ports, with both ends hashed alike and then ordered: the lowest bit says
//! which way, so `flow ^ 1` is the answer's flow. Fragments count as a flow without ports.
//!
//! # Known limits
//! - Two frames that agree in all of the above are one name: a UDP sender that repeats a payload with IP id 0
//!   (Linux sets 0 with DF on connected sockets). They pair in order and are counted as ambiguous.
//! - Payload counts only as far as it lies in the skb's linear part, which can differ between hops.
//! - Tunnels (VXLAN, Geneve, GRE, IPIP) are read as the outer frame; VLAN tags are skipped.
//! - A proxy or a TLS offload makes new frames: no name survives it.

mod bytes;
mod headers;

use self::bytes::Layer4;
pub use self::{
    bytes::{Bytes, Slice, WINDOW_BYTES, WINDOW_WORDS, Window},
    headers::{Frame, Kind},
};

/// Stacked VLAN tags that are skipped.
const MAX_TAGS: usize = 2;
/// IPv6 extension headers that are skipped.
const MAX_EXTENSIONS: usize = 4;
/// Ethernet header without tags, bytes.
pub const ETHERNET_HEADER: u32 = 14;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;

/// TCP flags that no layer sets or clears: FIN, SYN, RST.
const STABLE_TCP_FLAGS: u32 = 0x07;
/// NOP, NOP, timestamp option of 10 bytes: how all common stacks lay it out (RFC 7323, appendix A).
const TIMESTAMP_OPTION: u32 = 0x0101_080a;

/// Reads the headers of a frame of `len` bytes (from its Ethernet header on) whose outermost ethertype is
/// given, since the kernel keeps that beside the bytes.
///
/// # Errors
/// None: a frame that makes no sense is [`Kind::Other`] or [`Kind::Truncated`] and still has a digest.
#[inline(always)]
pub fn parse(bytes: &impl Bytes, ethertype: u16, len: u32, key: &[u64; 2]) -> Frame {
    let mut offset = ETHERNET_HEADER;
    let mut ethertype = ethertype;
    let mut window = bytes.window(offset);
    for _ in 0..MAX_TAGS {
        if (ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ) || window.available < 4 {
            break;
        }
        ethertype = window.be32(0) as u16;
        offset += 4;
        window = bytes.window(offset);
    }
    let mut reader = Reader { bytes, offset, len, key, frame: blank(ethertype) };
    match ethertype {
        ETHERTYPE_IPV4 => reader.ipv4(&window),
        ETHERTYPE_IPV6 => reader.ipv6(&window),
        ETHERTYPE_ARP => reader.arp(&window),
        _ => reader.other(&window.layer4::<0>()),
    }
    reader.frame.digest |= u64::from(reader.frame.digest == 0);
    reader.frame
}

#[inline(always)]
fn blank(ethertype: u16) -> Frame {
    Frame {
        digest: 0,
        flow: 0,
        kind: Kind::Other,
        ethertype,
        version: 0,
        protocol: 0,
        src: [0; 4],
        dst: [0; 4],
        src_port: 0,
        dst_port: 0,
        seq: 0,
        ack: 0,
        tcp_flags: 0,
        overhead: 0,
    }
}

/// One multiply and xor-shift round of the keyed digest.
#[inline(always)]
fn mix(state: u64, value: u64) -> u64 {
    let state = (state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^ (state >> 29)
}

/// The state of reading one frame: `offset` is where layer 3 starts.
struct Reader<'a, B: Bytes> {
    bytes: &'a B,
    offset: u32,
    len: u32,
    key: &'a [u64; 2],
    frame: Frame,
}

impl<B: Bytes> Reader<'_, B> {
    #[inline(always)]
    fn ipv4(&mut self, window: &Window) {
        let first = window.be32(0);
        let header = ((first >> 24) & 0x0f) * 4;
        if window.available < 20 || header < 20 || first >> 28 != 4 {
            return self.truncated(window);
        }
        self.frame.version = 4;
        self.frame.protocol = (window.be32(2) >> 16) as u8;
        self.frame.src[0] = window.words[3];
        self.frame.dst[0] = window.words[4];
        let total = first & 0xffff;
        let identification = window.be32(1);
        // Fragment offset and more-fragments; DF stays out, since some tunnels clear it.
        let fragment = identification & 0x3fff;
        let identity = ((identification & 0xffff_0000) | fragment) as u64;
        let end = if total == 0 { self.len } else { self.offset + total };
        if header == 20 {
            self.layer4(&window.layer4::<5>(), header, end, identity, fragment != 0);
        } else {
            let further = self.bytes.window(self.offset + header);
            self.layer4(&further.layer4::<0>(), header, end, identity, fragment != 0);
        }
    }

    #[inline(always)]
    fn ipv6(&mut self, window: &Window) {
        if window.available < 40 || window.be32(0) >> 28 != 6 {
            return self.truncated(window);
        }
        self.frame.version = 6;
        self.frame.protocol = (window.be32(1) >> 8) as u8;
        self.frame.src.copy_from_slice(&window.words[2..6]);
        self.frame.dst.copy_from_slice(&window.words[6..10]);
        let payload = window.be32(1) >> 16;
        let end = if payload == 0 { self.len } else { self.offset + 40 + payload };
        if !is_extension(self.frame.protocol) {
            return self.layer4(&window.layer4::<10>(), 40, end, 0, false);
        }
        self.extensions(end);
    }

    /// Skips IPv6 extension headers (RFC 8200, section 4), with a window of its own for each.
    #[inline(always)]
    fn extensions(&mut self, end: u32) {
        let mut header = 40;
        let mut identity = 0;
        let mut fragment = false;
        let mut window = self.bytes.window(self.offset + header);
        for _ in 0..MAX_EXTENSIONS {
            if !is_extension(self.frame.protocol) || window.available < 8 {
                break;
            }
            let first = window.be32(0);
            let is_fragment = self.frame.protocol == FRAGMENT_HEADER;
            if is_fragment {
                identity = ((first as u64 & 0xffff) << 32) | window.be32(1) as u64;
                fragment = first & 0xfff9 != 0;
            }
            header += if is_fragment { 8 } else { (((first >> 16) & 0xff) + 1) * 8 };
            self.frame.protocol = (first >> 24) as u8;
            window = self.bytes.window(self.offset + header);
        }
        self.layer4(&window.layer4::<0>(), header, end, identity, fragment);
    }

    /// `header` is the length of layer 3, `end` where its packet ends, both in bytes; padding lies behind.
    #[inline(always)]
    fn layer4(&mut self, layer4: &Layer4, header: u32, end: u32, identity: u64, fragment: bool) {
        let start = self.offset + header;
        let inside = end.saturating_sub(start);
        let mut state = mix(self.key[0] ^ self.frame.protocol as u64, identity);
        let mut own_header = 0;
        if fragment {
            self.frame.kind = Kind::Fragment;
            state = mix(state, layer4.pair(0));
        } else if layer4.available < 8 {
            self.frame.kind =
                if inside < 8 && self.frame.protocol != PROTOCOL_TCP { Kind::Other } else { Kind::Truncated };
            state = mix(state, inside as u64);
        } else {
            match self.frame.protocol {
                PROTOCOL_TCP => (state, own_header) = self.tcp(layer4, state, inside),
                PROTOCOL_UDP => (state, own_header) = self.udp(layer4, state),
                PROTOCOL_ICMP => (state, own_header) = self.icmp(layer4, state, 8, 0),
                PROTOCOL_ICMPV6 => (state, own_header) = self.icmp(layer4, state, 128, 129),
                _ => state = mix(mix(mix(state, layer4.pair(0)), layer4.pair(2)), inside as u64),
            }
        }
        self.frame.digest = mix(state, self.key[1]);
        self.frame.overhead = self.overhead(inside.saturating_sub(own_header));
        self.flow();
    }

    #[inline(always)]
    fn tcp(&mut self, layer4: &Layer4, state: u64, inside: u32) -> (u64, u32) {
        if layer4.available < 20 {
            self.frame.kind = Kind::Truncated;
            return (mix(state, layer4.pair(0)), 0);
        }
        self.frame.kind = Kind::Tcp;
        self.ports(layer4.be32(0));
        self.frame.seq = layer4.be32(1);
        self.frame.ack = layer4.be32(2);
        let control = layer4.be32(3);
        self.frame.tcp_flags = (control >> 16) as u8;
        let own_header = (control >> 28) * 4;
        // An acknowledgement and the data sent after it agree in all else, and IPv6 has no identification. All
        // segments of a super-frame have payload.
        let has_payload = u32::from(inside > own_header) << 8;
        let mut state = mix(state, layer4.pair(1));
        state = mix(state, (((control >> 16) & STABLE_TCP_FLAGS) | has_payload) as u64);
        if own_header >= 32 && layer4.available >= 32 && layer4.be32(5) == TIMESTAMP_OPTION {
            state = mix(state, layer4.pair(6));
        }
        (state, own_header)
    }

    #[inline(always)]
    fn udp(&mut self, layer4: &Layer4, state: u64) -> (u64, u32) {
        self.frame.kind = Kind::Udp;
        self.ports(layer4.be32(0));
        let length = layer4.be32(1) >> 16;
        (mix(mix(state, length as u64), layer4.pair(2)), 8)
    }

    #[inline(always)]
    fn icmp(&mut self, layer4: &Layer4, mut state: u64, request: u32, reply: u32) -> (u64, u32) {
        let first = layer4.be32(0);
        let second = layer4.be32(1);
        let kind = first >> 24;
        let type_and_code = first >> 16;
        if kind != request && kind != reply {
            self.frame.kind = Kind::Icmp;
            state = mix(state, ((type_and_code as u64) << 32) | second as u64);
            return (mix(mix(state, layer4.pair(2)), layer4.pair(4)), 8);
        }
        self.frame.kind = if kind == request { Kind::EchoRequest } else { Kind::EchoReply };
        self.frame.ack = second >> 16;
        self.frame.seq = second & 0xffff;
        self.frame.src_port = (second >> 16) as u16;
        self.frame.dst_port = self.frame.src_port;
        let said = ((type_and_code as u64) << 32) | self.frame.seq as u64;
        (mix(mix(state, said), layer4.pair(2)), 8)
    }

    /// ARP for IPv4 over Ethernet is 28 bytes (RFC 826); all that varies in it is in the last 22.
    #[inline(always)]
    fn arp(&mut self, window: &Window) {
        if window.available < 28 {
            return self.truncated(window);
        }
        self.frame.kind = Kind::Arp;
        let layer4 = window.layer4::<0>();
        let state = mix(mix(self.key[0] ^ ETHERTYPE_ARP as u64, layer4.pair(1)), layer4.pair(3));
        self.frame.digest = mix(mix(state, layer4.pair(5)), self.key[1]);
        // Sender address at byte 14, target address at byte 24.
        let sender = (window.be32(3) << 16) | (window.be32(4) >> 16);
        self.frame.src[0] = sender.to_be();
        self.frame.dst[0] = window.words[6];
        self.frame.overhead = self.overhead(0);
        self.flow();
    }

    #[inline(always)]
    fn other(&mut self, start: &Layer4) {
        let state = mix(self.key[0] ^ self.frame.ethertype as u64, start.pair(0));
        self.frame.digest = mix(mix(mix(state, start.pair(2)), self.len as u64), self.key[1]);
        self.frame.overhead = self.overhead(self.len.saturating_sub(self.offset));
        self.flow();
    }

    #[inline(always)]
    fn truncated(&mut self, window: &Window) {
        self.other(&window.layer4::<0>());
        self.frame.kind = Kind::Truncated;
    }

    #[inline(always)]
    fn ports(&mut self, word: u32) {
        self.frame.src_port = (word >> 16) as u16;
        self.frame.dst_port = word as u16;
    }

    #[inline(always)]
    fn overhead(&self, payload: u32) -> u8 {
        let overhead = self.len.saturating_sub(payload);
        if overhead > 255 { 255 } else { overhead as u8 }
    }

    #[inline(always)]
    fn flow(&mut self) {
        let src = self.end(&self.frame.src, self.frame.src_port);
        let dst = self.end(&self.frame.dst, self.frame.dst_port);
        let (low, high) = if src < dst { (src, dst) } else { (dst, src) };
        let flow = mix(mix(low, self.frame.protocol as u64), high);
        self.frame.flow = (flow & !1) | u64::from(src > dst);
    }

    #[inline(always)]
    fn end(&self, address: &[u32; 4], port: u16) -> u64 {
        let state = mix(self.key[1], ((address[0] as u64) << 32) | port as u64);
        if self.frame.version != 6 {
            return state;
        }
        let middle = ((address[1] as u64) << 32) | address[2] as u64;
        mix(mix(state, middle), address[3] as u64)
    }
}

const FRAGMENT_HEADER: u8 = 44;

/// Hop-by-hop options, routing, fragment, destination options.
#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 44 | 60)
}

impl Slice<'_> {
    /// Reads the frame, ethertype included. A slice without a whole Ethernet header is truncated.
    pub fn parse(&self, key: &[u64; 2]) -> Frame {
        let ethertype = match self.0 {
            [_, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        };
        parse(self, ethertype, self.0.len() as u32, key)
    }
}

#[cfg(test)]
mod tests;
