//! Addresses, nets, ports and protocols, as typed behind a keyword. Errors are remedies, for the message.

use std::net::IpAddr;

use tracer_common::filter::{AddressTest, PortTest};

use super::Subject;

/// The common names of /etc/services; the rest is given by number. A name stands for TCP and UDP alike.
const PORTS: &[(&str, u16)] = &[
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("ntp", 123),
    ("snmp", 161),
    ("https", 443),
    ("syslog", 514),
    ("nfs", 2049),
];

/// The common names of /etc/protocols.
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("vrrp", 112),
    ("sctp", 132),
];

/// Words with a meaning at the start of a primitive.
const KEYWORDS: &[&str] =
    &["ip", "ip6", "arp", "icmp", "icmp6", "tcp", "udp", "src", "dst", "host", "net", "port", "proto"];

/// What the value of a keyword is called.
pub(super) fn kind(subject: Subject) -> &'static str {
    match subject {
        Subject::Host => "an IP address",
        Subject::Net => "a net",
        Subject::Port => "a port",
        Subject::Proto => "an IP protocol",
    }
}

/// Whether a word means something at some place, though perhaps not where it stands.
pub(super) fn is_known(word: &str) -> bool {
    KEYWORDS.contains(&word)
        || [Subject::Host, Subject::Net, Subject::Port, Subject::Proto].iter().any(|&it| fits(it, word))
}

/// Whether a word is a value of this kind.
pub(super) fn fits(subject: Subject, word: &str) -> bool {
    match subject {
        Subject::Host => is_address(word),
        Subject::Net => net(word, 0).is_ok(),
        Subject::Port => port(word, 0).is_ok(),
        Subject::Proto => protocol(word).is_ok(),
    }
}

/// Whether a word is an IP address.
pub(super) fn is_address(word: &str) -> bool {
    word.parse::<IpAddr>().is_ok()
}

/// The test of one address.
pub(super) fn host(word: &str, ends: u32) -> Result<AddressTest, String> {
    let Ok(address) = word.parse::<IpAddr>() else {
        return Err(match word.split_once('/') {
            Some((address, _)) if is_address(address) => format!("write \"net {word}\" for a net"),
            _ => {
                "names are not looked up; write the address itself, like 192.0.2.1 or 2001:db8::1".to_owned()
            }
        });
    };
    let length = if address.is_ipv4() { 32 } else { 128 };
    Ok(test(address, length, ends))
}

/// The test of the first bits of an address.
pub(super) fn net(word: &str, ends: u32) -> Result<AddressTest, String> {
    let form = || "write it as address/length, like 192.0.2.0/24 or 2001:db8::/32".to_owned();
    let (address, length) = word.split_once('/').ok_or_else(form)?;
    let address: IpAddr = address.parse().map_err(|_| form())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length: u32 = number(length)
        .filter(|&length| length <= longest)
        .ok_or_else(|| format!("the length behind the slash is a number from 0 to {longest}"))?;
    let test = test(address, length, ends);
    let outside = test.address.iter().zip(test.mask).any(|(word, mask)| word & !mask != 0);
    if outside {
        let net = test.address.iter().zip(test.mask).map(|(word, mask)| word & mask).collect::<Vec<_>>();
        return Err(format!("bits behind the length are set; the net is {}/{length}", shown(&net, address)));
    }
    Ok(test)
}

/// The test of a port.
pub(super) fn port(word: &str, ends: u32) -> Result<PortTest, String> {
    let named = PORTS.iter().find(|(name, _)| *name == word).map(|&(_, port)| port);
    let port = named.or_else(|| number(word)).ok_or_else(|| {
        let names: Vec<&str> = PORTS.iter().map(|&(name, _)| name).collect();
        format!("write a number from 0 to 65535, or one of {}", names.join(", "))
    })?;
    Ok(PortTest { port: port.into(), ends, negate: 0 })
}

/// A protocol's number; a backslash, which tcpdump wants before names, may stand before it.
pub(super) fn protocol(word: &str) -> Result<u8, String> {
    let plain = word.strip_prefix('\\').unwrap_or(word);
    let named = PROTOCOLS.iter().find(|(name, _)| *name == plain).map(|&(_, protocol)| protocol);
    named.or_else(|| number(plain)).ok_or_else(|| {
        let names: Vec<&str> = PROTOCOLS.iter().map(|&(name, _)| name).collect();
        format!("write a number from 0 to 255, or one of {}", names.join(", "))
    })
}

/// A decimal number without a sign, which `parse` alone would allow.
fn number<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

fn test(address: IpAddr, length: u32, ends: u32) -> AddressTest {
    let (words, version) = match address {
        IpAddr::V4(address) => ([u32::from_ne_bytes(address.octets()), 0, 0, 0], 4),
        IpAddr::V6(address) => (words(address.octets()), 6),
    };
    let mask = [0, 1, 2, 3].map(|word: u32| {
        let bits = length.saturating_sub(word * 32).min(32);
        u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be()
    });
    AddressTest { address: words, mask, ends, version, negate: 0 }
}

fn words(octets: [u8; 16]) -> [u32; 4] {
    [0, 4, 8, 12].map(|at| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]))
}

/// Words as an address of the same version as `like`.
fn shown(words: &[u32], like: IpAddr) -> IpAddr {
    let mut octets = [0; 16];
    for (to, from) in octets.iter_mut().zip(words.iter().flat_map(|word| word.to_ne_bytes())) {
        *to = from;
    }
    match like {
        IpAddr::V4(_) => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
        IpAddr::V6(_) => IpAddr::from(octets),
    }
}
