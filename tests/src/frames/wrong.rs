//! What can be wrong with a frame.

use super::{
    Named,
    build::{
        BRIDGED, IPV4, IPV6, VLAN, arp, echo, ethernet, extension, geneve, gre, ipv4, ipv6, tagged, tcp, udp,
        vxlan,
    },
    named, sound,
};
use crate::world::Random;

/// Where the packet of an untagged frame starts.
const PACKET: usize = 14;
/// Where the payload of a packet without options starts.
const BEHIND_IPV4: usize = PACKET + 20;
const BEHIND_IPV6: usize = PACKET + 40;

/// Deeper than any parser may follow.
const DEPTH: usize = 12;

/// The frame with some of its bytes replaced.
fn with(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// Frames whose lengths say what is not so.
pub fn lying() -> Vec<Named> {
    let segment = ethernet(IPV4, &ipv4(6, &tcp(0x18, &[1; 20], &[b'x'; 60])));
    let segment6 = ethernet(IPV6, &ipv6(6, &tcp(0x18, &[1; 20], &[b'x'; 60])));
    let datagram = ethernet(IPV4, &ipv4(17, &udp(1, 2, &[9; 60])));
    let question = ethernet(IPV4, &ipv4(1, &echo(8)));
    let options = ethernet(IPV6, &ipv6(0, &extension(60, 0, &extension(17, 1, &udp(1, 2, &[9; 60])))));
    let answer = ethernet(0x0806, &arp(2));
    let mut all = Vec::new();
    let mut lie = |what: &str, value: u32, bytes: Vec<u8>| all.push(named(format!("{what} {value}"), bytes));
    for value in 0..=15_u8 {
        for (name, frame) in [("TCP", &segment), ("UDP", &datagram), ("ICMP", &question)] {
            lie(&format!("{name}, IHL"), value.into(), with(frame, PACKET, &[0x40 | value]));
        }
        lie("IP version", value.into(), with(&segment, PACKET, &[value << 4 | 5]));
        lie("IPv6's version", value.into(), with(&segment6, PACKET, &[value << 4]));
        lie("data offset", value.into(), with(&segment, BEHIND_IPV4 + 12, &[value << 4]));
        lie("data offset over IPv6", value.into(), with(&segment6, BEHIND_IPV6 + 12, &[value << 4]));
    }
    for value in
        [0, 1, 7, 8, 19, 20, 21, 27, 28, 39, 40, 41, 100, 255, 256, 1500, 0x7fff, 0x8000, 65534, 65535_u16]
    {
        let bytes = value.to_be_bytes();
        for (name, frame) in [("TCP", &segment), ("UDP", &datagram), ("ICMP", &question)] {
            lie(&format!("{name}, total length"), value.into(), with(frame, PACKET + 2, &bytes));
        }
        lie("payload length", value.into(), with(&segment6, PACKET + 4, &bytes));
        lie("UDP length", value.into(), with(&datagram, BEHIND_IPV4 + 4, &bytes));
        lie("fragment", value.into(), with(&datagram, PACKET + 6, &bytes));
        lie("hardware type", value.into(), with(&answer, PACKET, &bytes));
    }
    for value in [0, 1, 2, 5, 6, 7, 8, 30, 31, 127, 128, 254, 255_u8] {
        lie("hop-by-hop length", value.into(), with(&options, BEHIND_IPV6 + 1, &[value]));
        lie("destination options length", value.into(), with(&options, BEHIND_IPV6 + 9, &[value]));
        lie("next header", value.into(), with(&options, BEHIND_IPV6, &[value]));
        lie("protocol", value.into(), with(&datagram, PACKET + 9, &[value]));
        lie("length of hardware addresses", value.into(), with(&answer, PACKET + 4, &[value]));
        lie("length of protocol addresses", value.into(), with(&answer, PACKET + 5, &[value]));
    }
    all.extend(lying_tunnels());
    all
}

/// Tunnels whose headers say what is not so.
fn lying_tunnels() -> Vec<Named> {
    let inner = ethernet(IPV4, &ipv4(1, &echo(8)));
    let mut all = Vec::new();
    let mut lie = |what: &str, value: u32, protocol: u8, payload: &[u8]| {
        all.push(named(format!("{what} {value}"), ethernet(IPV4, &ipv4(protocol, payload))));
        all.push(named(format!("{what} {value} over IPv6"), ethernet(IPV6, &ipv6(protocol, payload))));
    };
    for bit in 0..8 {
        lie("VXLAN, flag", bit, 17, &with(&vxlan(&inner), 8, &[1 << bit]));
    }
    for words in [0, 1, 31, 62, 63, 64, 128, 255_u8] {
        lie("Geneve, words of options", words.into(), 17, &with(&geneve(0, BRIDGED, &inner), 8, &[words]));
        lie("Geneve, options there are", words.into(), 17, &geneve(words % 64, BRIDGED, &inner));
    }
    for bit in 0..16_u32 {
        lie(
            "GRE, flag without its word",
            bit,
            47,
            &with(&gre(0, BRIDGED, &inner), 0, &(1_u16 << bit).to_be_bytes()),
        );
        lie("GRE, flag", bit, 47, &gre(1 << bit, BRIDGED, &inner));
    }
    for port in [0, 53, 4788, 4789, 4790, 6080, 6081, 6082, 8472, 65535_u16] {
        lie("VXLAN to port", port.into(), 17, &with(&vxlan(&inner), 2, &port.to_be_bytes()));
    }
    all
}

/// Frames in frames, packets in packets, headers behind headers: 1 to [`DEPTH`] of them.
pub fn nested() -> Vec<Named> {
    let inner = ethernet(IPV4, &ipv4(6, &tcp(0x18, &[], b"deep inside")));
    let packet = ipv4(17, &udp(1, 2, b"deep inside"));
    let packet6 = ipv6(17, &udp(1, 2, b"deep inside"));
    let mut all = Vec::new();
    let mut stack = |name: &str, start: &[u8], finish: fn(&[u8]) -> Vec<u8>, wrap: fn(&[u8]) -> Vec<u8>| {
        let mut bytes = start.to_vec();
        for depth in 1..=DEPTH {
            bytes = wrap(&bytes);
            all.push(named(format!("{depth} {name}"), finish(&bytes)));
        }
    };
    stack("tags", &inner, <[u8]>::to_vec, |frame| tagged(VLAN, 7, frame));
    stack("VXLANs", &inner, <[u8]>::to_vec, |frame| ethernet(IPV4, &ipv4(17, &vxlan(frame))));
    stack("VXLANs over IPv6", &inner, <[u8]>::to_vec, |frame| ethernet(IPV6, &ipv6(17, &vxlan(frame))));
    stack("Geneves", &inner, <[u8]>::to_vec, |frame| ethernet(IPV4, &ipv4(17, &geneve(2, BRIDGED, frame))));
    stack("GREs", &inner, <[u8]>::to_vec, |frame| ethernet(IPV4, &ipv4(47, &gre(0x2000, BRIDGED, frame))));
    stack("VXLANs and tags", &inner, <[u8]>::to_vec, |frame| {
        tagged(VLAN, 9, &ethernet(IPV4, &ipv4(17, &vxlan(frame))))
    });
    stack("IPv4s", &packet, |packet| ethernet(IPV4, packet), |packet| ipv4(4, packet));
    stack("IPv6s", &packet6, |packet| ethernet(IPV6, packet), |packet| ipv6(41, packet));
    stack("IPv6s in IPv4", &packet, |packet| ethernet(IPV4, packet), |packet| ipv4(41, &ipv6(4, packet)));
    let datagram = udp(1, 2, b"deep inside");
    for depth in 1..=DEPTH {
        let headers =
            (0..depth).fold((17, datagram.clone()), |(next, payload), _| (60, extension(next, 1, &payload)));
        all.push(named(format!("{depth} extension headers"), ethernet(IPV6, &ipv6(headers.0, &headers.1))));
    }
    all
}

/// One in `step` of the sound and nested frames, cut after every byte, up to `longest`.
pub fn cuts(longest: usize, step: usize) -> Vec<Named> {
    let whole = [sound(), nested()].concat();
    let cut = |frame: &Named| {
        let Named { name, bytes } = frame.clone();
        let ends = 0..bytes.len().min(longest);
        ends.map(move |end| named(format!("{name}, cut to {end}"), bytes[..end].to_vec())).collect::<Vec<_>>()
    };
    whole.iter().step_by(step).flat_map(cut).collect()
}

/// Numbers at which parsers go wrong.
const EDGES: [u32; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];

/// `count` frames with fields at random behind the addresses of the stations, now and then cut as well.
pub fn scrambled(seed: u64, count: usize) -> Vec<Named> {
    let whole = [sound(), nested()].concat();
    let mut random = Random::new(seed);
    let scramble = |number: usize| {
        let Named { name, mut bytes } = whole[random.below(whole.len() as u64) as usize].clone();
        for _ in 0..=random.below(4) {
            let width = 1 << random.below(3);
            let end = bytes.len().min(140) - width;
            let at = 12 + random.below(end as u64 - 11) as usize;
            let value =
                if random.one_in(2) { random.number() as u32 } else { EDGES[random.below(12) as usize] };
            bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[4 - width..]);
        }
        if random.one_in(4) {
            bytes.truncate(14 + random.below(bytes.len() as u64 - 14) as usize);
        }
        named(format!("{name}, scrambled {number}"), bytes)
    };
    (0..count).map(scramble).collect()
}
