//! Frames of a real guest, captured by tcpdump on the tap and on the NIC of a lab: a frame's identity is the
//! same on both devices, and what is read of its headers is what an independent decoder reads.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use etherparse::{LaxPacketHeaders, LinkHeader, NetHeaders, TransportHeader};
use tests::captures::{SCENES, frames};
use tracer_common::frame::{Frame, Kind, Slice};

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// All captures: scene, device, frames.
fn captures() -> impl Iterator<Item = (&'static str, &'static str, Vec<Vec<u8>>)> {
    let devices = |scene| ["tap0", "nic0"].map(|device| (scene, device));
    SCENES.into_iter().flat_map(devices).map(|(scene, device)| {
        let bytes: Vec<_> = frames(scene, device).into_iter().map(|(_, bytes)| bytes).collect();
        (scene, device, bytes)
    })
}

/// What no layer of this lab's host changes, as bytes: all but the checksums, which tcpdump sees before they are
/// filled in or after.
fn unchanged(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let parsed = LaxPacketHeaders::from_ethernet(&bytes).unwrap();
    let checksum = match &parsed.transport {
        Some(TransportHeader::Tcp(_)) => Some(16),
        Some(TransportHeader::Udp(_)) => Some(6),
        Some(TransportHeader::Icmpv4(_) | TransportHeader::Icmpv6(_)) => Some(2),
        Some(TransportHeader::Igmp(_)) | None => None,
    };
    let start = 14 + parsed.net.as_ref().map_or(0, NetHeaders::header_len);
    if let Some(at) = checksum {
        bytes[start + at..start + at + 2].fill(0);
    }
    bytes
}

#[test]
fn a_frame_seen_on_tap_and_nic_has_one_digest_and_one_flow() {
    let mut compared = 0;
    for scene in SCENES {
        let [tap, nic] = ["tap0", "nic0"].map(|device| {
            let said = |(_, bytes): (u64, Vec<u8>)| (unchanged(&bytes), Slice(&bytes).parse(&KEY));
            frames(scene, device).into_iter().map(said).collect::<Vec<_>>()
        });
        let at_nic: BTreeMap<_, _> = nic.into_iter().collect();
        let both: Vec<_> =
            tap.iter().filter_map(|(bytes, frame)| Some((frame, at_nic.get(bytes)?))).collect();
        assert!(both.len() >= 4, "{scene}: {} frames on both devices", both.len());
        for (frame, other) in &both {
            assert_eq!((frame.digest, frame.flow), (other.digest, other.flow), "{scene}: {frame:?}");
        }
        compared += both.len();
    }
    assert!(compared >= 100, "{compared}");
}

#[test]
fn frames_that_differ_have_digests_that_differ() {
    let mut contents: BTreeMap<u64, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (_, _, frames) in captures() {
        for bytes in frames {
            let digest = Slice(&bytes).parse(&KEY).digest;
            // Without the MAC addresses: a flood to all and its answer to one differ in no more than these.
            contents.entry(digest).or_default().insert(unchanged(&bytes)[12..].to_vec());
        }
    }
    let shared: Vec<_> = contents.values().filter(|frames| frames.len() > 1).collect();
    assert!(shared.is_empty(), "{shared:02x?}");
    assert!(contents.len() >= 100, "{}", contents.len());
}

#[test]
fn headers_are_read_as_an_independent_decoder_reads_them() {
    let mut kinds: BTreeMap<u8, usize> = BTreeMap::new();
    for (scene, device, frames) in captures() {
        for (index, bytes) in frames.iter().enumerate() {
            let frame = Slice(bytes).parse(&KEY);
            let parsed = LaxPacketHeaders::from_ethernet(bytes).unwrap();
            assert!(parsed.stop_err.is_none(), "{scene} on {device}, frame {index}: {:?}", parsed.stop_err);
            agrees(&frame, &parsed, bytes.len(), &format!("{scene} on {device}, frame {index}: {frame:?}"));
            *kinds.entry(frame.kind as u8).or_default() += 1;
        }
    }
    for kind in
        [Kind::EchoRequest, Kind::EchoReply, Kind::Tcp, Kind::Udp, Kind::Arp, Kind::Icmp, Kind::Fragment]
    {
        assert!(kinds.get(&(kind as u8)).is_some_and(|count| *count >= 4), "{kind:?}: {kinds:?}");
    }
    assert!(!kinds.contains_key(&(Kind::Truncated as u8)), "{kinds:?}");
}

fn address4(bytes: [u8; 4]) -> [u32; 4] {
    [u32::from_ne_bytes(bytes), 0, 0, 0]
}

fn address6(bytes: [u8; 16]) -> [u32; 4] {
    let words: Vec<_> = bytes.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect();
    words.try_into().unwrap()
}

fn agrees(frame: &Frame, parsed: &LaxPacketHeaders<'_>, len: usize, what: &str) {
    let Some(LinkHeader::Ethernet2(link)) = &parsed.link else { panic!("no Ethernet: {what}") };
    assert_eq!(frame.ethertype, link.ether_type.0, "{what}");
    let fragment = match parsed.net.as_ref().unwrap() {
        NetHeaders::Ipv4(ip, _) => {
            assert_eq!((frame.version, frame.protocol), (4, ip.protocol.0), "{what}");
            assert_eq!((frame.src, frame.dst), (address4(ip.source), address4(ip.destination)), "{what}");
            ip.is_fragmenting_payload()
        }
        NetHeaders::Ipv6(ip, extensions) => {
            let last = extensions.next_header(ip.next_header).unwrap();
            assert_eq!((frame.version, frame.protocol), (6, last.0), "{what}");
            assert_eq!((frame.src, frame.dst), (address6(ip.source), address6(ip.destination)), "{what}");
            extensions.is_fragmenting_payload()
        }
        NetHeaders::Arp(arp) => {
            let sender: [u8; 4] = arp.sender_protocol_addr().try_into().unwrap();
            let target: [u8; 4] = arp.target_protocol_addr().try_into().unwrap();
            assert_eq!((frame.src, frame.dst), (address4(sender), address4(target)), "{what}");
            assert_eq!(frame.kind, Kind::Arp, "{what}");
            return;
        }
    };
    if fragment {
        assert_eq!(frame.kind, Kind::Fragment, "{what}");
        return;
    }
    let Some(transport) =
        parsed.transport.as_ref().filter(|layer| !matches!(layer, TransportHeader::Igmp(_)))
    else {
        assert_eq!(frame.kind, Kind::Other, "{what}");
        return;
    };
    let payload = len.saturating_sub(usize::from(frame.overhead));
    assert_eq!(payload, layer4_payload(parsed), "{what}");
    layer4_agrees(frame, transport, what);
}

/// Bytes behind the layer 4 header; of ICMP its first 8 bytes are the header, whatever its type.
fn layer4_payload(parsed: &LaxPacketHeaders<'_>) -> usize {
    let payload = parsed.payload.slice().len();
    match &parsed.transport {
        Some(TransportHeader::Icmpv4(header)) => payload + header.header_len() - 8,
        Some(TransportHeader::Icmpv6(header)) => payload + header.header_len() - 8,
        _ => payload,
    }
}

fn layer4_agrees(frame: &Frame, transport: &TransportHeader, what: &str) {
    use etherparse::{Icmpv4Type, Icmpv6Type};
    let echo =
        |kind, header: &etherparse::IcmpEchoHeader| (kind, u32::from(header.seq), u32::from(header.id));
    let expected = match transport {
        TransportHeader::Tcp(tcp) => {
            let bits = [tcp.fin, tcp.syn, tcp.rst, tcp.psh, tcp.ack, tcp.urg];
            let flags = bits.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum::<u8>();
            assert_eq!(frame.tcp_flags & 0x3f, flags, "{what}");
            assert_eq!((frame.src_port, frame.dst_port), (tcp.source_port, tcp.destination_port), "{what}");
            (Kind::Tcp, tcp.sequence_number, tcp.acknowledgment_number)
        }
        TransportHeader::Udp(udp) => {
            assert_eq!((frame.src_port, frame.dst_port), (udp.source_port, udp.destination_port), "{what}");
            (Kind::Udp, frame.seq, frame.ack)
        }
        TransportHeader::Icmpv4(icmp) => match &icmp.icmp_type {
            Icmpv4Type::EchoRequest(header) => echo(Kind::EchoRequest, header),
            Icmpv4Type::EchoReply(header) => echo(Kind::EchoReply, header),
            _ => (Kind::Icmp, 0, 0),
        },
        TransportHeader::Icmpv6(icmp) => match &icmp.icmp_type {
            Icmpv6Type::EchoRequest(header) => echo(Kind::EchoRequest, header),
            Icmpv6Type::EchoReply(header) => echo(Kind::EchoReply, header),
            _ => (Kind::Icmp, 0, 0),
        },
        TransportHeader::Igmp(_) => panic!("IGMP: {what}"),
    };
    assert_eq!((frame.kind, frame.seq, frame.ack), expected, "{what}");
}
