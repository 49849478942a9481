//! What is written is decoded again.

use std::{collections::BTreeMap, io::BufWriter};

use tracer_common::hop::{Hook, Hop};

use super::*;
use crate::{
    correlate::{Rule, Side, Stamp},
    export::sample,
    record::RecordReader,
};

fn header() -> Header {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/echo-peer.vmhop");
    RecordReader::open(golden).unwrap().header().clone()
}

/// An echo that begins then, in and out again.
fn exchange(start_ns: u64) -> Exchange {
    let hops =
        [(Hop::NicRx, 0), (Hop::NicStack, 10), (Hop::TapQueue, 30), (Hop::TapRx, 100), (Hop::NicQueue, 105)];
    let stamp = |(hop, after_ns)| Stamp {
        hop,
        time_ns: start_ns + after_ns,
        hook: Hook::NetifReceiveSkb,
        rule: Rule::Pointer,
    };
    Exchange {
        kind: ExchangeKind::Echo,
        initiator: Initiator::Peer,
        stamps: hops.into_iter().map(stamp).collect(),
        turn: 3,
    }
}

fn written(exchanges: &[Exchange]) -> Vec<TracePacket> {
    let mut out = Vec::new();
    let mut trace = Trace::begin(&header(), BufWriter::new(&mut out)).unwrap();
    for exchange in exchanges {
        trace.passage(&Passage::empty(Side::Guest(0), Side::Wire(1))).unwrap();
        trace.exchange(exchange).unwrap();
    }
    trace.end(&sample::empty()).unwrap();
    drop(trace);
    proto::Trace::decode(out.as_slice()).unwrap().packet
}

#[test]
fn slices_of_exchanges_that_overlap_do_not_overlap_on_their_tracks() {
    // The third answers first.
    let packets = written(&[exchange(1_040), exchange(1_000), exchange(1_005), exchange(1_105)]);
    let mut open: BTreeMap<u64, u64> = BTreeMap::new();
    let mut free: BTreeMap<u64, u64> = BTreeMap::new();
    let mut slices = 0;
    for packet in &packets {
        let Some(event) = &packet.track_event else { continue };
        assert_eq!(packet.timestamp_clock_id, Some(MONOTONIC));
        let (track, time_ns) = (event.track_uuid.unwrap(), packet.timestamp.unwrap());
        if event.kind == Some(SLICE_BEGIN) {
            assert_eq!(open.insert(track, time_ns), None, "a slice within another");
            assert!(free.get(&track).is_none_or(|&free_ns| free_ns <= time_ns), "two slices at once");
        } else {
            assert!(open.remove(&track).unwrap() <= time_ns);
            free.insert(track, time_ns);
            slices += 1;
        }
    }
    assert_eq!((slices, open.len()), (4 * 5, 0));
    let named = |name: &str| {
        let tracks = packets.iter().filter_map(|packet| packet.track_descriptor.as_ref());
        tracks.filter(|track| track.name.as_deref() == Some(name)).count()
    };
    assert_eq!((named("exchange"), named("nic")), (3, 2));
}

#[test]
fn one_flow_joins_the_segments_of_one_exchange() {
    let packets = written(&[exchange(1_000), exchange(2_000)]);
    for flow in [1, 2] {
        let events = packets.iter().filter_map(|packet| packet.track_event.as_ref());
        let (going, ending): (Vec<_>, Vec<_>) = events
            .filter(|event| event.flow_ids == [flow] || event.terminating_flow_ids == [flow])
            .partition(|event| event.terminating_flow_ids.is_empty());
        assert_eq!((going.len(), ending.len()), (3, 1));
        assert_eq!(ending[0].name.as_deref(), Some("tap.rx → nic.queue"));
    }
}

#[test]
fn a_vm_is_a_process_and_the_clocks_are_tied_together() {
    let packets = written(&[exchange(1_000)]);
    let header = header();
    let clocks = &packets[0].clock_snapshot.as_ref().unwrap().clocks;
    let of = |id| clocks.iter().find(|clock| clock.clock_id == Some(id)).unwrap().timestamp.unwrap();
    assert_eq!((of(MONOTONIC), of(REALTIME)), (header.started_monotonic_ns, header.started_unix_ns));
    let mut tracks = packets.iter().filter_map(|packet| packet.track_descriptor.as_ref());
    let process = tracks.find_map(|track| Some((track.uuid, track.process.clone()?))).unwrap();
    assert_eq!(process.1.process_name.as_deref(), Some(header.vms[0].as_str()));
    assert!(tracks.all(|track| track.parent_uuid == process.0));
}

#[test]
fn time_that_runs_backwards_is_no_slice() {
    let mut wrong = exchange(1_000);
    wrong.stamps[1].time_ns = 900;
    let packets = written(&[wrong]);
    let begun = packets.iter().filter_map(|packet| packet.track_event.as_ref());
    assert_eq!(begun.filter(|event| event.kind == Some(SLICE_BEGIN)).count(), 4);
}
