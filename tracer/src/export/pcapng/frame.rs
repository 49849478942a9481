//! The headers of a frame, made from what a recording says of it: Ethernet, IP, and TCP, UDP or ICMP echo.
//!
//! Real are the IP version, addresses, protocol, ports, TCP's sequence and acknowledgement numbers and flags, an echo's
//! kind, identifier and sequence number, a UDP datagram's IPv4 identification, and the length of the payload, from which
//! the other lengths follow. Zero, since it is not known: MAC addresses, TOS, TCP's options, checksums but IPv4's, which is
//! that of the header made here. TTL and TCP's window are not known either, but stand for a healthy frame: Wireshark warns
//! of zeros there. Tags and tunnels around the headers are left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber,
    Ipv4Header, Ipv6Header, TcpHeader, UdpHeader,
};
use tracer_common::frame::Kind;

use super::window::Seen;
use crate::decode::Flow;

/// Stands for an ethertype that is not known: "local experimental" (IEEE 802).
const UNKNOWN: EtherType = EtherType(0x88b5);

/// Stand for a TTL and a window that are not known.
const TTL: u8 = 64;
const WINDOW: u16 = u16::MAX;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// Headers that were made.
pub(super) struct Made(Vec<u8>);

/// What is behind the IP header: its protocol, its bytes as far as known, and how many it has.
struct Layer4 {
    protocol: IpNumber,
    bytes: Vec<u8>,
    len: u32,
}

impl Made {
    /// Of a frame as it was seen, of a flow with these addresses, if they are known.
    pub(super) fn of(seen: &Seen, flow: Option<Flow>) -> Made {
        let mut bytes = Vec::with_capacity(80);
        let ethernet =
            |ether_type| Ethernet2Header { source: [0; 6], destination: [0; 6], ether_type }.to_bytes();
        let ends = flow.and_then(|flow| flow.src.zip(flow.dst));
        match (seen.kind(), ends) {
            (Kind::Arp, _) => bytes.extend(ethernet(EtherType::ARP)),
            // Nothing tells which IP it is, if it is.
            (Kind::Icmp | Kind::Fragment | Kind::Other | Kind::Truncated, None) => {
                bytes.extend(ethernet(UNKNOWN));
            }
            (_, Some((IpAddr::V6(source), IpAddr::V6(destination)))) => {
                bytes.extend(ethernet(EtherType::IPV6));
                ipv6(seen, flow, source, destination, &mut bytes);
            }
            (_, ends) => {
                let address = |address| match address {
                    IpAddr::V4(address) => address,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                let (source, destination) = ends
                    .map_or((Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED), |(source, destination)| {
                        (address(source), address(destination))
                    });
                bytes.extend(ethernet(EtherType::IPV4));
                ipv4(seen, flow, source, destination, &mut bytes);
            }
        }
        Made(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn ipv4(seen: &Seen, flow: Option<Flow>, source: Ipv4Addr, destination: Ipv4Addr, bytes: &mut Vec<u8>) {
    let behind = layer4(seen, flow, false);
    let mut header = Ipv4Header {
        // A super-frame may be longer than the field can say: 0, as segmentation offload has it.
        total_len: u16::try_from(behind.len + Ipv4Header::MIN_LEN as u32).unwrap_or(0),
        identification: if seen.kind() == Kind::Udp { seen.seq as u16 } else { 0 },
        dont_fragment: false,
        time_to_live: TTL,
        protocol: behind.protocol,
        source: source.octets(),
        destination: destination.octets(),
        ..Ipv4Header::default()
    };
    header.header_checksum = header.calc_header_checksum();
    bytes.extend(header.to_bytes());
    bytes.extend(behind.bytes);
}

fn ipv6(seen: &Seen, flow: Option<Flow>, source: Ipv6Addr, destination: Ipv6Addr, bytes: &mut Vec<u8>) {
    let behind = layer4(seen, flow, true);
    let header = Ipv6Header {
        payload_length: u16::try_from(behind.len).unwrap_or(0),
        next_header: behind.protocol,
        hop_limit: TTL,
        source: source.octets(),
        destination: destination.octets(),
        ..Ipv6Header::default()
    };
    bytes.extend(header.to_bytes());
    bytes.extend(behind.bytes);
}

fn layer4(seen: &Seen, flow: Option<Flow>, six: bool) -> Layer4 {
    let told = IpNumber(flow.map_or(255, |flow| flow.protocol));
    let icmp = if six { IpNumber::IPV6_ICMP } else { IpNumber::ICMP };
    let (protocol, bytes) = match seen.kind() {
        Kind::Tcp => (IpNumber::TCP, tcp(seen, flow)),
        Kind::Udp => (IpNumber::UDP, udp(seen, flow)),
        Kind::EchoRequest | Kind::EchoReply => (icmp, echo(seen, six)),
        Kind::Icmp => (icmp, Vec::new()),
        Kind::Arp | Kind::Fragment | Kind::Other | Kind::Truncated => (told, Vec::new()),
    };
    let len = seen.payload.saturating_add(bytes.len() as u32);
    Layer4 { protocol, bytes, len }
}

fn tcp(seen: &Seen, flow: Option<Flow>) -> Vec<u8> {
    let (source, destination) = ports(flow);
    let mut header = TcpHeader::new(source, destination, seen.seq, WINDOW);
    let has = |flag: u8| seen.tcp_flags & flag != 0;
    header.acknowledgment_number = seen.ack;
    (header.fin, header.syn, header.rst, header.psh) = (has(FIN), has(SYN), has(RST), has(PSH));
    (header.ack, header.urg, header.ece, header.cwr) = (has(ACK), has(URG), has(ECE), has(CWR));
    header.to_bytes().to_vec()
}

fn udp(seen: &Seen, flow: Option<Flow>) -> Vec<u8> {
    let (source_port, destination_port) = ports(flow);
    let length = u16::try_from(seen.payload.saturating_add(UdpHeader::LEN as u32)).unwrap_or(0);
    UdpHeader { source_port, destination_port, length, checksum: 0 }.to_bytes().to_vec()
}

/// Its identifier and sequence number are those of this hop: a NAT rewrites the identifier.
fn echo(seen: &Seen, six: bool) -> Vec<u8> {
    let header = IcmpEchoHeader { id: seen.ack as u16, seq: seen.seq as u16 };
    let request = seen.kind() == Kind::EchoRequest;
    if six {
        let kind = if request { Icmpv6Type::EchoRequest(header) } else { Icmpv6Type::EchoReply(header) };
        return Icmpv6Header { icmp_type: kind, checksum: 0 }.to_bytes().to_vec();
    }
    let kind = if request { Icmpv4Type::EchoRequest(header) } else { Icmpv4Type::EchoReply(header) };
    Icmpv4Header { icmp_type: kind, checksum: 0 }.to_bytes().to_vec()
}

fn ports(flow: Option<Flow>) -> (u16, u16) {
    flow.map_or((0, 0), |flow| (flow.src_port, flow.dst_port))
}

#[cfg(test)]
mod tests {
    use etherparse::{LaxSlicedPacket, SlicedPacket, TransportSlice};

    use super::*;

    fn flow(six: bool, protocol: u8) -> Flow {
        let end = |last: u8| match six {
            true => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
            false => IpAddr::from([192, 0, 2, last]),
        };
        Flow { flow: 2, src: Some(end(2)), dst: Some(end(3)), src_port: 40_000, dst_port: 80, protocol }
    }

    fn seen(kind: Kind) -> Seen {
        Seen::made(kind, 7, 9, 1_000)
    }

    #[test]
    fn tcp_says_what_was_read_and_how_long_the_payload_was() {
        let seen = Seen { tcp_flags: SYN | ACK, ..seen(Kind::Tcp) };
        let made = Made::of(&seen, Some(flow(false, 6)));
        let packet = LaxSlicedPacket::from_ethernet(made.bytes()).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 80));
        assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (7, 9));
        assert_eq!((tcp.syn(), tcp.ack(), tcp.fin(), tcp.rst()), (true, true, false, false));
        let header = Ipv4Header::from_slice(&made.bytes()[14..]).unwrap().0;
        assert_eq!((header.total_len, header.source), (1_040, [192, 0, 2, 2]));
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(made.bytes().len(), 54);
    }

    #[test]
    fn a_super_frame_too_long_for_the_field_has_none_in_it() {
        let seen = Seen { payload: 65_536, ..seen(Kind::Tcp) };
        let made = Made::of(&seen, Some(flow(false, 6)));
        assert_eq!(Ipv4Header::from_slice(&made.bytes()[14..]).unwrap().0.total_len, 0);
    }

    #[test]
    fn an_echo_has_the_identifier_of_its_hop_in_either_version() {
        for six in [false, true] {
            let seen = Seen { payload: 0, ..seen(Kind::EchoReply) };
            let made = Made::of(&seen, Some(flow(six, if six { 58 } else { 1 })));
            let packet = SlicedPacket::from_ethernet(made.bytes()).unwrap();
            match packet.transport {
                Some(TransportSlice::Icmpv4(icmp)) if !six => {
                    assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoReply(IcmpEchoHeader { id: 9, seq: 7 }));
                }
                Some(TransportSlice::Icmpv6(icmp)) if six => {
                    assert_eq!(icmp.icmp_type(), Icmpv6Type::EchoReply(IcmpEchoHeader { id: 9, seq: 7 }));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn udp_has_its_identification_and_an_unknown_flow_no_addresses() {
        let seen = Seen { seq: 0x1_1234, ..seen(Kind::Udp) };
        let made = Made::of(&seen, None);
        let packet = LaxSlicedPacket::from_ethernet(made.bytes()).unwrap();
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP") };
        assert_eq!((udp.source_port(), udp.length()), (0, 1_008));
        let header = Ipv4Header::from_slice(&made.bytes()[14..]).unwrap().0;
        assert_eq!((header.identification, header.source), (0x1234, [0; 4]));
    }

    #[test]
    fn what_is_not_known_to_be_ip_is_an_ethernet_header_alone() {
        assert_eq!(Made::of(&seen(Kind::Arp), None).bytes().len(), 14);
        for kind in [Kind::Other, Kind::Icmp] {
            assert_eq!(Made::of(&seen(kind), None).bytes()[12..], [0x88, 0xb5]);
        }
        let esp = Made::of(&seen(Kind::Other), Some(flow(false, 50)));
        let packet = LaxSlicedPacket::from_ethernet(esp.bytes()).unwrap();
        let Some(etherparse::LaxNetSlice::Ipv4(ip)) = packet.net else { panic!("no IP") };
        assert_eq!(ip.header().protocol(), IpNumber(50));
    }
}
