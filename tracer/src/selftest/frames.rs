//! The frames that the self-test's guest sends: UDP in IPv4 or IPv6. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// RFC 863, discard.
const PORT: u16 = 9;
const PAYLOAD: &[u8] = b"vmhop self-test!";
const UDP: u8 = 17;
/// Destination and source, before the type.
const MACS: usize = 12;

/// A frame from one station to another, whose addresses are of the same version.
pub(super) fn udp(macs: (Mac, Mac), from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut frame = [macs.1, macs.0].concat();
    let length = (8 + PAYLOAD.len()) as u16;
    let datagram = [PORT.to_be_bytes(), PORT.to_be_bytes(), length.to_be_bytes(), [0; 2]].concat();
    let mut datagram = [datagram.as_slice(), PAYLOAD].concat();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => frame.extend(ipv4(from, to, length)),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let pseudo = [&from.octets()[..], &to.octets(), &[0, 0], &length.to_be_bytes(), &[0, 0, 0, UDP]];
            let sum = checksum(&[pseudo.concat().as_slice(), &datagram].concat());
            datagram[6..8].copy_from_slice(&sum.to_be_bytes());
            frame.extend(ipv6(from, to, length));
        }
        _ => {}
    }
    frame.extend(datagram);
    frame
}

/// The same frame with a header that no host accepts: IPv4 with a checksum that is wrong.
pub(super) fn spoilt(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = MACS + 2 + 10;
    if let Some(byte) = frame.get_mut(checksum) {
        *byte ^= 0xff;
    }
    frame
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> Vec<u8> {
    let total = (20 + length).to_be_bytes();
    let mut header =
        [&[0x45, 0][..], &total, &[0, 0, 0x40, 0, 64, UDP, 0, 0], &from.octets(), &to.octets()].concat();
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[0x08, 0x00], header.as_slice()].concat()
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> Vec<u8> {
    let start = [0x86, 0xdd, 0x60, 0, 0, 0];
    [&start[..], &length.to_be_bytes(), &[UDP, 64], &from.octets(), &to.octets()].concat()
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use etherparse::SlicedPacket;

    use super::*;

    #[test]
    fn the_frames_are_what_another_parser_takes_for_udp() {
        let macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        for (from, to) in [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")] {
            let frame = udp(macs, from.parse().unwrap(), to.parse().unwrap());
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(etherparse::TransportSlice::Udp(datagram)) = packet.transport else { panic!("no UDP") };
            assert_eq!((datagram.destination_port(), datagram.payload()), (PORT, PAYLOAD));
            match packet.net {
                Some(etherparse::NetSlice::Ipv4(ip)) => {
                    let header = ip.header().to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    assert_ne!(spoilt(frame.clone())[24..26], frame[24..26]);
                }
                Some(etherparse::NetSlice::Ipv6(ip)) => {
                    let header = ip.header().to_header();
                    let sum = datagram.to_header().calc_checksum_ipv6(&header, PAYLOAD).unwrap();
                    assert_eq!(datagram.checksum(), sum);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
