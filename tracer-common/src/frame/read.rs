//! What the headers of the innermost frame say.

use core::hint::black_box;

use super::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP,
    PROTOCOL_UDP,
    bytes::{Bytes, Layer4, Window},
    headers::{Frame, Kind},
    mix,
    unwrap::Place,
};

/// In [`Frame::seq`] of UDP: there is an identification.
const NUMBERED: u32 = 0x1_0000;
/// IPv6 extension headers that are skipped.
const MAX_EXTENSIONS: u32 = 4;
/// TCP flags that no layer sets or clears: FIN, SYN, RST.
const STABLE_TCP_FLAGS: u32 = 0x07;
/// NOP, NOP, timestamp option of 10 bytes: how all common stacks lay it out (RFC 7323, appendix A).
const TIMESTAMP_OPTION: u32 = 0x0101_080a;

/// ARP for IPv4 over Ethernet, bytes (RFC 826).
const ARP_BYTES: u32 = 28;

/// Below it the field is a length (IEEE 802.3), and the kernel keeps a type of its own in its place (`eth_type_trans`).
const FIRST_ETHERTYPE: u16 = 0x0600;

/// Reads the frame whose layer 3 starts at `place`; the outermost has `len` bytes from its Ethernet header on.
///
/// All ways through it meet before layer 4 and at the end, each of which is there once, and leave behind what the kernel's
/// verifier has learnt on them: else it would follow the rest of a program for each way anew.
#[inline(always)]
pub(super) fn read(bytes: &impl Bytes, place: &Place, len: u32, key: &[u64; 2]) -> Frame {
    let ethertype = if place.ethertype < FIRST_ETHERTYPE { 0 } else { place.ethertype };
    let frame = blank(bytes, ethertype, place.tunnelled);
    let mut reader = Reader { bytes, offset: place.offset, len, key, frame };
    let content = match reader.packet(&place.window) {
        Some(packet) => reader.layer4(&packet),
        None if ethertype == ETHERTYPE_ARP && place.window.available >= ARP_BYTES => {
            reader.arp(&place.window)
        }
        None => reader.other(&place.window.layer4::<0>()),
    };
    reader.finish(content)
}

/// A frame of which nothing is known. The verifier does not know these zeros: it would tell ways that have set a field
/// from those that have not.
#[inline(always)]
pub(super) fn blank(bytes: &impl Bytes, ethertype: u16, tunnelled: bool) -> Frame {
    let zero = bytes.forget(0);
    Frame {
        digest: 0,
        flow: 0,
        kind: Kind::Other,
        ethertype,
        version: zero as u8,
        protocol: zero as u8,
        src: [zero as u32; 4],
        dst: [zero as u32; 4],
        src_port: zero as u16,
        dst_port: zero as u16,
        seq: zero as u32,
        ack: zero as u32,
        stamps: zero as u32,
        tunnelled,
        tcp_flags: zero as u8,
        overhead: 0,
    }
}

/// The state of reading one frame: `offset` is where layer 3 starts.
pub(super) struct Reader<'a, B: Bytes> {
    pub(super) bytes: &'a B,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) key: &'a [u64; 2],
    pub(super) frame: Frame,
}

/// What IP says of what it carries.
pub(super) struct Packet {
    /// Length of layer 3 with its options and extensions, bytes.
    pub(super) header: u32,
    /// Where the packet ends, bytes from the start of the outermost frame; padding lies behind.
    pub(super) end: u32,
    /// What tells it from others of its flow: identification and fragment offset.
    pub(super) identity: u64,
    /// It is a part of a packet.
    pub(super) fragment: bool,
    /// What it carries.
    pub(super) layer4: Layer4,
}

/// What was read of a frame: the digest so far, and the bytes of its payload.
pub(super) struct Content {
    state: u64,
    payload: u32,
}

impl<B: Bytes> Reader<'_, B> {
    /// `None` for what is no IP, or too short for what it says.
    #[inline(always)]
    fn packet(&mut self, window: &Window) -> Option<Packet> {
        let packet = match self.frame.ethertype {
            ETHERTYPE_IPV4 => self.ipv4(window),
            ETHERTYPE_IPV6 => self.ipv6(window),
            _ => None,
        };
        packet.map(|packet| self.forgotten(packet))
    }

    #[inline(always)]
    fn forgotten(&mut self, packet: Packet) -> Packet {
        self.frame.version = self.bytes.forget(self.frame.version.into()) as u8;
        self.frame.protocol = self.bytes.forget(self.frame.protocol.into()) as u8;
        Packet {
            header: self.bytes.forget(packet.header.into()) as u32,
            end: self.bytes.forget(packet.end.into()) as u32,
            identity: self.bytes.forget(packet.identity),
            fragment: self.bytes.forget(packet.fragment.into()) != 0,
            layer4: packet.layer4.forgotten(self.bytes),
        }
    }

    #[inline(always)]
    fn ipv4(&mut self, window: &Window) -> Option<Packet> {
        let first = window.be32(0);
        let header = ((first >> 24) & 0x0f) * 4;
        if window.available < 20 || header < 20 || first >> 28 != 4 {
            return None;
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
        let layer4 =
            if header == 20 { window.layer4::<5>() } else { self.bytes.window(self.offset + header) };
        Some(Packet { header, end, identity, fragment: fragment != 0, layer4 })
    }

    #[inline(always)]
    fn ipv6(&mut self, window: &Window) -> Option<Packet> {
        if window.available < 40 || window.be32(0) >> 28 != 6 {
            return None;
        }
        self.frame.version = 6;
        self.frame.protocol = (window.be32(1) >> 8) as u8;
        self.frame.src.copy_from_slice(&window.words[2..6]);
        self.frame.dst.copy_from_slice(&window.words[6..10]);
        let payload = window.be32(1) >> 16;
        let end = if payload == 0 { self.len } else { self.offset + 40 + payload };
        if is_extension(self.frame.protocol) {
            return Some(self.extensions(end));
        }
        Some(Packet { header: 40, end, identity: 0, fragment: false, layer4: window.layer4::<10>() })
    }

    /// Skips IPv6 extension headers (RFC 8200, section 4), with a window of its own for each.
    #[inline(always)]
    fn extensions(&mut self, end: u32) -> Packet {
        let mut header = 40;
        let mut identity = 0;
        let mut fragment = false;
        let mut window: Layer4 = self.bytes.window(self.offset + header);
        for _ in 0..black_box(MAX_EXTENSIONS) {
            if !is_extension(self.frame.protocol) || window.available < 8 {
                break;
            }
            let first = window.be32(0);
            let is_fragment = self.frame.protocol == FRAGMENT_HEADER;
            if is_fragment {
                identity = ((first as u64 & 0xffff) << 32) | window.be32(1) as u64;
                fragment = first & 0xfff9 != 0;
            }
            let length = if is_fragment { 8 } else { (((first >> 16) & 0xff) + 1) * 8 };
            header = self.bytes.forget((header + length).into()) as u32;
            identity = self.bytes.forget(identity);
            fragment = self.bytes.forget(fragment.into()) != 0;
            self.frame.protocol = self.bytes.forget((first >> 24).into()) as u8;
            window = self.bytes.window(self.offset + header);
        }
        Packet { header, end, identity, fragment, layer4: window }
    }

    #[inline(always)]
    fn layer4(&mut self, packet: &Packet) -> Content {
        let layer4 = &packet.layer4;
        let (inside, mut state) = self.begin(packet);
        let mut own_header = 0;
        if packet.fragment {
            self.frame.kind = Kind::Fragment;
            state = mix(state, layer4.pair(0));
        } else if layer4.available < 8 {
            self.frame.kind =
                if inside < 8 && self.frame.protocol != PROTOCOL_TCP { Kind::Other } else { Kind::Truncated };
            state = mix(state, inside as u64);
        } else {
            match self.frame.protocol {
                PROTOCOL_TCP => (state, own_header) = self.tcp(layer4, state, inside),
                PROTOCOL_UDP => (state, own_header) = self.udp(layer4, state, packet.identity),
                PROTOCOL_ICMP => (state, own_header) = self.icmp(layer4, state, 8, 0),
                PROTOCOL_ICMPV6 => (state, own_header) = self.icmp(layer4, state, 128, 129),
                _ => state = mix(mix(mix(state, layer4.pair(0)), layer4.pair(2)), inside as u64),
            }
        }
        Content { state, payload: inside.saturating_sub(own_header) }
    }

    /// Bytes that IP carries, and the digest of what IP says.
    #[inline(always)]
    fn begin(&self, packet: &Packet) -> (u32, u64) {
        let inside = packet.end.saturating_sub(self.offset + packet.header);
        (inside, mix(self.key[0] ^ self.frame.protocol as u64, packet.identity))
    }

    /// The same of a whole packet that carries TCP, UDP or else ICMP for IPv4, with all of a header without options.
    #[inline(always)]
    pub(super) fn known(&mut self, packet: &Packet) -> Content {
        let (inside, state) = self.begin(packet);
        let layer4 = &packet.layer4;
        let (state, own_header) = match self.frame.protocol {
            PROTOCOL_TCP => self.tcp(layer4, state, inside),
            PROTOCOL_UDP => self.udp(layer4, state, packet.identity),
            _ => self.icmp(layer4, state, 8, 0),
        };
        Content { state, payload: inside.saturating_sub(own_header) }
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
            let stamps = layer4.pair(6);
            state = mix(state, stamps);
            self.frame.stamps = ((stamps >> 16) as u32 & 0xffff_0000) | (stamps as u32 & 0xffff);
        }
        (state, own_header)
    }

    #[inline(always)]
    fn udp(&mut self, layer4: &Layer4, state: u64, identity: u64) -> (u64, u32) {
        self.frame.kind = Kind::Udp;
        self.ports(layer4.be32(0));
        let length = layer4.be32(1) >> 16;
        let payload = layer4.pair(2);
        if self.frame.version == 4 {
            self.frame.seq = NUMBERED | (identity >> 16) as u32;
        }
        if payload != 0 {
            let first = mix(self.key[1], payload >> 48) >> 48;
            self.frame.ack = ((first << 16) | (mix(self.key[1], payload) >> 48)) as u32;
        }
        (mix(mix(state, length as u64), payload), 8)
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
            state = mix(state, layer4.pair(2));
            return (if self.is_error(kind) { state } else { mix(state, layer4.pair(4)) }, 8);
        }
        self.frame.kind = if kind == request { Kind::EchoRequest } else { Kind::EchoReply };
        self.frame.ack = second >> 16;
        self.frame.seq = second & 0xffff;
        self.frame.src_port = (second >> 16) as u16;
        self.frame.dst_port = self.frame.src_port;
        let said = ((type_and_code as u64) << 32) | self.frame.seq as u64;
        (mix(mix(state, said), layer4.pair(2)), 8)
    }

    /// Whether an ICMP type carries a packet that it is about (RFC 792; RFC 4443, 2.1).
    #[inline(always)]
    fn is_error(&self, kind: u32) -> bool {
        if self.frame.version == 6 { kind < 128 } else { matches!(kind, 3 | 4 | 5 | 11 | 12) }
    }

    /// ARP for IPv4 over Ethernet (RFC 826); all that varies in it is in the last 22 bytes.
    #[inline(always)]
    fn arp(&mut self, window: &Window) -> Content {
        self.frame.kind = Kind::Arp;
        let layer4 = window.layer4::<0>();
        let state = mix(mix(self.key[0] ^ ETHERTYPE_ARP as u64, layer4.pair(1)), layer4.pair(3));
        // Sender address at byte 14, target address at byte 24.
        let sender = (window.be32(3) << 16) | (window.be32(4) >> 16);
        self.frame.src[0] = sender.to_be();
        self.frame.dst[0] = window.words[6];
        Content { state: mix(state, layer4.pair(5)), payload: 0 }
    }

    /// What is no protocol of ours, or one of ours that is cut.
    #[inline(always)]
    fn other(&mut self, start: &Layer4) -> Content {
        if matches!(self.frame.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6 | ETHERTYPE_ARP) {
            self.frame.kind = Kind::Truncated;
        }
        let inside = self.len.saturating_sub(self.offset);
        let state = mix(self.key[0] ^ self.frame.ethertype as u64, start.pair(0));
        Content { state: mix(mix(state, start.pair(2)), inside as u64), payload: inside }
    }

    /// What all frames have.
    #[inline(always)]
    pub(super) fn finish(mut self, content: Content) -> Frame {
        let code = self.bytes.forget(self.frame.kind as u64) as u8;
        self.frame.kind = Kind::from_code(code).unwrap_or(Kind::Other);
        self.frame.version = self.bytes.forget(self.frame.version.into()) as u8;
        self.frame.digest = mix(self.bytes.forget(content.state), self.key[1]);
        self.frame.overhead = self.overhead(self.bytes.forget(content.payload.into()) as u32);
        self.flow();
        self.frame
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
