//! The rules of counting, on frames made by hand.

use std::net::IpAddr;

use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use super::*;
use crate::{
    analysis::Observer as _,
    decode::{Event, Flow},
    recording::Note,
};

const NIC: u8 = 1;
const STATION: [u8; 4] = [192, 0, 2, 3];
const SOURCE: [u8; 4] = [192, 0, 2, 2];

fn flow(flow: u64, src: impl Into<IpAddr>, dst: impl Into<IpAddr>, protocol: u8) -> Note {
    let (src, dst) = (Some(src.into()), Some(dst.into()));
    Note::Flow(Flow { flow, src, dst, src_port: 80, dst_port: 4000, protocol })
}

/// A frame of TCP towards the station, flow 4, with so many bytes of headers and payload.
fn tcp(time_ns: u64, overhead: u8, payload: u32) -> Event {
    Event {
        device: Some(NIC),
        flow: 4,
        kind: Some(Kind::Tcp),
        overhead,
        len: u32::from(overhead) + payload,
        ..Event::at(time_ns, Hop::NicXmit, Hook::NetDevStartXmit)
    }
}

/// One from the station, flow 5.
fn back(event: Event) -> Event {
    Event { flow: event.flow ^ 1, hop: Hop::NicRx, hook: Hook::NetifRx, ..event }
}

fn counted(events: &[Event], notes: &[Note]) -> Levels {
    let mut levels = Levels::default();
    // Addresses may be told after the first frames.
    events.iter().for_each(|event| levels.event(event));
    notes.iter().for_each(|note| levels.note(note));
    levels
}

fn select(protocol: Protocol) -> Selection {
    Selection { device: NIC, protocol, station: vec![STATION.into()], port: None }
}

fn figures(row: &LevelRow) -> [(u64, u64); 3] {
    [row.towards, row.from, row.both].map(|count| (count.frames, count.bytes))
}

#[test]
fn a_super_frame_counts_as_its_segments_at_every_level() {
    let data = Event { gso_size: 1448, ..tcp(1000, 66, 3000) };
    let levels = counted(&[data, back(tcp(3000, 66, 0))], &[flow(4, SOURCE, STATION, 6)]);
    let table = levels.table(&select(Protocol::Tcp));
    let [mac, network, transport, application] = &table.rows;
    assert_eq!(figures(mac), [(3, 3000 + 3 * 66), (1, 66), (4, 3000 + 4 * 66)]);
    assert_eq!(figures(network), [(3, 3000 + 3 * 52), (1, 52), (4, 3000 + 4 * 52)]);
    assert_eq!(figures(transport), [(3, 3000 + 3 * 32), (1, 32), (4, 3000 + 4 * 32)]);
    assert_eq!(figures(application), [(3, 3000), (0, 0), (3, 3000)]);
    assert_eq!((mac.both.duration_ns, mac.towards.duration_ns), (2000, 0));
    assert_eq!((application.both.duration_ns, table.left_out), (0, 0));
}

#[test]
fn padding_counts_on_the_wire_and_not_in_the_packet() {
    // Overhead is all that is no payload, padding included.
    let padded = |payload: u32| tcp(1, (60 - payload) as u8, payload);
    for (event, packet) in [
        (padded(0), 40),
        (padded(3), 43),
        (padded(6), 46),
        (Event { tcp_flags: 0x02, ..padded(0) }, 44),
        (Event { kind: Some(Kind::Udp), ..padded(5) }, 33),
        (Event { kind: Some(Kind::EchoRequest), ..padded(18) }, 46),
        (Event { kind: Some(Kind::Fragment), ..padded(10) }, 30),
        (tcp(1, 66, 0), 52),
    ] {
        let levels = counted(&[event], &[flow(4, SOURCE, STATION, 6)]);
        let table = levels.table(&select(Protocol::Ip));
        assert_eq!(table.rows[0].towards.bytes, u64::from(event.len));
        assert_eq!(table.rows[1].towards.bytes, packet, "{event:?}");
        assert_eq!(table.rows[2].towards.bytes, packet - 20, "{event:?}");
    }
}

#[test]
fn ipv6_has_a_longer_header() {
    let [source, station] = ["2001:db8::2", "2001:db8::3"].map(|text| text.parse::<IpAddr>().unwrap());
    let levels = counted(&[tcp(1, 86, 1000)], &[flow(4, source, station, 6)]);
    let table = levels.table(&Selection { station: vec![station], ..select(Protocol::Tcp) });
    assert_eq!(table.rows.map(|row| row.towards.bytes), [1086, 1072, 1032, 1000]);
}

#[test]
fn what_is_not_selected_does_not_count() {
    let notes = [flow(5, STATION, SOURCE, 6), flow(8, SOURCE, [192, 0, 2, 9], 6)];
    let events = [
        tcp(1, 66, 10),
        Event { flow: 8, ..tcp(2, 66, 10) },
        Event { flow: 12, ..tcp(3, 66, 10) },
        Event { device: Some(2), ..tcp(4, 66, 10) },
        Event { hook: Hook::Xdp, ..back(tcp(5, 66, 10)) },
        Event { hop: Hop::NicQueue, ..tcp(6, 66, 10) },
        Event { kind: Some(Kind::Arp), flow: 14, ..tcp(7, 60, 0) },
    ];
    let levels = counted(&events, &notes);
    let frames = |select: &Selection| levels.table(select).rows[0].both.frames;
    assert_eq!(frames(&select(Protocol::Tcp)), 1);
    assert_eq!(frames(&select(Protocol::Udp)), 0);
    assert_eq!(frames(&Selection { port: Some(80), ..select(Protocol::Tcp) }), 1);
    assert_eq!(frames(&Selection { port: Some(81), ..select(Protocol::Tcp) }), 0);
    // Of flow 12 nobody told the addresses.
    assert_eq!(levels.table(&select(Protocol::Tcp)).left_out, 1);
    let everything = Selection { station: Vec::new(), ..select(Protocol::Ip) };
    assert_eq!(levels.table(&everything).rows[0].towards.frames, 2);
}

#[test]
fn a_ping_is_its_requests_and_their_replies() {
    let echo = |time_ns, kind| Event { kind: Some(kind), len: 98, ..tcp(time_ns, 42, 56) };
    let second = 1_000_000_000;
    let mut events = Vec::new();
    for number in 0..4 {
        events.push(echo(number * second, Kind::EchoRequest));
        events.push(back(echo(number * second + 500, Kind::EchoReply)));
        // The station asks too, once.
        events.extend((number == 0).then(|| back(echo(900, Kind::EchoRequest))));
    }
    let ping = counted(&events, &[flow(4, SOURCE, STATION, 1)]).ping(&select(Protocol::Echo));
    let expected = Count { frames: 4, bytes: 392, duration_ns: 3 * second };
    assert_eq!((ping.requests, ping.replies), (expected, expected));
}

#[test]
fn flows_beyond_the_bound_are_left_out_and_counted() {
    let mut levels = Levels::default();
    for flow in 0..(1 << 16) + 3 {
        levels.event(&Event { flow: 2 * flow, ..tcp(flow, 66, 1) });
    }
    levels.event(&tcp(1, 66, 1));
    let table = levels.table(&Selection { station: Vec::new(), ..select(Protocol::Tcp) });
    // None of them has addresses.
    assert_eq!((table.left_out, table.rows[0].both.frames), ((1 << 16) + 4, 0));
}
