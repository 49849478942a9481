//! What is written is read back by another parser's half of the crate.

use std::io::BufWriter;

use etherparse::Ipv4Header;
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader, traits::PcapReaderIterator as _};
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use super::*;
use crate::{
    correlate::{Rule, Side},
    export::sample,
    record::RecordReader,
};

/// A packet as it is in the file: time, id, interface, source address.
type Read = (u64, u64, u32, [u8; 4]);

fn header() -> Header {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/echo-peer.vmhop");
    let mut header = RecordReader::open(golden).unwrap().header().clone();
    // The two clocks the same: times are easier to read.
    (header.started_unix_ns, header.started_monotonic_ns) = (1_000, 1_000);
    header
}

fn event(time_ns: u64, hop: Hop, flow: u64) -> Event {
    let event = Event::at(time_ns, hop, Hook::NetifReceiveSkb);
    Event { flow, len: 154, overhead: 54, kind: Some(Kind::Tcp), ..event }
}

fn passage(events: &[Event]) -> Passage {
    let stamps = events.iter().map(|event| Stamp::of(event, Rule::Pointer)).collect();
    let mut passage = Passage::empty(Side::Wire(1), Side::Guest(0));
    (passage.stamps, passage.kind, passage.flow) = (stamps, Some(Kind::Tcp), events[0].flow);
    passage
}

fn flow(flow: u64, last: u8) -> Note {
    let end = |last| Some([192, 0, 2, last].into());
    Note::Flow(Flow { flow, src: end(last), dst: end(9), src_port: 1, dst_port: 2, protocol: 6 })
}

/// The packets of a file, and the names of its interfaces.
fn read(bytes: &[u8]) -> (Vec<Read>, Vec<String>) {
    let (mut packets, mut interfaces) = (Vec::new(), Vec::new());
    let mut reader = PcapNGReader::new(1 << 16, bytes).unwrap();
    loop {
        match reader.next() {
            Ok((offset, PcapBlockOwned::NG(block))) => {
                match block {
                    Block::InterfaceDescription(block) => {
                        assert_eq!(block.if_tsresol, 9);
                        interfaces.push(block.if_name().unwrap().unwrap().to_owned());
                    }
                    Block::EnhancedPacket(block) => {
                        let id = block.options.iter().find(|option| option.code.0 == 5).unwrap();
                        let time_ns = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                        let ip = Ipv4Header::from_slice(&block.data[14..]).unwrap().0;
                        assert_eq!((block.origlen, ip.total_len), (154, 140));
                        packets.push((time_ns, id.as_u64_le().unwrap(), block.if_id, ip.source));
                    }
                    _ => {}
                }
                reader.consume(offset);
            }
            Ok(_) => panic!("no pcapng"),
            Err(PcapError::Eof) => return (packets, interfaces),
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What is written of passages, in this order, whose events came in the order of time.
fn written(passages: &[Vec<Event>], notes: &[Note]) -> (Vec<Read>, Vec<String>) {
    let mut out = Vec::new();
    let mut packets = Packets::begin(&header(), BufWriter::new(&mut out)).unwrap();
    notes.iter().for_each(|note| packets.note(note).unwrap());
    let mut events: Vec<Event> = passages.concat();
    events.sort_by_key(|event| event.time_ns);
    events.iter().for_each(|event| packets.event(event).unwrap());
    passages.iter().for_each(|events| packets.passage(&passage(events)).unwrap());
    packets.end(&sample::empty()).unwrap();
    drop(packets);
    read(&out)
}

#[test]
fn packets_are_in_the_order_of_time_and_one_id_is_one_frame() {
    let long = vec![event(2_000, Hop::NicRx, 2), event(2_030, Hop::TapQueue, 2)];
    let short = vec![event(2_010, Hop::NicRx, 4), event(2_020, Hop::TapQueue, 4)];
    let (packets, interfaces) = written(&[long, short], &[]);
    let short: Vec<_> = packets
        .iter()
        .map(|(time_ns, id, interface, _)| (*time_ns, *id, interfaces[*interface as usize].as_str()))
        .collect();
    assert_eq!(
        short,
        [(2_000, 1, "nic.rx"), (2_010, 2, "nic.rx"), (2_020, 2, "tap.queue"), (2_030, 1, "tap.queue")]
    );
}

#[test]
fn headers_are_those_of_their_hop_also_behind_a_translation() {
    let translated = vec![event(2_000, Hop::NicRx, 2), event(2_030, Hop::TapQueue, 4)];
    // Of the second flow only the answer's addresses were told.
    let (packets, _) = written(&[translated], &[flow(2, 2), flow(5, 7)]);
    let sources: Vec<_> = packets.iter().map(|(.., source)| source[3]).collect();
    assert_eq!(sources, [2, 9]);
}

#[test]
fn a_hop_where_no_frame_is_looked_at_has_the_headers_of_its_frame() {
    let unread = Event { kind: None, ..event(2_010, Hop::VmmWake, 0) };
    let frame = vec![unread, event(2_020, Hop::TapRx, 2)];
    let (packets, _) = written(&[frame], &[flow(2, 2)]);
    assert_eq!(packets.iter().map(|packet| packet.3).collect::<Vec<_>>(), [[192, 0, 2, 2]; 2]);
}

#[test]
fn a_frame_that_nobody_read_is_no_packet() {
    let mut out = Vec::new();
    let mut packets = Packets::begin(&header(), BufWriter::new(&mut out)).unwrap();
    let mut nothing = passage(&[event(2_000, Hop::NicRx, 2)]);
    nothing.kind = None;
    packets.passage(&nothing).unwrap();
    packets.end(&sample::empty()).unwrap();
    drop(packets);
    assert_eq!(read(&out).0, []);
}
