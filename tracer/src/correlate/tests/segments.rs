//! Super-frames that are cut, and frames that are merged, where events say how long segments are.

use super::*;

/// Passages of a recording that tells the size of segments.
fn told(events: &[Event]) -> Vec<Passage> {
    let mut correlator = correlator(Limits::default());
    correlator.options.segments_told = true;
    events.iter().for_each(|event| correlator.push(*event));
    correlator.finish();
    std::iter::from_fn(|| correlator.poll()).map(|passage| *passage).collect()
}

fn datagram(time_ns: u64, hop: Hop, skb: u64, id: u32, payload: u32) -> Event {
    let device = u8::from(!matches!(hop, Hop::TapRx | Hop::TapQueue | Hop::TapRing));
    Event {
        kind: Some(Kind::Udp),
        flow: 6,
        seq: id,
        len: 42 + payload,
        digest: skb ^ u64::from(payload),
        gso_size: if payload > 1000 { 1000 } else { 0 },
        ..at(time_ns, hop, skb, device, 1)
    }
}

/// A datagram super-frame that is sent, up to its cutting.
fn sent(start_ns: u64, skb: u64, id: u32, payload: u32) -> [Event; 3] {
    [
        datagram(start_ns, Hop::TapRx, skb, id, payload),
        Event {
            digest: skb ^ u64::from(payload),
            ..datagram(start_ns + 10, Hop::NicQueue, skb, id, payload)
        },
        bare(start_ns + 20, Hop::SkbFree, skb, 1),
    ]
}

/// Start and driver's time of each segment.
fn segments(passages: &[Passage]) -> Vec<(u64, Option<u64>)> {
    let segments = passages.iter().filter(|passage| passage.branch == Some(Branch::Segment));
    segments.map(|passage| (passage.start_ns(), passage.time_at(Hop::NicXmit))).collect()
}

#[test]
fn segments_of_datagrams_are_told_by_their_identification() {
    let xmit = |time_ns, skb, id, payload| datagram(time_ns, Hop::NicXmit, skb, id, payload);
    // Both were cut before the first one's segments were handed on.
    let events = [
        &sent(100, 0xa, 0x1_0007, 2500)[..],
        &sent(101, 0xb, 0x1_0100, 2000)[..],
        &[xmit(200, 0x20, 0x1_0007, 1000), xmit(201, 0x21, 0x1_0008, 1000), xmit(202, 0x22, 0x1_0009, 500)],
        &[xmit(203, 0x23, 0x1_0100, 1000), xmit(204, 0x24, 0x1_0101, 1000)],
    ]
    .concat();
    let passages = told(&events);
    let times = [(100, Some(200)), (100, Some(201)), (100, Some(202)), (101, Some(203)), (101, Some(204))];
    assert_eq!(segments(&passages), times);
    assert!(passages.iter().all(|passage| !passage.ambiguous));
    assert_eq!(passages.iter().filter(|passage| passage.end == End::Cut).count(), 2);
}

#[test]
fn segments_without_identification_come_in_order() {
    let xmit = |time_ns, skb, payload| datagram(time_ns, Hop::NicXmit, skb, 0, payload);
    let events =
        [&sent(100, 0xa, 0, 1500)[..], &[xmit(200, 0x20, 1000), xmit(201, 0x21, 500), xmit(202, 0x22, 500)]]
            .concat();
    assert_eq!(segments(&told(&events)), [(100, Some(200)), (100, Some(201))]);
}

#[test]
fn a_segment_of_another_size_or_acknowledgement_is_no_part() {
    let tcp = |event: Event, ack| Event { kind: Some(Kind::Tcp), seq: 1000, ack, ..event };
    let cut = sent(100, 0xa, 0, 2500).map(|event| if event.kind.is_some() { tcp(event, 7) } else { event });
    let other = tcp(datagram(200, Hop::NicXmit, 0x20, 0, 1000), 8);
    let own = tcp(datagram(210, Hop::NicXmit, 0x21, 0, 1000), 7);
    assert_eq!(segments(&told(&[&cut[..], &[other, own]].concat())), [(100, Some(210))]);
}

#[test]
fn a_tap_whose_guest_takes_no_super_frames_is_given_their_segments() {
    let tcp = |time_ns, hop, skb, seq, payload| Event {
        kind: Some(Kind::Tcp),
        seq,
        ..datagram(time_ns, hop, skb, 0, payload)
    };
    let events = [
        tcp(100, Hop::NicRx, 0xa, 1000, 2000),
        tcp(110, Hop::NicStack, 0xa, 1000, 2000),
        tcp(120, Hop::TapQueue, 0xa, 1000, 2000),
        bare(130, Hop::SkbFree, 0xa, 0),
        tcp(140, Hop::TapRing, 0xb, 1000, 1000),
        tcp(141, Hop::TapRing, 0xc, 2000, 1000),
        bare(150, Hop::VmmRead, 0xb, 0),
        bare(151, Hop::SkbFree, 0xb, 0),
        bare(160, Hop::VmmRead, 0xc, 0),
        bare(161, Hop::SkbFree, 0xc, 0),
    ];
    let passages = told(&events);
    assert_eq!(
        passages.iter().map(|passage| passage.end).collect::<Vec<_>>(),
        [End::Cut, End::Done, End::Done]
    );
    assert_eq!(hops(&passages[2])[3..], ["tap.ring", "vmm.read", "vmm.read.end"]);
}

#[test]
fn a_super_frame_that_the_host_takes_in_was_not_cut() {
    let mut events = sent(100, 0xa, 0, 2500).to_vec();
    events.remove(1);
    events.push(at(2_000_000_000, Hop::TapRx, 0xf, 0, 9));
    let passages = told(&events);
    assert_eq!((passages[0].end, hops(&passages[0])), (End::Consumed, vec!["tap.rx"]));
}

#[test]
fn merged_datagrams_are_those_that_came_after_the_first() {
    let came = |time_ns, skb, id| datagram(time_ns, Hop::NicRx, skb, id, 1000);
    let events = [
        came(100, 0xa, 0x1_0001),
        came(101, 0xb, 0x1_0002),
        came(102, 0xc, 0x1_0003),
        came(103, 0xd, 0x1_0004),
        datagram(110, Hop::NicStack, 0xa, 0x1_0001, 3000),
        datagram(111, Hop::NicStack, 0xd, 0x1_0004, 1000),
    ];
    let passages = told(&events);
    let figures = |passage: &Passage| (passage.start_ns(), passage.merged.len(), passage.wire_frames());
    assert_eq!(passages.iter().map(figures).collect::<Vec<_>>(), [(100, 2, 3), (103, 0, 1)]);
    assert!(passages.iter().all(|passage| !passage.ambiguous));
}

#[test]
fn what_leaves_a_tunnel_is_merged_behind_the_stack() {
    let inside = |event: Event, seq| Event { kind: Some(Kind::Tcp), seq, tunnelled: true, ..event };
    let came = |time_ns, hop, skb, seq| inside(datagram(time_ns, hop, skb, 0, 1000), seq);
    let events = [
        came(100, Hop::NicRx, 0xa, 1000),
        came(101, Hop::NicStack, 0xa, 1000),
        came(102, Hop::NicRx, 0xb, 2000),
        came(103, Hop::NicStack, 0xb, 2000),
        // The second one's address is used again before the super-frame shows up.
        at(105, Hop::NicRx, 0xb, 1, 77),
        Event { tunnelled: false, ..inside(datagram(110, Hop::TapQueue, 0xa, 0, 2000), 1000) },
    ];
    let passages = told(&events);
    assert_eq!(
        (passages.len(), hops(&passages[0]), passages[0].merged.len()),
        (2, vec!["nic.rx", "nic.stack", "tap.queue"], 1)
    );
    assert_eq!(passages[0].merged[0].len(), 2);
}
