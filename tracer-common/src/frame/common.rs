//! What most frames are, read the short way: IPv4 without options, whole, behind no tag and in no tunnel, carrying TCP, UDP or
//! an ICMP echo. All of it is in one window, at places that do not vary.

use super::{
    Bytes, ETHERNET_HEADER, ETHERTYPE_IPV4, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, Window,
    headers::Frame,
    read::{Packet, Reader, blank},
    unwrap::may_be_tunnel,
};

/// IP header and what all of these have of theirs, bytes: a TCP header without options is the longest.
const LEAST: u32 = 40;

/// Reads the frame, whose first window behind the Ethernet header this is; `None` for one that is none of these.
#[inline(always)]
pub(super) fn read(
    bytes: &impl Bytes,
    window: &Window,
    ethertype: u16,
    len: u32,
    key: &[u64; 2],
) -> Option<Frame> {
    let (first, second) = (window.be32(0), window.be32(1));
    let total = first & 0xffff;
    let is_fragment = second & 0x3fff != 0;
    if ethertype != ETHERTYPE_IPV4
        || first >> 24 != 0x45
        || is_fragment
        || window.available < LEAST
        || total < LEAST
    {
        return None;
    }
    let protocol = (window.be32(2) >> 16) as u8;
    let is_echo = window.be32(5) >> 24 & !8 == 0;
    let is_known = match protocol {
        PROTOCOL_TCP => true,
        PROTOCOL_UDP => !may_be_tunnel(window.be32(5) as u16),
        PROTOCOL_ICMP => is_echo,
        _ => false,
    };
    if !is_known {
        return None;
    }
    let mut frame = blank(bytes, ETHERTYPE_IPV4, false);
    frame.version = 4;
    frame.protocol = bytes.forget(protocol.into()) as u8;
    frame.src[0] = window.words[3];
    frame.dst[0] = window.words[4];
    let packet = Packet {
        header: 20,
        end: ETHERNET_HEADER + total,
        identity: (second & 0xffff_0000).into(),
        fragment: false,
        layer4: window.layer4::<5>(),
    };
    let mut reader = Reader { bytes, offset: ETHERNET_HEADER, len, key, frame };
    let content = reader.known(&packet);
    Some(reader.finish(content))
}
