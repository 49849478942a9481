//! The rules of identity, on frames built by hand. Real captures are in the crate `tests`.

use proptest::prelude::*;

use super::*;

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

fn frame(ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn ipv4(protocol: u8, src: [u8; 4], dst: [u8; 4], id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let total = 20 + payload.len() as u16;
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0xab, 0xcd]);
    bytes.extend(src);
    bytes.extend(dst);
    bytes.extend(payload);
    frame(0x0800, &bytes)
}

fn echo(kind: u8, id: u16, seq: u16) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0x11, 0x22];
    bytes.extend(id.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend([7; 56]);
    bytes
}

fn tcp(src_port: u16, dst_port: u16, seq: u32, ack: u32, flags: u8, payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(src_port.to_be_bytes());
    bytes.extend(dst_port.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([0x80, flags, 1, 2, 3, 4, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8]);
    bytes.extend(vec![b'x'; payload]);
    bytes
}

/// A frame with other bytes behind its end, as in kernel memory.
struct Noisy<'a>(&'a [u8]);

impl Bytes for Noisy<'_> {
    fn window<const WORDS: usize>(&self, offset: u32) -> Window<WORDS> {
        let rest = self.0.get(offset as usize..).unwrap_or(&[]);
        let mut bytes = rest.to_vec();
        bytes.resize(bytes.len() + WORDS * 4, 0xee);
        Window { available: rest.len() as u32, ..Slice(&bytes).window(0) }
    }
}

const A: [u8; 4] = [192, 0, 2, 2];
const B: [u8; 4] = [192, 0, 2, 3];

fn parse_of(bytes: &[u8]) -> Frame {
    Slice(bytes).parse(&KEY)
}

#[test]
fn an_echo_request_and_its_reply_share_a_flow_and_a_sequence_number() {
    let request = parse_of(&ipv4(1, A, B, 5, 0x4000, &echo(8, 77, 3)));
    let reply = parse_of(&ipv4(1, B, A, 9, 0, &echo(0, 77, 3)));
    assert_eq!((request.kind, reply.kind), (Kind::EchoRequest, Kind::EchoReply));
    assert_eq!((request.seq, request.ack), (3, 77));
    assert_eq!(request.flow ^ 1, reply.flow);
    assert_ne!(request.digest, reply.digest);
    assert_eq!(request.overhead, 42);
}

#[test]
fn what_a_router_or_a_nat_changes_does_not_change_the_digest() {
    let original = ipv4(6, A, B, 5, 0x4000, &tcp(40000, 80, 1000, 2000, 0x18, 100));
    let mut changed = original.clone();
    changed[0..12].copy_from_slice(&[9; 12]); // MAC addresses
    changed[14 + 8] = 63; // TTL
    changed[14 + 10] = 0; // header checksum
    changed[14 + 12..14 + 16].copy_from_slice(&[198, 51, 100, 7]); // source address
    changed[34..36].copy_from_slice(&1u16.to_be_bytes()); // source port
    changed[34 + 16] = 0; // TCP checksum
    let (original, changed) = (parse_of(&original), parse_of(&changed));
    assert_eq!(original.digest, changed.digest);
    assert_ne!(original.flow, changed.flow);
}

#[test]
fn each_covered_field_changes_the_digest() {
    let base = parse_of(&ipv4(6, A, B, 5, 0, &tcp(40000, 80, 1000, 2000, 0x10, 10))).digest;
    for (what, other) in [
        ("id", ipv4(6, A, B, 6, 0, &tcp(40000, 80, 1000, 2000, 0x10, 10))),
        ("seq", ipv4(6, A, B, 5, 0, &tcp(40000, 80, 1001, 2000, 0x10, 10))),
        ("ack", ipv4(6, A, B, 5, 0, &tcp(40000, 80, 1000, 2001, 0x10, 10))),
        ("fin", ipv4(6, A, B, 5, 0, &tcp(40000, 80, 1000, 2000, 0x11, 10))),
        ("protocol", ipv4(17, A, B, 5, 0, &tcp(40000, 80, 1000, 2000, 0x10, 10))),
    ] {
        assert_ne!(parse_of(&other).digest, base, "{what}");
    }
    assert_ne!(
        Slice(&ipv4(6, A, B, 5, 0, &tcp(40000, 80, 1000, 2000, 0x10, 10))).parse(&[1, 2]).digest,
        base,
        "key"
    );
}

#[test]
fn a_vlan_tag_or_two_change_nothing_but_the_overhead() {
    let plain = ipv4(1, A, B, 5, 0, &echo(8, 1, 1));
    let mut tagged = plain[..12].to_vec();
    tagged.extend([0x88, 0xa8, 0, 7, 0x81, 0, 0, 8]);
    tagged.extend(&plain[12..]);
    let (plain, tagged) = (parse_of(&plain), parse_of(&tagged));
    assert_eq!((plain.digest, plain.flow), (tagged.digest, tagged.flow));
    assert_eq!(plain.overhead + 8, tagged.overhead);
}

#[test]
fn padding_is_no_payload() {
    let mut ack = ipv4(6, A, B, 5, 0, &tcp(1, 2, 3, 4, 0x10, 0));
    let len = ack.len();
    ack.extend([0; 6]);
    assert_eq!(parse_of(&ack).overhead as usize, len + 6);
}

#[test]
fn ip_options_and_ipv6_extension_headers_are_skipped() {
    let mut options = ipv4(1, A, B, 5, 0, &echo(8, 4, 2));
    let plain = parse_of(&options);
    options[14] = 0x46;
    options[17] += 4;
    options.splice(34..34, [1, 1, 1, 0]);
    let with_options = parse_of(&options);
    assert_eq!((plain.digest, plain.seq), (with_options.digest, with_options.seq));

    let mut v6 = vec![0x60, 0, 0, 0, 0, 72, 60, 64];
    v6.extend([1; 16]);
    v6.extend([2; 16]);
    v6.extend([58, 0, 1, 4, 0, 0, 0, 0]);
    v6.extend(echo(128, 4, 2));
    let v6 = parse_of(&frame(0x86dd, &v6));
    assert_eq!((v6.kind, v6.seq, v6.ack, v6.protocol), (Kind::EchoRequest, 2, 4, 58));
}

#[test]
fn fragments_share_a_flow_without_ports_and_differ_in_the_digest() {
    let first = parse_of(&ipv4(17, A, B, 5, 0x2000, &[9; 64]));
    let second = parse_of(&ipv4(17, A, B, 5, 8, &[9; 64]));
    assert_eq!((first.kind, second.kind), (Kind::Fragment, Kind::Fragment));
    assert_eq!(first.flow, second.flow);
    assert_ne!(first.digest, second.digest);
}

#[test]
fn arp_questions_and_answers_share_a_flow() {
    let arp = |op: u8, from: [u8; 4], to: [u8; 4]| {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, op, 2, 0, 0, 0, 0, 1];
        bytes.extend(from);
        bytes.extend([0; 6]);
        bytes.extend(to);
        frame(0x0806, &bytes)
    };
    let (request, reply) = (parse_of(&arp(1, A, B)), parse_of(&arp(2, B, A)));
    assert_eq!(request.kind, Kind::Arp);
    assert_eq!(request.src[0], u32::from_ne_bytes(A));
    assert_eq!(request.dst[0], u32::from_ne_bytes(B));
    assert_eq!(request.flow ^ 1, reply.flow);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_give_no_digest(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_ne!(parse_of(&bytes).digest, 0);
    }

    #[test]
    fn what_lies_behind_a_frames_end_makes_no_difference(
        cut in 0usize..140,
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        ethertype in prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806, 0x8100, 0x1234]),
    ) {
        let tcp = ipv4(6, A, B, 5, 0, &tcp(40000, 80, 1000, 2000, 0x10, 80));
        for frame in [&tcp[..cut.min(tcp.len())], &frame(ethertype, &bytes)] {
            let ethertype = frame.get(12..14).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
            prop_assert_eq!(parse(&Noisy(frame), ethertype, frame.len() as u32, &KEY), parse_of(frame));
        }
    }
}

/// What the short way and the long way make of a frame of `len` bytes, of which these can be read.
fn both_ways(bytes: &[u8], len: u32) -> (Option<Frame>, Frame) {
    let ethertype = u16::from_be_bytes([bytes[12], bytes[13]]);
    let source = Noisy(bytes);
    let short = common::read(&source, &source.window(ETHERNET_HEADER), ethertype, len, &KEY);
    (short, parse_any(&source, source.window(ETHERNET_HEADER), ethertype, len, &KEY))
}

#[test]
fn what_most_frames_are_is_read_the_short_way() {
    let packets = [
        (6, tcp(40000, 80, 1000, 2000, 0x18, 80)),
        (17, vec![7; 20]),
        (1, echo(8, 1, 2)),
        (1, echo(0, 1, 2)),
    ];
    for (protocol, payload) in packets {
        let bytes = ipv4(protocol, A, B, 5, 0x4000, &payload);
        let (short, long) = both_ways(&bytes, bytes.len() as u32);
        assert_eq!(short, Some(long), "{protocol}");
    }
    for (protocol, fragment, payload) in
        [(6, 0x2000, tcp(1, 2, 3, 4, 0, 0)), (1, 0, echo(3, 1, 2)), (47, 0, vec![0; 40])]
    {
        let bytes = ipv4(protocol, A, B, 5, fragment, &payload);
        assert_eq!(both_ways(&bytes, bytes.len() as u32).0, None, "{protocol}");
    }
}

proptest! {
    #[test]
    fn both_ways_through_the_headers_agree(
        protocol in prop::sample::select(vec![1u8, 6, 17, 4, 47]),
        fragment in prop::sample::select(vec![0u16, 0x4000, 0x2000, 1]),
        start in prop::collection::vec(prop::sample::select(vec![0u8, 1, 8, 10, 0x50, 0x80, 0xf0, 0x45, 255]), 32),
        rest in prop::collection::vec(any::<u8>(), 0..60),
        changed in prop::option::weighted(0.3, (14usize..40, any::<u8>())),
        cut in prop::option::of(14usize..120),
        more in 0u32..3000,
    ) {
        let mut bytes = ipv4(protocol, A, B, 5, fragment, &[start, rest].concat());
        if let Some((at, byte)) = changed {
            bytes[at] = byte;
        }
        let len = bytes.len() as u32 + more;
        bytes.truncate(cut.unwrap_or(bytes.len()));
        let (short, long) = both_ways(&bytes, len);
        prop_assert!(short.is_none_or(|short| short == long), "{short:?} {long:?}");
    }
}

#[test]
fn an_acknowledgement_and_the_data_behind_it_are_two_frames() {
    let digest = |payload| parse_of(&ipv4(6, A, B, 0, 0x4000, &tcp(80, 1234, 1, 2, 0x10, payload))).digest;
    assert_ne!(digest(0), digest(100));
    assert_eq!(digest(100), digest(1000));
}

#[test]
fn neighbour_solicitations_for_two_targets_of_one_prefix_are_two_frames() {
    let digest = |last: u8| {
        let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8];
        icmp.extend([0; 11]);
        icmp.extend([last, 1, 1, 0x52, 0x54, 0, 0xdb, 0x80, 3]);
        let mut bytes = vec![0x60, 0, 0, 0, 0, icmp.len() as u8, 58, 255];
        bytes.extend([1; 32]);
        bytes.extend(icmp);
        parse_of(&frame(0x86dd, &bytes)).digest
    };
    assert_ne!(digest(2), digest(3));
}

/// Headers of a tunnel: the outer IP's protocol, and what stands between that IP header and the inner frame.
fn tunnels() -> Vec<(&'static str, u8, Vec<u8>, bool)> {
    let udp = |port: u16, rest: &[u8]| {
        let mut bytes = vec![0xc0, 0];
        bytes.extend(port.to_be_bytes());
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(rest);
        bytes
    };
    vec![
        ("vxlan", 17, udp(4789, &[8, 0, 0, 0, 0, 0, 7, 0]), true),
        ("vxlan, linux", 17, udp(8472, &[0x88, 0, 0, 9, 0, 0, 7, 0]), true),
        ("geneve", 17, udp(6081, &[0, 0, 0x65, 0x58, 0, 0, 7, 0]), true),
        ("geneve with options", 17, udp(6081, &[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8]), true),
        ("geneve with ip", 17, udp(6081, &[0, 0, 8, 0, 0, 0, 7, 0]), false),
        ("gre", 47, vec![0, 0, 8, 0], false),
        ("gre with key and checksum", 47, vec![0xa0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 5], false),
        ("gretap", 47, vec![0, 0, 0x65, 0x58], true),
        ("gretap with sequence", 47, vec![0x10, 0, 0x65, 0x58, 0, 0, 0, 1], true),
        ("ipip", 4, Vec::new(), false),
    ]
}

/// A frame of IPv4 inside a tunnel over IPv4, or over IPv6.
fn wrapped(inner: &[u8], protocol: u8, between: &[u8], ethernet: bool, over_ipv6: bool) -> Vec<u8> {
    let mut payload = between.to_vec();
    payload.extend(&inner[if ethernet { 0 } else { 14 }..]);
    if !over_ipv6 {
        return ipv4(protocol, [203, 0, 113, 1], [203, 0, 113, 2], 77, 0x4000, &payload);
    }
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    // One destination option, as Linux sends it.
    bytes.extend([60, 64]);
    bytes.extend([3; 32]);
    bytes.extend([protocol, 0, 4, 1, 4, 1, 1, 0]);
    bytes.extend(payload);
    frame(0x86dd, &bytes)
}

#[test]
fn a_frame_in_a_tunnel_is_read_as_the_frame() {
    let inner = ipv4(6, A, B, 5, 0x4000, &tcp(40000, 80, 1000, 2000, 0x18, 100));
    let plain = parse_of(&inner);
    assert!(!plain.tunnelled);
    for (what, protocol, between, ethernet) in tunnels() {
        for over_ipv6 in [false, true] {
            let bytes = wrapped(&inner, protocol, &between, ethernet, over_ipv6);
            let read = parse_of(&bytes);
            assert!(read.tunnelled, "{what}");
            let payload = bytes.len() - usize::from(read.overhead);
            assert_eq!(payload, 100, "{what}, over IPv6: {over_ipv6}");
            let as_plain = Frame { overhead: plain.overhead, tunnelled: false, ..read };
            assert_eq!(as_plain, plain, "{what}, over IPv6: {over_ipv6}");
        }
    }
}

#[test]
fn tunnels_and_tags_nest() {
    let inner = ipv4(1, A, B, 5, 0, &echo(8, 1, 1));
    let mut tagged = inner[..12].to_vec();
    tagged.extend([0x81, 0, 0, 8]);
    tagged.extend(&inner[12..]);
    let [vxlan, .., ipip] = &tunnels()[..] else { panic!("no tunnels") };
    let once = wrapped(&tagged, vxlan.1, &vxlan.2, true, false);
    let twice = wrapped(&once, ipip.1, &ipip.2, false, true);
    let (plain, nested) = (parse_of(&inner), parse_of(&twice));
    assert_eq!((plain.digest, plain.flow, plain.seq), (nested.digest, nested.flow, nested.seq));
}

#[test]
fn what_only_looks_like_a_tunnel_is_none() {
    let datagram = |port: u16, first: u8| {
        let mut bytes = vec![0xc0, 0];
        bytes.extend(port.to_be_bytes());
        bytes.extend([0, 40, 0, 0, first]);
        bytes.extend([0; 31]);
        parse_of(&ipv4(17, A, B, 5, 0, &bytes))
    };
    for (port, first) in [(4789, 0x0c), (6081, 0x40), (4790, 8)] {
        let read = datagram(port, first);
        assert_eq!((read.kind, read.dst_port, read.tunnelled), (Kind::Udp, port, false));
    }
    let fragment = parse_of(&ipv4(4, A, B, 5, 0x2000, &ipv4(1, A, B, 5, 0, &echo(8, 1, 1))[14..]));
    assert_eq!((fragment.kind, fragment.tunnelled), (Kind::Fragment, false));
}

#[test]
fn an_icmp_error_is_the_same_behind_a_nat() {
    let about = ipv4(17, A, B, 5, 0x4000, &[1, 2, 3, 4, 0, 8, 9, 9]);
    let error = |about: &[u8]| {
        let mut icmp = vec![3, 3, 0, 0, 0, 0, 0, 0];
        icmp.extend(&about[14..]);
        parse_of(&ipv4(1, B, A, 9, 0, &icmp))
    };
    let mut translated = about.clone();
    translated[14 + 12..14 + 16].copy_from_slice(&[198, 51, 100, 7]);
    translated[14 + 8] = 60;
    assert_eq!(error(&about).digest, error(&translated).digest);
}

#[test]
fn a_datagram_says_which_one_it_is_and_what_it_names() {
    let datagram = |id: u16, payload: &[u8]| {
        let mut udp = vec![0, 53, 0x90, 0, 0, 8 + payload.len() as u8, 0, 0];
        udp.extend(payload);
        parse_of(&ipv4(17, A, B, id, 0, &udp))
    };
    let (question, answer) = (datagram(7, b"ID-asked"), datagram(0, b"ID-answered"));
    assert_eq!((question.seq, answer.seq), (0x1_0007, 0x1_0000));
    assert_eq!(question.ack >> 16, answer.ack >> 16);
    assert_ne!(question.ack & 0xffff, answer.ack & 0xffff);
    assert_eq!(datagram(7, b"short").ack, 0);
}

#[test]
fn timestamps_are_read_as_their_low_halves() {
    let read = parse_of(&ipv4(6, A, B, 5, 0, &tcp(1, 2, 3, 4, 0x10, 0)));
    assert_eq!(read.stamps, (9 << 16) | 8);
}

#[test]
fn the_length_of_an_unknown_frame_is_its_own_in_a_tunnel_too() {
    let unknown = frame(0x88cc, &[5; 40]);
    let [vxlan, ..] = &tunnels()[..] else { panic!("no tunnels") };
    assert_eq!(
        parse_of(&unknown).digest,
        parse_of(&wrapped(&unknown, vxlan.1, &vxlan.2, true, false)).digest
    );
}

#[test]
fn a_frame_with_a_length_for_a_type_has_one_name_whatever_the_kernel_calls_its_type() {
    let spanning_tree = frame(38, &[&[0x42, 0x42, 3][..], &[0; 35]].concat());
    let other = frame(38, &[&[0x42, 0x42, 3][..], &[1; 35]].concat());
    // ETH_P_802_3 and ETH_P_802_2.
    for kept in [1, 4] {
        let kernel = parse(&Slice(&spanning_tree), kept, spanning_tree.len() as u32, &KEY);
        assert_eq!(kernel, parse_of(&spanning_tree));
    }
    assert_ne!(parse_of(&spanning_tree).digest, parse_of(&other).digest);
}
