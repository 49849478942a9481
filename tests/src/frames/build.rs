//! Headers, each put in front of what it carries.

/// Of a station that no bridge knows, so that it passes the frame on to all ports.
const DESTINATION: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const ARP: u16 = 0x0806;
pub(super) const VLAN: u16 = 0x8100;
pub(super) const QINQ: u16 = 0x88a8;
/// Ethernet in GRE and Geneve.
pub(super) const BRIDGED: u16 = 0x6558;

pub(super) const VXLAN_PORT: u16 = 4789;
pub(super) const GENEVE_PORT: u16 = 6081;

/// A frame of this type.
pub fn ethernet(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    [&DESTINATION[..], &SOURCE, &ethertype.to_be_bytes(), packet].concat()
}

/// The frame with one more VLAN tag, the outermost.
pub fn tagged(protocol: u16, vlan: u16, frame: &[u8]) -> Vec<u8> {
    let (stations, rest) = frame.split_at(12);
    [stations, &protocol.to_be_bytes(), &vlan.to_be_bytes(), rest].concat()
}

/// An IPv4 packet with options, which are filled up to a multiple of four bytes.
pub(super) fn ipv4_with(options: &[u8], fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let options = [options, &[0; 3][..(4 - options.len() % 4) % 4]].concat();
    let header = 20 + options.len();
    let total = (header + payload.len()) as u16;
    let start = [0x40 | (header / 4) as u8, 0];
    let middle =
        [&total.to_be_bytes()[..], &[0x12, 0x34], &fragment.to_be_bytes(), &[64, protocol, 0xab, 0xcd]];
    [&start[..], &middle.concat(), &[192, 0, 2, 2, 192, 0, 2, 3], &options, payload].concat()
}

/// An IPv4 packet.
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(&[], 0, protocol, payload)
}

/// An IPv6 packet.
pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let addresses = [[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], [0xfe; 16]].concat();
    let length = (payload.len() as u16).to_be_bytes();
    [&[0x60, 0, 0, 0][..], &length, &[next, 64], &addresses, payload].concat()
}

/// An extension header of `8 + 8 * more` bytes.
pub(super) fn extension(next: u8, more: u8, payload: &[u8]) -> Vec<u8> {
    // Pad1 options only.
    [&[next, more][..], &vec![0; 6 + 8 * usize::from(more)], payload].concat()
}

/// IPv6's fragment header.
pub(super) fn fragment(next: u8, offset_and_more: u16, payload: &[u8]) -> Vec<u8> {
    [&[next, 0][..], &offset_and_more.to_be_bytes(), &[0, 0, 7, 7], payload].concat()
}

pub(super) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [from, to, length, 0x5a5a]
        .map(u16::to_be_bytes)
        .concat()
        .into_iter()
        .chain(payload.iter().copied())
        .collect()
}

/// A TCP segment whose options are filled up to a multiple of four bytes.
pub(super) fn tcp(flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let options = [options, &[1; 3][..(4 - options.len() % 4) % 4]].concat();
    let words = (5 + options.len() / 4) as u8;
    let numbers = [0x9c, 0x40, 0, 80, 0, 0, 3, 0xe8, 0, 0, 7, 0xd0];
    [&numbers[..], &[words << 4, flags, 1, 2, 3, 4, 0, 0], &options, payload].concat()
}

/// NOP, NOP, timestamps.
pub(super) const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];

pub(super) fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0x11, 0x22][..], rest].concat()
}

/// Identifier, sequence number and payload of an echo.
pub(super) fn echo(kind: u8) -> Vec<u8> {
    icmp(kind, 0, &[&[0, 77, 0, 3][..], &[7; 56]].concat())
}

pub(super) fn arp(operation: u8) -> Vec<u8> {
    let start = [0, 1, 8, 0, 6, 4, 0, operation];
    [&start[..], &SOURCE, &[192, 0, 2, 2], &[0; 6], &[192, 0, 2, 3], &[0; 18]].concat()
}

pub(super) fn vxlan(frame: &[u8]) -> Vec<u8> {
    udp(49152, VXLAN_PORT, &[&[8, 0, 0, 0, 0, 0, 42, 0][..], frame].concat())
}

/// Options are counted in words, at most 63.
pub(super) fn geneve(option_words: u8, carries: u16, payload: &[u8]) -> Vec<u8> {
    let header = [&[option_words, 0][..], &carries.to_be_bytes(), &[0, 0, 42, 0]].concat();
    udp(49152, GENEVE_PORT, &[&header[..], &vec![9; 4 * usize::from(option_words)], payload].concat())
}

/// GRE with the optional words that the flags announce: checksum 0x8000, key 0x2000, sequence number 0x1000.
pub(super) fn gre(flags: u16, carries: u16, payload: &[u8]) -> Vec<u8> {
    let words = [0x8000, 0x2000, 0x1000].iter().filter(|bit| flags & **bit != 0).count();
    [&flags.to_be_bytes()[..], &carries.to_be_bytes(), &vec![3; 4 * words], payload].concat()
}
