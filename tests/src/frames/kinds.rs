//! Frames that are sound, one of every kind that a virtual network carries.

use super::{
    Named,
    build::{
        ARP, BRIDGED, IPV4, IPV6, QINQ, TIMESTAMPS, VLAN, arp, echo, ethernet, extension, fragment, geneve,
        gre, icmp, ipv4, ipv4_with, ipv6, tagged, tcp, udp, vxlan,
    },
    named,
};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;

/// One of every kind, with tags and in tunnels.
pub fn sound() -> Vec<Named> {
    let plain = [internet(), others()].concat();
    let mut all = plain.clone();
    for Named { name, bytes } in &plain {
        all.push(named(format!("{name}, tagged"), tagged(VLAN, 7, bytes)));
    }
    for Named { name, bytes } in plain.iter().step_by(5) {
        all.push(named(format!("{name}, tagged twice"), tagged(QINQ, 8, &tagged(VLAN, 7, bytes))));
        all.push(named(format!("{name}, priority-tagged"), tagged(VLAN, 0xe000, bytes)));
    }
    all.extend(tunnels(&plain));
    all
}

/// IPv4 and IPv6.
fn internet() -> Vec<Named> {
    let mut all = Vec::new();
    let mut both = |name: &str, protocol: u8, payload: &[u8]| {
        all.push(named(format!("{name} over IPv4"), ethernet(IPV4, &ipv4(protocol, payload))));
        all.push(named(format!("{name} over IPv6"), ethernet(IPV6, &ipv6(protocol, payload))));
    };
    both("acknowledgement", TCP, &tcp(0x10, &TIMESTAMPS, &[]));
    both("data", TCP, &tcp(0x18, &TIMESTAMPS, &[b'x'; 100]));
    both("data without options", TCP, &tcp(0x10, &[], &[b'x'; 40]));
    both("SYN", TCP, &tcp(2, &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7], &[]));
    both("SYN with all options there is room for", TCP, &tcp(2, &[1; 40], &[]));
    both("RST", TCP, &tcp(4, &[], &[]));
    both("question", UDP, &udp(40000, 53, b"what is the address of this host"));
    both("empty datagram", UDP, &udp(40000, 9, &[]));
    both("SCTP", 132, &[0xc0; 44]);
    both("ESP", 50, &[0xc1; 60]);
    both("AH", 51, &extension(TCP, 2, &tcp(0x10, &[], b"within AH")));
    both("nothing", 59, &[]);
    for (name, kind) in [("echo request", 8), ("echo reply", 0)] {
        all.push(named(name, ethernet(IPV4, &ipv4(ICMP, &echo(kind)))));
    }
    for (name, kind) in [("ICMPv6 echo request", 128), ("ICMPv6 echo reply", 129)] {
        all.push(named(name, ethernet(IPV6, &ipv6(ICMPV6, &echo(kind)))));
    }
    all.extend(control());
    all.extend(fragments());
    all
}

/// What networks tell each other.
fn control() -> Vec<Named> {
    let unreachable = icmp(3, 4, &[&[0, 0, 5, 120][..], &ipv4(UDP, &udp(1, 2, b"lost"))].concat());
    let solicitation = icmp(135, 0, &[&[0; 4][..], &[0xfd; 16], &[1, 1, 2, 0, 0, 0, 0, 1]].concat());
    let report = icmp(143, 0, &[&[0, 0, 0, 1, 4, 0, 0, 0][..], &[0xff; 16]].concat());
    let alert = [5, 2, 0, 0, 1, 0];
    let listener = [&[ICMPV6, 0][..], &alert, &report].concat();
    vec![
        named("unreachable", ethernet(IPV4, &ipv4(ICMP, &unreachable))),
        named("neighbour solicitation", ethernet(IPV6, &ipv6(ICMPV6, &solicitation))),
        named("multicast listener report", ethernet(IPV6, &ipv6(0, &listener))),
        named("IGMP", ethernet(IPV4, &ipv4_with(&[0x94, 4, 0, 0], 0, 2, &[0x16, 0, 9, 4, 239, 1, 2, 3]))),
        named("IPv4 with all options", ethernet(IPV4, &ipv4_with(&[1; 40], 0, UDP, &udp(1, 2, b"options")))),
    ]
}

fn fragments() -> Vec<Named> {
    let mut all = Vec::new();
    for (name, bits) in [("first", 0x2000), ("middle", 0x2040), ("last", 0x0080), ("unfragmented", 0x4000)] {
        all.push(named(format!("{name} fragment"), ethernet(IPV4, &ipv4_with(&[], bits, UDP, &[9; 64]))));
    }
    for (name, bits) in [("first", 1), ("middle", 0x201), ("last", 0x400), ("atomic", 0)] {
        let packet = ipv6(44, &fragment(UDP, bits, &udp(1, 2, &[9; 64])));
        all.push(named(format!("{name} fragment of IPv6"), ethernet(IPV6, &packet)));
    }
    let behind = extension(44, 0, &fragment(TCP, 1, &tcp(0x10, &[], &[b'y'; 32])));
    all.push(named("fragment behind options", ethernet(IPV6, &ipv6(60, &behind))));
    all
}

/// No IP.
fn others() -> Vec<Named> {
    let spanning_tree = [&[0x42, 0x42, 3][..], &[0; 35]].concat();
    let mut all = vec![
        named("ARP request", ethernet(ARP, &arp(1))),
        named("ARP reply", ethernet(ARP, &arp(2))),
        named("reverse ARP", ethernet(0x8035, &arp(3))),
        // Below 1536 the type is a length (IEEE 802.3).
        named("spanning tree", ethernet(38, &spanning_tree)),
        named("raw IPX", ethernet(34, &[&[0xff, 0xff][..], &[0; 32]].concat())),
        named("802.3 of no length", ethernet(0, &[0xaa; 46])),
        named("the longest 802.3", ethernet(1535, &[0xaa; 46])),
        named("the first type", ethernet(1536, &[0xaa; 46])),
    ];
    for (name, ethertype) in [
        ("LLDP", 0x88cc_u16),
        ("PPPoE", 0x8864),
        ("MPLS", 0x8847),
        ("EAPOL", 0x888e),
        ("PTP", 0x88f7),
        ("MACsec", 0x88e5),
        ("the last type", 0xffff),
    ] {
        all.push(named(name, ethernet(ethertype, &(0..46).collect::<Vec<u8>>())));
    }
    all
}

/// Some of `inner` in every tunnel, over both versions.
fn tunnels(inner: &[Named]) -> Vec<Named> {
    let mut all = Vec::new();
    let mut over = |name: String, protocol: u8, payload: &[u8]| {
        all.push(named(format!("{name} over IPv4"), ethernet(IPV4, &ipv4(protocol, payload))));
        all.push(named(format!("{name} over IPv6"), ethernet(IPV6, &ipv6(protocol, payload))));
    };
    for Named { name, bytes } in inner.iter().step_by(3) {
        over(format!("{name} in VXLAN"), UDP, &vxlan(bytes));
        for words in [0, 1, 9] {
            over(format!("{name} in Geneve, {words} words of options"), UDP, &geneve(words, BRIDGED, bytes));
        }
        for flags in [0, 0x2000, 0xb000] {
            over(format!("{name} in GRE {flags:04x}"), GRE, &gre(flags, BRIDGED, bytes));
        }
    }
    let packets = [
        ("IPv4", 4, IPV4, ipv4(UDP, &udp(1, 2, b"within"))),
        ("IPv6", 41, IPV6, ipv6(TCP, &tcp(0x10, &[], b"within"))),
    ];
    for (name, protocol, ethertype, packet) in packets {
        over(format!("{name} in IP"), protocol, &packet);
        over(format!("{name} in GRE"), GRE, &gre(0, ethertype, &packet));
        over(format!("{name} in Geneve"), UDP, &geneve(0, ethertype, &packet));
    }
    all
}
