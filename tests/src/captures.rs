//! Frames of a real guest, captured by tcpdump on the tap and on the NIC of a lab: `tests/data/*.pcap`.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{fs, path::Path};

use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError, traits::PcapReaderIterator};

/// What was going on while they were captured.
pub const SCENES: [&str; 6] = ["echo4", "echo6", "arp", "http", "udp", "fragments"];

/// The frames of a capture: nanoseconds and bytes.
pub fn frames(scene: &str, device: &str) -> Vec<(u64, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{scene}-{device}.pcap"));
    let mut reader = LegacyPcapReader::new(65536, fs::File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok((used, block)) => {
                if let PcapBlockOwned::Legacy(packet) = block {
                    let time_ns = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_usec);
                    assert_eq!(packet.caplen, packet.origlen);
                    frames.push((time_ns, packet.data.to_vec()));
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return frames,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().unwrap();
            }
            Err(error) => panic!("{scene} on {device}: {error:?}"),
        }
    }
}
