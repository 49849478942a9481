//! Which frames pass which words, and what is said of words that cannot be used.

use std::net::IpAddr;

use proptest::prelude::*;
use tracer_common::{
    filter::{AddressTest, ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IP6, MAX_CLAUSES, PortTest},
    frame::{Frame, Kind, Slice},
};

use super::{normal, parse, parser::Expr};

const A: &str = "192.0.2.2";
const B: &str = "192.0.2.3";
const C: &str = "2001:db8::2";
const D: &str = "2001:db8:0:1::3";

fn ethernet(ethertype: u16, rest: &[u8]) -> Frame {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(rest);
    Slice(&bytes).parse(&[1, 2])
}

/// A frame of IP protocol `protocol`, whose first bytes behind IP are the ports; zeros follow.
fn ip(src: &str, dst: &str, protocol: u8, src_port: u16, dst_port: u16) -> Frame {
    let mut payload = [src_port.to_be_bytes(), dst_port.to_be_bytes()].concat();
    payload.extend([0; 28]);
    match (src.parse().unwrap(), dst.parse().unwrap()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut bytes = vec![0x45, 0, 0, 52, 0, 0, 0, 0, 64, protocol, 0, 0];
            bytes.extend([src.octets(), dst.octets()].concat());
            ethernet(0x0800, &[bytes, payload].concat())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut bytes = vec![0x60, 0, 0, 0, 0, 32, protocol, 64];
            bytes.extend([src.octets(), dst.octets()].concat());
            ethernet(0x86dd, &[bytes, payload].concat())
        }
        _ => panic!("{src} and {dst} are of two versions"),
    }
}

fn arp(sender: &str, target: &str) -> Frame {
    let octets = |address: &str| address.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1];
    bytes.extend(octets(sender));
    bytes.extend([0; 6]);
    bytes.extend(octets(target));
    ethernet(0x0806, &bytes)
}

/// One of each sort, with a name.
fn zoo() -> Vec<(&'static str, Frame)> {
    vec![
        ("echo", ip(A, B, 1, 0x0800, 0)),
        ("web", ip(A, B, 6, 40000, 80)),
        ("web answer", ip(B, A, 6, 80, 40000)),
        ("dns", ip(A, "198.51.100.1", 17, 40000, 53)),
        ("echo6", ip(C, D, 58, 0x8000, 0)),
        ("web6", ip(C, D, 6, 40000, 443)),
        ("dns6", ip(D, C, 17, 53, 40000)),
        ("arp", arp(A, B)),
        ("other", ethernet(0x88cc, &[0; 46])),
        ("truncated", ethernet(0x0800, &[0x45, 0])),
    ]
}

fn passing(expression: &str) -> String {
    let filter = parse(expression).unwrap_or_else(|error| panic!("{error}"));
    let passes =
        |frame: &Frame| filter.clauses.is_empty() || filter.clauses.iter().any(|clause| clause.passes(frame));
    let names: Vec<&str> =
        zoo().into_iter().filter(|(_, frame)| passes(frame)).map(|(name, _)| name).collect();
    names.join(", ")
}

#[test]
fn frames_pass_as_they_do_for_tcpdump() {
    let all = "echo, web, web answer, dns, echo6, web6, dns6, arp, other, truncated";
    for (expression, expected) in [
        ("", all),
        (" \t\n", all),
        ("ip", "echo, web, web answer, dns, truncated"),
        ("ip6", "echo6, web6, dns6"),
        ("arp", "arp"),
        ("icmp", "echo"),
        ("icmp6", "echo6"),
        ("tcp", "web, web answer, web6"),
        ("udp", "dns, dns6"),
        ("tcp or udp", "web, web answer, dns, web6, dns6"),
        ("tcp || udp && ip6", "web6, dns6"),
        ("tcp or (udp and ip6)", "web, web answer, web6, dns6"),
        ("host 192.0.2.2", "echo, web, web answer, dns, arp"),
        ("192.0.2.2", "echo, web, web answer, dns, arp"),
        ("src host 192.0.2.2", "echo, web, dns, arp"),
        ("src 192.0.2.2", "echo, web, dns, arp"),
        ("dst 192.0.2.2", "web answer"),
        ("src or dst 192.0.2.2", "echo, web, web answer, dns, arp"),
        ("src and dst net 192.0.2.0/24", "echo, web, web answer, arp"),
        ("ip host 192.0.2.2", "echo, web, web answer, dns"),
        ("arp host 192.0.2.2", "arp"),
        ("tcp src host 192.0.2.2", "web"),
        ("ip6 host 2001:db8::2", "echo6, web6, dns6"),
        ("dst net 198.51.100.0/24", "dns"),
        ("net 2001:db8::/48", "echo6, web6, dns6"),
        ("src net 2001:db8:0:1::/64", "dns6"),
        ("net 0.0.0.0/0", "echo, web, web answer, dns, arp"),
        ("port 80", "web, web answer"),
        ("port http or 443", "web, web answer, web6"),
        ("tcp dst port 80", "web"),
        ("udp port domain", "dns, dns6"),
        ("src port 53", "dns6"),
        ("proto 17", "dns, dns6"),
        ("ip proto 17", "dns"),
        ("ip proto \\tcp", "web, web answer"),
        ("ip6 proto tcp", "web6"),
        ("not ip", "echo6, web6, dns6, arp, other"),
        ("!tcp", "echo, dns, echo6, dns6, arp, other, truncated"),
        ("not (tcp or udp)", "echo, echo6, arp, other, truncated"),
        ("not arp and not icmp", "web, web answer, dns, echo6, web6, dns6, other, truncated"),
        ("not tcp and not udp and not arp", "echo, echo6, other, truncated"),
        ("not (tcp and port 80)", "echo, dns, echo6, web6, dns6, arp, other, truncated"),
        ("not port 80 and not 53", "echo, echo6, web6, arp, other, truncated"),
        ("icmp and host 192.0.2.3", "echo"),
        ("(icmp||icmp6)&&!(host 192.0.2.2)", "echo6"),
        ("host 192.0.2.2 and 192.0.2.3", "echo, web, web answer, arp"),
        ("tcp or not tcp", all),
    ] {
        assert_eq!(passing(expression), expected, "{expression}");
    }
}

#[test]
fn common_filters_stay_small() {
    for (expression, clauses) in [
        ("tcp or udp or icmp", 2),
        ("not arp and not ip6", 1),
        ("not tcp and not udp", 1),
        ("not icmp", 2),
        ("not arp and not icmp", 2),
        ("tcp port 80 or tcp port 443", 2),
        ("icmp or icmp6 or arp", 3),
        ("host 192.0.2.1 and (tcp port 80 or tcp port 443 or icmp)", 3),
        ("ip or ip", 1),
    ] {
        assert_eq!(parse(expression).unwrap().clauses.len(), clauses, "{expression}");
    }
}

#[test]
fn an_error_names_the_word_and_its_place() {
    let shown = |expression: &str| parse(expression).unwrap_err().to_string();
    insta::assert_snapshot!(shown("icmp and vlan 5"), @r#"
    filter: "vlan" is not supported here (at column 10): vmhop knows ip, ip6, arp, icmp, icmp6, tcp, udp, proto N, [src|dst] host A, [src|dst] net A/LEN, [src|dst] port N, and, or, not, ( )
      icmp and vlan 5
               ^^^^
    "#);
    insta::assert_snapshot!(shown("tcp port 80 host 192.0.2.1"), @r#"
    filter: "and" or "or" is expected before "host" (at column 13)
      tcp port 80 host 192.0.2.1
                  ^^^^
    "#);
    insta::assert_snapshot!(shown("host"), @"
    filter: an IP address is expected at the end (at column 5)
      host
          ^
    ");
    insta::assert_snapshot!(shown("net 192.0.2.1/24"), @r#"
    filter: "192.0.2.1/24" is not a net (at column 5): bits behind the length are set; the net is 192.0.2.0/24
      net 192.0.2.1/24
          ^^^^^^^^^^^^
    "#);
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason() {
    let deep = format!("{}ip{}", "(".repeat(80), ")".repeat(80));
    let long = vec!["ip"; 400].join(" or ");
    let wide = (1..=9).map(|port| format!("tcp port {port}")).collect::<Vec<_>>().join(" or ");
    let explosive =
        (0..20).map(|n| format!("(port {n} or host 192.0.2.{n})")).collect::<Vec<_>>().join(" and ");
    for (expression, part) in [
        ("vlan", "\"vlan\" is not supported here (at column 1)"),
        ("tcp[13] & 2 != 0", "\"tcp[13]\" is not supported"),
        ("tcp and portrange 1-9", "\"portrange\" is not supported here (at column 9)"),
        ("\u{1b}[31mred", "\"\\u{1b}[31mred\" is not supported"),
        ("\u{3000}ip and vlan", "(at column 9)"),
        ("host example.com", "names are not looked up"),
        ("host 192.0.2.0/24", "write \"net 192.0.2.0/24\""),
        ("net 192.0.2.0", "address/length"),
        ("net 192.0.2.0/33", "from 0 to 32"),
        ("port 65536", "from 0 to 65535"),
        ("port +80", "from 0 to 65535"),
        ("proto 256", "from 0 to 255"),
        ("ip ip", "\"and\" or \"or\" is expected before \"ip\""),
        ("ip broadcast", "\"broadcast\" is not supported"),
        ("(ip", "\")\" is expected at the end"),
        ("(ip vlan)", "\"vlan\" is not supported"),
        ("ip)", "expected before \")\""),
        ("not", "a condition is expected at the end"),
        ("and ip", "a condition is expected before \"and\""),
        ("src or src 192.0.2.1", "is expected before \"src\""),
        ("tcp and udp", "matches nothing"),
        ("arp and port 80", "matches nothing"),
        ("arp and host 2001:db8::1", "matches nothing"),
        ("ip and not ip", "matches nothing"),
        ("src 192.0.2.1 and src 192.0.2.2", "matches nothing"),
        ("src port 1 and src port 2", "matches nothing"),
        ("port 1 and not port 1", "matches nothing"),
        ("not port 1 and not port 2 and not port 3", "tests 3 ports, and 2 are supported"),
        (&deep, "nested too deeply"),
        (&long, "too long"),
        (&wide, "needs more than 8"),
        (&explosive, "too complex"),
    ] {
        let error = parse(expression).expect_err(expression).to_string();
        assert!(error.starts_with("filter: ") || error.contains("the filter"), "{error}");
        assert!(error.contains(part), "{expression}: {error}");
    }
}

/// What the expression says, straight from the frame's fields.
fn holds(expr: &Expr, frame: &Frame) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| holds(part, frame)),
        Expr::Or(parts) => parts.iter().any(|part| holds(part, frame)),
        Expr::Not(inner) => !holds(inner, frame),
        Expr::Ethertype(set) => match frame.ethertype {
            0x0800 => set & ETHERTYPE_IP != 0,
            0x86dd => set & ETHERTYPE_IP6 != 0,
            0x0806 => set & ETHERTYPE_ARP != 0,
            _ => false,
        },
        Expr::Protocol(protocol) => frame.version != 0 && frame.protocol == *protocol,
        Expr::Address(test) => {
            let version = if frame.kind == Kind::Arp { 4 } else { u32::from(frame.version) };
            let within = |end: [u32; 4]| (0..4).all(|n| end[n] & test.mask[n] == test.address[n]);
            version == test.version
                && (test.ends & 1 != 0 && within(frame.src) || test.ends & 2 != 0 && within(frame.dst))
        }
        Expr::Port(test) => {
            matches!(frame.kind, Kind::Tcp | Kind::Udp)
                && (test.ends & 1 != 0 && test.port == u32::from(frame.src_port)
                    || test.ends & 2 != 0 && test.port == u32::from(frame.dst_port))
        }
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let four = prop::sample::select(vec![A, B, "198.51.100.1"]);
    let six = prop::sample::select(vec![C, D]);
    let protocol = || prop::sample::select(vec![0u8, 1, 6, 17, 58, 132]);
    let port = || prop::sample::select(vec![22u16, 53, 80, 443]);
    let of = |version: BoxedStrategy<&'static str>| {
        (version.clone(), version, protocol(), port(), port())
            .prop_map(|(src, dst, protocol, from, to)| ip(src, dst, protocol, from, to))
    };
    prop_oneof![
        3 => of(four.clone().boxed()),
        3 => of(six.boxed()),
        1 => (four.clone(), four).prop_map(|(sender, target)| arp(sender, target)),
        1 => prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806, 0x88cc])
            .prop_map(|ethertype| ethernet(ethertype, &[0x45; 9])),
    ]
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let address = prop::sample::select(vec![A, B, C, D]).prop_flat_map(|address| {
        let address: IpAddr = address.parse().unwrap();
        let (octets, version, word_count) = match address {
            IpAddr::V4(four) => (four.octets().to_vec(), 4, 1),
            IpAddr::V6(six) => (six.octets().to_vec(), 6, 4usize),
        };
        (0..=word_count, 1u32..=3).prop_map(move |(words, ends)| {
            let mut test = AddressTest { ends, version, ..AddressTest::default() };
            for n in 0..words {
                test.mask[n] = u32::MAX;
                test.address[n] = u32::from_ne_bytes(octets[n * 4..n * 4 + 4].try_into().unwrap());
            }
            Expr::Address(test)
        })
    });
    let port = (prop::sample::select(vec![22u32, 53, 80]), 1u32..=3)
        .prop_map(|(port, ends)| Expr::Port(PortTest { port, ends, negate: 0 }));
    let leaf = prop_oneof![
        prop::sample::select(vec![ETHERTYPE_IP, ETHERTYPE_IP6, ETHERTYPE_ARP]).prop_map(Expr::Ethertype),
        prop::sample::select(vec![0u8, 1, 6, 17, 58]).prop_map(Expr::Protocol),
        address,
        port,
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|expr| Expr::Not(Box::new(expr))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn clauses_say_what_the_expression_says(
        expr in any_expr(),
        frames in prop::collection::vec(any_frame(), 32),
    ) {
        // No clause: nothing may hold. Too complex: nothing to compare.
        let clauses = match normal::clauses(&expr) {
            Ok(clauses) => clauses,
            Err(super::Problem::MatchesNothing) => Vec::new(),
            Err(_) => return Ok(()),
        };
        prop_assert!(clauses.len() <= MAX_CLAUSES);
        for frame in frames {
            let passes = clauses.iter().any(|clause| clause.passes(&frame));
            prop_assert_eq!(passes, holds(&expr, &frame), "{:?} {:?}", clauses, frame);
        }
    }

    #[test]
    fn no_text_panics(words in prop::collection::vec(
        prop::sample::select(vec!["ip", "tcp", "host", "src", "dst", "net", "port", "proto", "and", "or", "not",
            "(", ")", "!", "&&", "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "80", "http", "vlan", "\u{7}é"]),
        0..12,
    )) {
        if let Err(error) = parse(&words.join(" ")) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
