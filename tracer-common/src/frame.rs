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
//! Of the innermost frame, behind all tags and tunnels ([`unwrap`] says which are opened), so that it has one name on
//! both sides of the device that puts it into a tunnel:
//!
//! | frame | covered | left out, since a layer changes it |
//! | --- | --- | --- |
//! | any | protocol, kind | MAC addresses, VLAN tags, outer headers, padding |
//! | IPv4 | identification, fragment offset | TTL, TOS (ECN marks), checksum, options, addresses (NAT) |
//! | IPv6 | – | hop limit, traffic class, flow label, addresses |
//! | TCP | sequence, acknowledgement, SYN FIN RST, timestamp option, whether it has payload | ports, checksum, window, PSH, and length: segmentation |
//! | UDP | length, first 8 bytes of payload | ports, checksum |
//! | ICMP echo | type, sequence, length, first 8 bytes of payload | identifier (NAT rewrites it), checksum |
//! | ICMP errors | type, code, first 8 bytes of the packet they are about | checksum, that packet's addresses and TTL |
//! | other ICMP | type, code, first 16 bytes of payload: neighbour discovery's target address | checksum |
//! | fragments | offset, more-fragments, first 8 bytes | |
//! | ARP | operation, the four addresses | |
//! | others | length and first 16 bytes behind the ethertype or IP header | |
//!
//! The key is random per recording: digests of two recordings cannot be compared, nor payload guessed from
//! one. The mixing is multiply and xor-shift; it spreads well and is not cryptographic.
//!
//! # The flow hash
//! Over protocol, addresses and ports of the innermost frame, with both ends hashed alike and then ordered: the lowest
//! bit says which way, so `flow ^ 1` is the answer's flow. Fragments count as a flow without ports. Two networks that use
//! the same addresses have the same flows: what keeps them apart is where a frame comes from and goes to.
//!
//! # What else is read
//! What tells segments of one flow apart, and answers: [`Frame::seq`], [`Frame::ack`], [`Frame::stamps`].
//!
//! # Known limits
//! - Two frames that agree in all of the above are one name: a UDP sender that repeats a payload with IP id 0
//!   (Linux sets 0 with DF on connected sockets). They pair in order and are counted as ambiguous.
//! - Payload counts only as far as it lies in the skb's linear part, which can differ between hops.
//! - Segments that the kernel cuts from a UDP super-frame have names of their own: their flow, their IPv4 identification
//!   and their order tell whose they are.
//! - A tunnel's packet that is itself a fragment is read as the outer frame, as is what [`unwrap`] does not know (MPLS,
//!   PPPoE, ESP, GTP).
//! - A proxy or a TLS offload makes new frames: no name survives it.

mod bytes;
mod common;
mod headers;
mod read;
mod unwrap;

pub use self::{
    bytes::{Bytes, Slice, Window},
    headers::{Frame, Kind},
    unwrap::{MAX_WRAPPINGS, wrappings},
};

/// Ethernet header without tags, bytes.
pub const ETHERNET_HEADER: u32 = 14;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;

/// Reads the headers of a frame of `len` bytes (from its Ethernet header on) whose outermost ethertype is
/// given, since the kernel keeps that beside the bytes.
///
/// # Errors
/// None: a frame that makes no sense is [`Kind::Other`] or [`Kind::Truncated`] and still has a digest.
#[inline(always)]
pub fn parse(bytes: &impl Bytes, ethertype: u16, len: u32, key: &[u64; 2]) -> Frame {
    let window = bytes.window(ETHERNET_HEADER);
    let mut frame = match common::read(bytes, &window, ethertype, len, key) {
        Some(frame) => frame,
        None => parse_any(bytes, window, ethertype, len, key),
    };
    frame.digest |= u64::from(frame.digest == 0);
    frame
}

/// The same of any frame, whose first window this is.
#[inline(always)]
fn parse_any(bytes: &impl Bytes, window: Window, ethertype: u16, len: u32, key: &[u64; 2]) -> Frame {
    let place = unwrap::innermost(bytes, window, ethertype);
    read::read(bytes, &place, len, key)
}

/// One multiply and xor-shift round of the keyed digest.
#[inline(always)]
fn mix(state: u64, value: u64) -> u64 {
    let state = (state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^ (state >> 29)
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
