//! The rules of exchanges.

use super::{super::exchange::*, *};

pub(super) fn paired(passages: &[Passage]) -> (Vec<Exchange>, Exchanger) {
    let mut exchanger = Exchanger::default();
    passages.iter().for_each(|passage| exchanger.push(passage));
    exchanger.finish();
    (std::iter::from_fn(|| exchanger.poll()).collect(), exchanger)
}

fn passage(start_ns: u64, from: Side, to: Side, kind: Kind, flow: u64, seq: u32) -> Passage {
    let born = match from {
        Side::Guest(slot) => at(start_ns, Hop::TapRx, 1, slot, 1),
        _ => at(start_ns, Hop::NicRx, 1, 1, 1),
    };
    let mut passage = Passage::default();
    passage.begin(&Event { kind: Some(kind), flow, seq, ..born });
    (passage.from, passage.to, passage.end) = (from, to, End::Done);
    passage
}

const GUEST: Side = Side::Guest(0);
const WIRE: Side = Side::Wire(1);

#[test]
fn an_echo_reply_answers_the_request_of_its_sequence_number() {
    let (found, _) = paired(&[
        passage(100, WIRE, GUEST, Kind::EchoRequest, 4, 1),
        passage(110, WIRE, GUEST, Kind::EchoRequest, 4, 2),
        passage(200, GUEST, WIRE, Kind::EchoReply, 5, 2),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].initiator, found[0].total_ns()), (Initiator::Peer, 90));
}

/// The hops of an answer that the host gives over its NIC, and of its own question.
fn outward_of_host(time_ns: u64, kind: Kind, flow: u64) -> [Event; 3] {
    let event = |time_ns, hop| Event { kind: Some(kind), flow, seq: 1, ..at(time_ns, hop, 0xb, 1, 7) };
    let done = bare(time_ns + 20, Hop::NicDone, 0xb, 1);
    [event(time_ns, Hop::NicQueue), event(time_ns + 10, Hop::NicXmit), done]
}

/// Those of what comes to it.
fn inward_to_host(time_ns: u64, kind: Kind, flow: u64) -> [Event; 2] {
    let event = |time_ns, hop| Event { kind: Some(kind), flow, seq: 1, ..at(time_ns, hop, 0xa, 1, 8) };
    [event(time_ns, Hop::NicRx), event(time_ns + 5, Hop::NicStack)]
}

fn layers(exchange: &Exchange) -> Vec<(crate::latency::Layer, u64)> {
    let spans = crate::latency::spans_of(exchange);
    spans.map(|(span, pair)| (span.layer(), pair[1].time_ns - pair[0].time_ns)).collect()
}

#[test]
fn the_host_asks_a_peer_over_its_nic_and_the_peer_the_host() {
    use crate::latency::Layer::{Host, Nic, WirePeer};
    let asked = outward_of_host(100, Kind::EchoRequest, 4);
    let (found, _) = paired(&run(&[&asked[..], &inward_to_host(200, Kind::EchoReply, 5)].concat()));
    let [exchange] = &found[..] else { panic!("{found:?}") };
    assert_eq!((exchange.initiator, exchange.total_ns()), (Initiator::HostToPeer, 105));
    assert_eq!(layers(exchange), [(Nic, 10), (Nic, 10), (WirePeer, 80), (Nic, 5)]);

    let asked = inward_to_host(100, Kind::EchoRequest, 5);
    let (found, _) = paired(&run(&[&asked[..], &outward_of_host(200, Kind::EchoReply, 4)].concat()));
    let [exchange] = &found[..] else { panic!("{found:?}") };
    assert_eq!((exchange.initiator, exchange.total_ns()), (Initiator::PeerToHost, 120));
    assert_eq!(layers(exchange), [(Nic, 5), (Host, 95), (Nic, 10), (Nic, 10)]);
}

#[test]
fn what_was_seen_of_a_guest_at_the_nic_alone_is_not_the_hosts() {
    // One frame of the flow came from the guest's tap; of the others the tap's hops are missing.
    let known = Event { flow: 4, kind: Some(Kind::Udp), ..at(50, Hop::TapRx, 0xc, 0, 6) };
    let question = outward_of_host(100, Kind::EchoRequest, 4);
    let answer = inward_to_host(200, Kind::EchoReply, 5);
    let passages = run(&[&[known], &question[..], &answer[..]].concat());
    assert!(passages.iter().any(|passage| passage.of_guest));
    assert!(paired(&passages).0.is_empty());
}

#[test]
fn an_echo_reply_that_raw_sockets_took_is_an_answer_and_no_loss() {
    let no_socket = 3;
    let asked = outward_of_host(100, Kind::EchoRequest, 4);
    for (reason, exchanges, end) in
        [(no_socket, 1, End::Consumed), (9, 0, End::Dropped { reason: 9, device: Some(1) })]
    {
        let dropped = Event { seq: reason, ..bare(210, Hop::SkbDrop, 0xa, 1) };
        let mut correlator = correlator(Limits::default());
        correlator.options.no_socket = Some(no_socket);
        let events = [&asked[..], &inward_to_host(200, Kind::EchoReply, 5), &[dropped]].concat();
        events.into_iter().for_each(|event| correlator.push(event));
        correlator.finish();
        let passages: Vec<_> = std::iter::from_fn(|| correlator.poll()).map(|passage| *passage).collect();
        assert_eq!((passages[1].end, paired(&passages).0.len()), (end, exchanges));
    }
}

#[test]
fn an_echo_request_sent_twice_is_doubtful_and_left_out() {
    let (found, exchanger) = paired(&[
        passage(100, GUEST, WIRE, Kind::EchoRequest, 4, 1),
        passage(110, GUEST, WIRE, Kind::EchoRequest, 4, 1),
        passage(200, WIRE, GUEST, Kind::EchoReply, 5, 1),
    ]);
    assert!(found.is_empty());
    let tally = exchanger.tallies[&(ExchangeKind::Echo, GUEST)];
    assert_eq!((tally.ambiguous, tally.unanswered), (1, 1));
}

fn tcp(start_ns: u64, from: Side, flow: u64, seq: u32, payload: u32, ack: u32) -> Passage {
    let to = if from == GUEST { WIRE } else { GUEST };
    Passage { payload, ack, tcp_flags: 0x10, ..passage(start_ns, from, to, Kind::Tcp, flow, seq) }
}

#[test]
fn one_acknowledgement_answers_all_segments_before_it() {
    let (found, _) = paired(&[
        tcp(100, GUEST, 4, 1000, 500, 1),
        tcp(110, GUEST, 4, 1500, 500, 1),
        tcp(120, GUEST, 4, 2000, 500, 1),
        tcp(200, WIRE, 5, 1, 0, 2000),
    ]);
    assert_eq!(found.iter().map(Exchange::total_ns).collect::<Vec<_>>(), [100, 90]);
}

#[test]
fn acknowledgements_hold_across_the_wrap_of_sequence_numbers() {
    let (found, _) = paired(&[tcp(100, GUEST, 4, u32::MAX - 99, 500, 1), tcp(200, WIRE, 5, 1, 0, 400)]);
    assert_eq!(found.len(), 1);
}

#[test]
fn retransmitted_bytes_are_doubtful() {
    let (found, exchanger) = paired(&[
        tcp(100, GUEST, 4, 1000, 500, 1),
        tcp(150, GUEST, 4, 1000, 500, 1),
        tcp(200, WIRE, 5, 1, 0, 1500),
    ]);
    assert!(found.is_empty());
    assert_eq!(exchanger.tallies[&(ExchangeKind::Tcp, GUEST)].ambiguous, 1);
}

#[test]
fn a_datagram_answers_only_while_a_question_is_outstanding() {
    let udp = |start_ns, from, flow| {
        let to = if from == GUEST { WIRE } else { GUEST };
        passage(start_ns, from, to, Kind::Udp, flow, 0)
    };
    // The third one is the answer again, or one whose question was not seen; the last two come after a long pause.
    let later = 40_000_000_000;
    let (found, _) = paired(&[
        udp(100, GUEST, 4),
        udp(200, WIRE, 5),
        udp(300, WIRE, 5),
        udp(350, GUEST, 4),
        udp(450, WIRE, 5),
        udp(later, WIRE, 5),
        udp(later + 50, GUEST, 4),
    ]);
    let initiators: Vec<_> = found.iter().map(|exchange| exchange.initiator).collect();
    assert_eq!(initiators, [Initiator::Guest, Initiator::Guest, Initiator::Peer]);
}

#[test]
fn a_driver_that_finishes_after_the_answer_bounds_nothing() {
    let mut question = passage(100, GUEST, WIRE, Kind::EchoRequest, 4, 1);
    question.stamps.push(Stamp {
        hop: Hop::NicDone,
        time_ns: 300,
        hook: Hook::ConsumeSkb,
        rule: Rule::Pointer,
    });
    let (found, exchanger) = paired(&[question, passage(200, WIRE, GUEST, Kind::EchoReply, 5, 1)]);
    assert_eq!(found[0].stamps.iter().map(|stamp| stamp.hop).collect::<Vec<_>>(), [Hop::TapRx, Hop::NicRx]);
    assert_eq!(exchanger.tallies[&(ExchangeKind::Echo, GUEST)].overtaken, 1);
}

#[test]
fn a_frame_that_enters_in_a_recycled_buffer_is_no_clone() {
    // The first frame went to the host itself, whose freeing of it shows at no hook.
    let again = Event { head: 0xa + 0x1000, flow: 2, ..at(200, Hop::TapRx, 0xb, 0, 2) };
    let passages = run(&[at(100, Hop::TapRx, 0xa, 0, 1), again]);
    assert_eq!(branches(&passages), [None, None]);
    assert_eq!(passages.iter().map(Passage::start_ns).collect::<Vec<_>>(), [100, 200]);
}

#[test]
fn the_next_frame_of_a_flow_at_a_recycled_address_is_another_frame() {
    let next = |time_ns, hop| Event { flow: 2, ..at(time_ns, hop, 0xa, 1, 2) };
    let passages = run(&[at(100, Hop::TapRx, 0xa, 0, 1), next(200, Hop::NicQueue)]);
    assert_eq!(passages.iter().map(hops).collect::<Vec<_>>(), [["tap.rx"], ["nic.queue"]]);
}

#[test]
fn payload_that_was_pulled_in_between_leaves_a_datagram_in_doubt() {
    let udp =
        |time_ns, hop, digest| Event { kind: Some(Kind::Udp), seq: 0, digest, ..at(time_ns, hop, 0xa, 1, 1) };
    let passages = run(&[udp(100, Hop::NicQueue, 1), udp(110, Hop::NicXmit, 2)]);
    assert_eq!((passages.len(), passages[0].ambiguous), (1, true));
}

#[test]
fn a_clone_does_not_share_what_its_parent_passed_on_its_own_way() {
    let clone = Event { head: 0xa + 0x1000, ..at(130, Hop::TapRing, 0xb, 0, 1) };
    let events = [
        at(100, Hop::NicRx, 0xa, 1, 1),
        at(110, Hop::NicStack, 0xa, 1, 1),
        at(120, Hop::TapQueue, 0xa, 2, 1),
        clone,
    ];
    assert_eq!(hops(&run(&events)[1]), ["nic.rx", "nic.stack", "tap.ring"]);
}

#[test]
fn a_kick_leads_to_no_later_frame_than_the_one_whose_write_was_not_seen() {
    let second = Event { device: Some(0), ..thread(190, Hop::TapWrite, 10) };
    let first =
        [vec![thread(50, Hop::VmmKick, 11), thread(70, Hop::VmmWake, 10)], outward(100, 0xa, 1)].concat();
    let passages = run(&[first, vec![second], outward(200, 0xb, 2)].concat());
    assert_eq!(hops(&passages[1])[..2], ["tap.write", "tap.rx"]);
}

#[test]
fn an_interrupt_after_the_first_sight_of_a_frame_did_not_announce_it() {
    let sight = Event { hook: Hook::Xdp, skb: 0, head: 0, ..at(90, Hop::NicRx, 0, 1, 1) };
    let interrupt = Event { tid: 0, device: Some(1), ..thread(95, Hop::NicIrq, 0) };
    let passages = run(&[vec![sight, interrupt], inward(100, 0xa, 1)].concat());
    assert_eq!(hops(&passages[0])[..2], ["nic.rx", "nic.stack"]);
}

#[test]
fn what_had_the_thread_running_before_the_question_is_no_part_of_its_answer() {
    let stamp = |hop, time_ns, rule| Stamp { hop, time_ns, hook: Hook::SchedSwitch, rule };
    let mut question = passage(100, WIRE, GUEST, Kind::EchoRequest, 4, 1);
    question.stamps.push(stamp(Hop::VmmReadEnd, 150, Rule::Pointer));
    let mut answer = passage(200, GUEST, WIRE, Kind::EchoReply, 5, 1);
    let before = [stamp(Hop::VmmKick, 120, Rule::Thread), stamp(Hop::TapWrite, 190, Rule::Thread)];
    answer.stamps.splice(0..0, before);
    let (found, _) = paired(&[question, answer]);
    let hops: Vec<_> = found[0].stamps.iter().map(|stamp| stamp.hop.name()).collect();
    assert_eq!((hops, found[0].turn), (vec!["nic.rx", "vmm.read.end", "tap.write", "tap.rx"], 2));
}

#[test]
fn a_frame_that_the_host_dropped_neither_asks_nor_answers() {
    let dropped = |passage: Passage| Passage { end: End::Dropped { reason: 2, device: None }, ..passage };
    let request = |start_ns, seq| passage(start_ns, GUEST, WIRE, Kind::EchoRequest, 4, seq);
    let reply = passage(300, WIRE, GUEST, Kind::EchoReply, 5, 1);
    let (found, exchanger) = paired(&[dropped(request(100, 0)), request(200, 1), dropped(reply)]);
    assert!(found.is_empty());
    assert_eq!(exchanger.tallies[&(ExchangeKind::Echo, GUEST)].unanswered, 2);
}

#[test]
fn a_connection_request_sent_twice_is_doubtful() {
    let syn = |start_ns| Passage { tcp_flags: 0x02, ..tcp(start_ns, GUEST, 4, 1000, 0, 0) };
    let (found, exchanger) = paired(&[syn(100), syn(150), tcp(200, WIRE, 5, 1, 0, 1001)]);
    assert!(found.is_empty());
    assert_eq!(exchanger.tallies[&(ExchangeKind::Tcp, GUEST)].ambiguous, 1);
}

#[test]
fn all_datagrams_outstanding_are_in_doubt_once_one_answer_has_come() {
    let udp = |start_ns, from, flow| {
        let to = if from == GUEST { WIRE } else { GUEST };
        passage(start_ns, from, to, Kind::Udp, flow, 0)
    };
    let (found, exchanger) =
        paired(&[udp(100, GUEST, 4), udp(110, GUEST, 4), udp(200, WIRE, 5), udp(210, WIRE, 5)]);
    assert!(found.is_empty());
    assert_eq!(exchanger.tallies[&(ExchangeKind::Udp, GUEST)].ambiguous, 2);
}

#[test]
fn a_thread_that_the_topology_does_not_know_works_for_no_vm() {
    let mut events = inward(100, 0xa, 1);
    events.extend([
        thread(155, Hop::VmmWake, 99),
        thread(160, Hop::VcpuEnter, 99),
        thread(170, Hop::VcpuEnter, 11),
    ]);
    let passages = run(&events);
    assert_eq!(passages[0].stamps.last().map(|stamp| stamp.time_ns), Some(170));
}

#[test]
fn a_segment_is_of_the_super_frame_that_was_cut_up_last() {
    let tcp = |time_ns, hop, skb, device, digest| Event {
        kind: Some(Kind::Tcp),
        flow: 6,
        seq: 1000,
        len: 54 + 3000,
        overhead: 54,
        digest,
        ..at(time_ns, hop, skb, device, 1)
    };
    let sent = |start_ns, skb, digest| {
        let segment = Event { len: 54 + 1500, ..tcp(start_ns + 20, Hop::NicXmit, skb + 1, 1, digest) };
        [
            tcp(start_ns, Hop::TapRx, skb, 0, digest),
            tcp(start_ns + 10, Hop::NicQueue, skb, 1, digest),
            bare(start_ns + 15, Hop::SkbFree, skb, 1),
            segment,
        ]
    };
    let passages = run(&[sent(100, 0xa, 1), sent(200, 0xc, 2)].concat());
    let segments: Vec<_> = passages.iter().filter(|passage| passage.branch.is_some()).collect();
    let times = |passage: &&Passage| (passage.start_ns(), passage.time_at(Hop::NicXmit));
    assert_eq!(segments.iter().map(times).collect::<Vec<_>>(), [(100, Some(120)), (200, Some(220))]);
}

#[test]
fn a_timestamp_tells_which_sending_was_answered() {
    let sent =
        |start_ns, value: u32| Passage { timestamps: value << 16, ..tcp(start_ns, GUEST, 4, 1000, 500, 1) };
    let answer = |echo: u32| Passage { timestamps: (77 << 16) | echo, ..tcp(200, WIRE, 5, 1, 0, 1500) };
    for (second, echo, totals, ambiguous) in
        [(9, 5, vec![100], 0), (9, 9, vec![50], 0), (5, 5, vec![], 2), (9, 3, vec![], 2)]
    {
        let (found, exchanger) = paired(&[sent(100, 5), sent(150, second), answer(echo)]);
        assert_eq!(found.iter().map(Exchange::total_ns).collect::<Vec<_>>(), totals, "{second} {echo}");
        let doubted = exchanger.tallies.get(&(ExchangeKind::Tcp, GUEST)).map_or(0, |tally| tally.ambiguous);
        assert_eq!(doubted, ambiguous, "{second} {echo}");
    }
}

#[test]
fn what_was_sent_once_beside_bytes_sent_twice_is_certain() {
    let sent = |start_ns, seq, value: u32| Passage {
        timestamps: value << 16,
        ..tcp(start_ns, GUEST, 4, seq, 500, 1)
    };
    let (found, _) = paired(&[
        sent(100, 1000, 5),
        sent(110, 1500, 5),
        sent(150, 1000, 9),
        Passage { timestamps: (77 << 16) | 9, ..tcp(200, WIRE, 5, 1, 0, 2000) },
    ]);
    let mut totals: Vec<_> = found.iter().map(Exchange::total_ns).collect();
    totals.sort_unstable();
    assert_eq!(totals, [50, 90]);
}

#[test]
fn an_answer_names_its_question_among_several() {
    let udp = |start_ns, from, flow, ack| {
        let to = if from == GUEST { WIRE } else { GUEST };
        Passage { ack, ..passage(start_ns, from, to, Kind::Udp, flow, 0) }
    };
    // Two names as of DNS, answered the other way round; then two echoes of all they got.
    for (answers, totals) in
        [([0x0002_0009, 0x0001_0008], [90, 110]), ([0x0002_0002, 0x0001_0001], [90, 110])]
    {
        let (found, exchanger) = paired(&[
            udp(100, GUEST, 4, 0x0001_0001),
            udp(110, GUEST, 4, 0x0002_0002),
            udp(200, WIRE, 5, answers[0]),
            udp(210, WIRE, 5, answers[1]),
        ]);
        assert_eq!(found.iter().map(Exchange::total_ns).collect::<Vec<_>>(), totals);
        assert!(exchanger.tallies.values().all(|tally| tally.ambiguous == 0));
    }
}

#[test]
fn the_same_addresses_behind_another_guest_are_another_flow() {
    let other = Side::Guest(2);
    let (found, exchanger) = paired(&[
        passage(100, WIRE, GUEST, Kind::EchoRequest, 4, 1),
        passage(110, WIRE, other, Kind::EchoRequest, 4, 1),
        passage(200, other, WIRE, Kind::EchoReply, 5, 1),
        passage(210, GUEST, WIRE, Kind::EchoReply, 5, 1),
    ]);
    assert_eq!(found.iter().map(Exchange::total_ns).collect::<Vec<_>>(), [90, 110]);
    assert!(exchanger.tallies.values().all(|tally| tally.ambiguous == 0));
}

#[test]
fn between_guests_a_translated_flow_is_the_one_of_who_is_asked() {
    let other = Side::Guest(2);
    let question = Passage { flow_to: 8, ..passage(100, GUEST, other, Kind::EchoRequest, 4, 1) };
    let answer = Passage { flow_to: 5, ..passage(200, other, GUEST, Kind::EchoReply, 9, 1) };
    let (found, _) = paired(&[question, answer]);
    assert_eq!(found.len(), 1);
}

#[test]
fn a_question_whose_entry_was_not_seen_has_no_time_and_an_answer_has() {
    let unseen = |passage| Passage { inferred: true, ..passage };
    let ask = || passage(100, GUEST, WIRE, Kind::EchoRequest, 4, 1);
    let reply = || passage(200, WIRE, GUEST, Kind::EchoReply, 5, 1);
    assert!(paired(&[unseen(ask()), reply()]).0.is_empty());
    assert_eq!(paired(&[ask(), unseen(reply())]).0.len(), 1);
}
