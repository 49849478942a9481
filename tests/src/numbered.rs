//! Frames that differ in their numbers alone: echo requests of 98 bytes, as of `ping`, to nobody.
//!
//! The next frame is the last one with a few words exchanged, so that making it costs next to nothing beside writing it.

use etherparse::PacketBuilder;

/// Neither the bridge nor the peer has it: the peer's IP drops what is for another host.
const TO: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
const FROM: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Addresses for documentation (RFC 5737).
const ADDRESSES: [[u8; 4]; 2] = [[198, 51, 100, 1], [198, 51, 100, 2]];
/// Bytes of payload: 98 with the headers.
const PAYLOAD: usize = 56;

/// Where the words are that change.
const IP_ID: usize = 18;
const IP_CHECKSUM: usize = 24;
const ICMP_CHECKSUM: usize = 36;
const ICMP_SEQUENCE: usize = 40;
const NUMBER: usize = 42;

/// The frames.
pub struct Numbered {
    frame: Vec<u8>,
    /// Sums of all words but those that change and the checksums themselves.
    ip_sum: u32,
    icmp_sum: u32,
    next: u64,
}

impl Numbered {
    /// From number 0 on.
    pub fn new() -> Numbered {
        let mut frame = Vec::new();
        let builder =
            PacketBuilder::ethernet2(FROM, TO).ipv4(ADDRESSES[0], ADDRESSES[1], 64).icmpv4_echo_request(1, 0);
        // Writing into a vector does not fail.
        let _ = builder.write(&mut frame, &[0; PAYLOAD]);
        for word in [IP_ID, IP_CHECKSUM, ICMP_CHECKSUM] {
            put(&mut frame, word, 0);
        }
        let (ip_sum, icmp_sum) = (sum(&frame[14..34]), sum(&frame[34..]));
        Numbered { frame, ip_sum, icmp_sum, next: 0 }
    }

    /// The next one. Its number is the IPv4 identification, the sequence number (16 bits of it each), and the first eight
    /// bytes of the payload.
    pub fn next_frame(&mut self) -> &[u8] {
        let number = self.next;
        self.next += 1;
        let low = number as u16;
        put(&mut self.frame, IP_ID, low);
        put(&mut self.frame, IP_CHECKSUM, checksum(self.ip_sum + u32::from(low)));
        put(&mut self.frame, ICMP_SEQUENCE, low);
        let bytes = number.to_be_bytes();
        self.frame[NUMBER..NUMBER + 8].copy_from_slice(&bytes);
        put(&mut self.frame, ICMP_CHECKSUM, checksum(self.icmp_sum + u32::from(low) + sum(&bytes)));
        &self.frame
    }
}

impl Default for Numbered {
    fn default() -> Numbered {
        Numbered::new()
    }
}

fn put(frame: &mut [u8], at: usize, word: u16) {
    frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

/// Of words in network order (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum()
}

fn checksum(sum: u32) -> u16 {
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn every_frame_is_whole_and_unlike_the_others() {
        let mut frames = Numbered::new();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..70_000 {
            let frame = frames.next_frame().to_vec();
            assert_eq!(frame.len(), 98);
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Icmpv4(icmp))) =
                (packet.net, packet.transport)
            else {
                panic!("no echo request")
            };
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(icmp.checksum(), icmp.header().icmp_type.calc_checksum(icmp.payload()));
            assert!(seen.insert(frame.clone()));
        }
    }
}
