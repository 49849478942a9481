//! The rules of correlation, one test a rule, on events made by hand: a guest's tap is slot 0, the NIC slot 1,
//! a second guest's tap slot 2. Thread 10 is the first VMM's I/O thread, 11 its vCPU.

use tracer_common::frame::Kind;

use super::{exchange::Initiator, *};
use crate::topology::{Device, DeviceKind, Tap, Thread, ThreadRole, Topology, Vm, Vmm};

fn device(name: &str, ifindex: u32, kind: DeviceKind) -> Device {
    Device {
        name: name.to_owned(),
        ifindex,
        netns: 1,
        netns_name: None,
        kind,
        driver: None,
        mac: None,
        mtu: 1500,
        up: true,
        far_end: None,
        irqs: Vec::new(),
        queues: 1,
        via: Vec::new(),
    }
}

fn vm(name: &str, tap: u32, first_tid: i32) -> Vm {
    let thread = |tid, role| Thread { tid, name: String::new(), role };
    Vm {
        name: name.to_owned(),
        vmm: Vmm::Qemu,
        pid: first_tid,
        start_time: 0,
        threads: vec![thread(first_tid, ThreadRole::Io), thread(first_tid + 1, ThreadRole::Vcpu(0))],
        taps: vec![Tap {
            device: device(name, tap, DeviceKind::Tap),
            fds: vec![3],
            switch: None,
            routed: false,
            nics: Vec::new(),
        }],
        kvm: false,
    }
}

fn correlator(limits: Limits) -> Correlator {
    let topology = Topology { vms: vec![vm("a", 100, 10), vm("b", 102, 20)] };
    let threads = Threads::new(&topology, |_, ifindex| Some((ifindex - 100) as u8));
    let options =
        Options { waits_for_vcpu: true, irqs: false, xdp: true, no_socket: None, segments_told: false };
    Correlator::new(limits, threads, 2, options)
}

/// An event of the skb at address `skb`, whose content is number `content`.
fn at(time_ns: u64, hop: Hop, skb: u64, device: u8, content: u64) -> Event {
    Event {
        time_ns,
        skb,
        head: skb + 0x1000,
        digest: content,
        flow: content * 2,
        len: 98,
        seq: content as u32,
        ack: 0,
        stamps: 0,
        tid: 10,
        cpu: 0,
        device: Some(device),
        hop,
        hook: Hook::NetifReceiveSkb,
        kind: Some(Kind::EchoRequest),
        tcp_flags: 0,
        overhead: 42,
        gso_size: 0,
        tunnelled: false,
    }
}

fn branches(passages: &[Passage]) -> Vec<Option<Branch>> {
    passages.iter().map(|passage| passage.branch).collect()
}

/// An event that the address alone identifies.
fn bare(time_ns: u64, hop: Hop, skb: u64, device: u8) -> Event {
    Event {
        head: 0,
        digest: 0,
        flow: 0,
        len: 0,
        seq: 0,
        kind: None,
        overhead: 0,
        ..at(time_ns, hop, skb, device, 0)
    }
}

/// An XDP program's sight of a frame that comes from the wire.
pub(super) fn sight(time_ns: u64, content: u64) -> Event {
    Event { hook: Hook::Xdp, skb: 0, head: 0, ..at(time_ns, Hop::NicRx, 0, 1, content) }
}

/// An event of a thread.
fn thread(time_ns: u64, hop: Hop, tid: u32) -> Event {
    Event { device: None, tid, hook: Hook::SchedSwitch, ..bare(time_ns, hop, 0, 0) }
}

fn run(events: &[Event]) -> Vec<Passage> {
    let mut correlator = correlator(Limits::default());
    events.iter().for_each(|event| correlator.push(*event));
    correlator.finish();
    std::iter::from_fn(|| correlator.poll()).map(|passage| *passage).collect()
}

fn hops(passage: &Passage) -> Vec<&'static str> {
    passage.stamps.iter().map(|stamp| stamp.hop.name()).collect()
}

fn outward(start_ns: u64, skb: u64, content: u64) -> Vec<Event> {
    vec![
        at(start_ns, Hop::TapRx, skb, 0, content),
        at(start_ns + 10, Hop::NicQueue, skb, 1, content),
        at(start_ns + 20, Hop::NicXmit, skb, 1, content),
        bare(start_ns + 30, Hop::NicDone, skb, 1),
    ]
}

fn inward(start_ns: u64, skb: u64, content: u64) -> Vec<Event> {
    vec![
        at(start_ns, Hop::NicRx, skb, 1, content),
        at(start_ns + 10, Hop::NicStack, skb, 1, content),
        at(start_ns + 20, Hop::TapQueue, skb, 0, content),
        at(start_ns + 30, Hop::TapRing, skb, 0, content),
        bare(start_ns + 40, Hop::VmmRead, skb, 0),
        bare(start_ns + 50, Hop::SkbFree, skb, 0),
    ]
}

#[test]
fn one_address_from_birth_to_death_is_one_passage() {
    let passages = run(&outward(100, 0xa, 1));
    assert_eq!(passages.len(), 1);
    assert_eq!(hops(&passages[0]), ["tap.rx", "nic.queue", "nic.xmit", "nic.done"]);
    assert_eq!(
        (passages[0].from, passages[0].to, passages[0].end),
        (Side::Guest(0), Side::Wire(1), End::Done)
    );
}

#[test]
fn an_address_used_again_is_another_passage() {
    let passages = run(&[outward(100, 0xa, 1), outward(200, 0xa, 2)].concat());
    assert_eq!(passages.iter().map(|passage| passage.digest).collect::<Vec<_>>(), [1, 2]);
    assert!(passages.iter().all(|passage| passage.end == End::Done));
}

#[test]
fn an_address_used_again_before_its_end_was_seen_leaves_the_first_unfinished() {
    let cut = outward(100, 0xa, 1)[..2].to_vec();
    let passages = run(&[cut, outward(200, 0xa, 2)].concat());
    assert_eq!(passages.iter().map(|passage| passage.end).collect::<Vec<_>>(), [End::Unfinished, End::Done]);
    assert_eq!(hops(&passages[0]), ["tap.rx", "nic.queue"]);
}

#[test]
fn other_content_at_the_same_address_is_never_joined() {
    let events =
        [at(100, Hop::TapRx, 0xa, 0, 1), at(110, Hop::NicQueue, 0xa, 1, 2), at(120, Hop::NicXmit, 0xa, 1, 2)];
    let passages = run(&events);
    assert_eq!(hops(&passages[0]), ["tap.rx"]);
    assert_eq!(hops(&passages[1]), ["nic.queue", "nic.xmit"]);
    assert_eq!(passages[1].from, Side::Host);
}

#[test]
fn events_of_several_cpus_are_put_in_order() {
    let mut events = outward(100, 0xa, 1);
    events.reverse();
    assert_eq!(hops(&run(&events)[0]), ["tap.rx", "nic.queue", "nic.xmit", "nic.done"]);
}

#[test]
fn a_clone_is_a_branch_that_shares_its_parents_hops() {
    let clone = |time_ns, hop, device| Event { head: 0xa + 0x1000, ..at(time_ns, hop, 0xb, device, 1) };
    let events = [
        at(100, Hop::NicRx, 0xa, 1, 1),
        at(110, Hop::NicStack, 0xa, 1, 1),
        clone(120, Hop::TapQueue, 0),
        clone(130, Hop::TapRing, 0),
        at(140, Hop::TapQueue, 0xa, 2, 1),
        at(150, Hop::TapRing, 0xa, 2, 1),
    ];
    let passages = run(&events);
    assert_eq!(branches(&passages), [None, Some(Branch::Copy)]);
    assert_eq!(hops(&passages[1]), ["nic.rx", "nic.stack", "tap.queue", "tap.ring"]);
    assert_eq!((passages[0].to, passages[1].to), (Side::Guest(2), Side::Guest(0)));
}

#[test]
fn a_frame_of_the_same_flow_at_the_same_address_is_another_frame() {
    let reply = |time_ns, content| Event { flow: 7, ..at(time_ns, Hop::TapRx, 0xa, 0, content) };
    let passages = run(&[reply(100, 1), reply(200, 2), reply(300, 2)]);
    assert_eq!(passages.iter().map(Passage::start_ns).collect::<Vec<_>>(), [100, 200, 300]);
}

#[test]
fn a_driver_that_was_busy_sees_a_frame_twice() {
    let again = at(125, Hop::NicXmit, 0xa, 1, 1);
    let passages = run(&[outward(100, 0xa, 1)[..3].to_vec(), vec![again]].concat());
    assert_eq!((passages.len(), passages[0].time_at(Hop::NicXmit)), (1, Some(120)));
}

#[test]
fn a_frame_that_arrives_is_no_clone_of_what_its_buffer_held_before() {
    let delivered = at(100, Hop::TapRx, 0xa, 0, 1);
    let same_buffer = |event: Event| Event { skb: 0xb, head: delivered.head, flow: delivered.flow, ..event };
    let next: Vec<_> = outward(200, 0xb, 2).into_iter().map(same_buffer).collect();
    let passages = run(&[vec![delivered], next].concat());
    assert_eq!(branches(&passages), [None, None]);
    assert_eq!(hops(&passages[1]), ["tap.rx", "nic.queue", "nic.xmit", "nic.done"]);
}

#[test]
fn what_the_host_takes_in_does_not_hold_back_the_answer() {
    let question = at(100, Hop::TapRx, 0xa, 0, 1);
    let answer = |time_ns, hop| Event { kind: Some(Kind::EchoReply), flow: 3, ..at(time_ns, hop, 0xb, 0, 2) };
    let answer = |time_ns, hop| Event { seq: question.seq, ..answer(time_ns, hop) };
    let much_later = at(5_000_000_000, Hop::TapRx, 0xc, 0, 9);
    let events = [
        question,
        answer(110, Hop::TapQueue),
        answer(120, Hop::TapRing),
        bare(130, Hop::VmmRead, 0xb, 0),
        bare(140, Hop::SkbFree, 0xb, 0),
        thread(150, Hop::VcpuEnter, 11),
        much_later,
        at(5_010_000_000, Hop::TapRx, 0xd, 0, 10),
    ];
    let mut correlator = correlator(Limits::default());
    let mut found = Vec::new();
    for event in events {
        correlator.push(event);
        found.extend(std::iter::from_fn(|| correlator.poll()).map(|passage| *passage));
    }
    assert_eq!(found.iter().map(Passage::start_ns).collect::<Vec<_>>(), [100, 110]);
    assert_eq!(exchanges::paired(&found).0[0].initiator, Initiator::GuestToHost);
}

#[test]
fn a_frame_may_wait_long_in_a_queue() {
    let mut events = outward(100, 0xa, 1);
    events[3].time_ns = 20_000_000_000;
    events.insert(3, at(10_000_000_000, Hop::TapRx, 0xb, 0, 2));
    assert_eq!(run(&events)[0].end, End::Done);
}

#[test]
fn a_write_joins_the_frame_of_its_thread_and_brings_wake_and_kick() {
    let write = Event { device: Some(0), ..thread(90, Hop::TapWrite, 10) };
    let before = [thread(50, Hop::VmmKick, 11), thread(70, Hop::VmmWake, 10), write];
    let passages = run(&[before.to_vec(), outward(100, 0xa, 1)].concat());
    assert_eq!(hops(&passages[0])[..4], ["vmm.kick", "vmm.wake", "tap.write", "tap.rx"]);
}

#[test]
fn a_second_write_of_the_same_run_was_not_woken_for() {
    let write = |time_ns| Event { device: Some(0), ..thread(time_ns, Hop::TapWrite, 10) };
    let first = [vec![thread(70, Hop::VmmWake, 10), write(90)], outward(100, 0xa, 1)].concat();
    let second = [vec![write(190)], outward(200, 0xb, 2)].concat();
    let passages = run(&[first, second].concat());
    assert_eq!(hops(&passages[1])[..2], ["tap.write", "tap.rx"]);
}

#[test]
fn a_thread_that_moved_frames_and_lost_the_cpu_was_not_told_to_run_again() {
    let write = |time_ns| Event { device: Some(0), ..thread(time_ns, Hop::TapWrite, 10) };
    let told = vec![thread(60, Hop::VmmRunnable, 10), thread(70, Hop::VmmWake, 10), write(90)];
    let first = [told, outward(100, 0xa, 1)].concat();
    let second = [vec![thread(180, Hop::VmmWake, 10), write(190)], outward(200, 0xb, 2)].concat();
    let passages = run(&[first, second].concat());
    assert_eq!(hops(&passages[0])[..3], ["vmm.runnable", "vmm.wake", "tap.write"]);
    assert_eq!(hops(&passages[1])[..2], ["vmm.wake", "tap.write"]);
}

#[test]
fn a_write_in_the_run_that_read_the_question_was_not_woken_for() {
    let question = [vec![thread(135, Hop::VmmWake, 10)], inward(100, 0xa, 1)].concat();
    let answer =
        [vec![Event { device: Some(0), ..thread(190, Hop::TapWrite, 10) }], outward(200, 0xb, 2)].concat();
    let passages = run(&[question, answer].concat());
    assert!(hops(&passages[0]).contains(&"vmm.wake"));
    assert_eq!(hops(&passages[1])[..2], ["tap.write", "tap.rx"]);
}

#[test]
fn a_write_of_another_thread_or_tap_is_not_taken() {
    let other_thread = Event { device: Some(0), ..thread(90, Hop::TapWrite, 20) };
    let other_tap = Event { device: Some(2), ..thread(95, Hop::TapWrite, 10) };
    let passages = run(&[vec![other_thread, other_tap], outward(100, 0xa, 1)].concat());
    assert_eq!(hops(&passages[0])[0], "tap.rx");
}

#[test]
fn a_frame_that_is_read_was_woken_for_only_if_the_wake_came_after_the_ring() {
    let mut events = inward(100, 0xa, 1);
    events.push(thread(135, Hop::VmmWake, 10));
    assert!(hops(&run(&events)[0]).contains(&"vmm.wake"));
    let mut events = inward(100, 0xa, 1);
    events.push(thread(125, Hop::VmmWake, 10));
    assert!(!hops(&run(&events)[0]).contains(&"vmm.wake"));
}

#[test]
fn a_vcpu_that_runs_takes_what_was_copied_before() {
    let mut events = inward(100, 0xa, 1);
    events.push(thread(170, Hop::VcpuEnter, 11));
    let passages = run(&events);
    assert_eq!(hops(&passages[0]).last(), Some(&"vcpu.enter"));
    assert_eq!(passages[0].end, End::Done);
}

#[test]
fn a_vcpu_that_was_running_already_enters_for_no_frame() {
    let ran = [thread(10, Hop::VcpuLeave, 11), thread(50, Hop::VcpuEnter, 11)];
    let later = [thread(200, Hop::VcpuLeave, 11), thread(300, Hop::VcpuEnter, 11)];
    let passages = run(&[ran.to_vec(), inward(100, 0xa, 1), later.to_vec()].concat());
    assert_eq!(hops(&passages[0]).last(), Some(&"vmm.read.end"));
    let slept = [thread(50, Hop::VcpuEnter, 11), thread(60, Hop::VcpuLeave, 11)];
    let passages = run(&[slept.to_vec(), inward(100, 0xa, 1), later[1..].to_vec()].concat());
    assert_eq!(hops(&passages[0]).last(), Some(&"vcpu.enter"));
}

#[test]
fn a_vcpu_that_runs_before_its_vm_is_known_runs_on_and_stops() {
    let slot_of = |_, ifindex: u32| Some((ifindex - 100) as u8);
    let mut threads = Threads::new(&Topology { vms: vec![vm("a", 100, 10)] }, slot_of);
    threads.remember(&thread(10, Hop::VmmRunnable, 21));
    threads.vcpu_runs(21, false);
    threads.vcpu_runs(21, true);
    threads.meet(&Topology { vms: vec![vm("a", 100, 10), vm("b", 102, 20)] }, slot_of);
    assert!(threads.has_running_vcpu(1));
    threads.vcpu_runs(21, false);
    assert!(!threads.has_running_vcpu(1));
}

#[test]
fn a_buffer_used_again_takes_nothing_from_a_frame_that_waits_for_its_vcpu() {
    let same_buffer = Event { head: 0xa + 0x1000, ..at(160, Hop::NicRx, 0xb, 1, 2) };
    let passages = run(&[inward(100, 0xa, 1), vec![same_buffer, thread(170, Hop::VcpuEnter, 11)]].concat());
    assert_eq!((passages[0].end, passages[0].last_hop()), (End::Done, Hop::VcpuEnter));
}

#[test]
fn a_guest_that_kicks_before_any_vcpu_entered_was_running_already() {
    let mut events = inward(100, 0xa, 1);
    events.extend([thread(160, Hop::VmmKick, 11), thread(170, Hop::VcpuEnter, 11)]);
    assert_eq!(hops(&run(&events)[0]).last(), Some(&"vmm.read.end"));
}

#[test]
fn a_frame_that_no_vcpu_was_seen_to_take_is_complete_all_the_same() {
    let mut correlator = correlator(Limits { patience_ns: 1_000, ..Limits::default() });
    inward(100, 0xa, 1).iter().for_each(|event| correlator.push(*event));
    correlator.push(thread(20_000_000, Hop::VmmWake, 10));
    correlator.push(thread(40_000_000, Hop::VmmWake, 10));
    assert_eq!(correlator.poll().map(|passage| passage.end), Some(End::Done));
}

#[test]
fn segments_of_a_super_frame_are_inside_its_bytes() {
    let tcp = |time_ns, hop, skb, seq, len| Event {
        kind: Some(Kind::Tcp),
        flow: 6,
        seq,
        len,
        overhead: 54,
        digest: u64::from(seq),
        ..at(time_ns, hop, skb, if hop == Hop::TapRx { 0 } else { 1 }, 1)
    };
    let events = [
        tcp(100, Hop::TapRx, 0xa, 1000, 54 + 3000),
        tcp(110, Hop::NicQueue, 0xa, 1000, 54 + 3000),
        bare(115, Hop::SkbFree, 0xa, 1),
        tcp(120, Hop::NicXmit, 0xb, 1000, 54 + 1500),
        bare(125, Hop::NicDone, 0xb, 1),
        tcp(130, Hop::NicXmit, 0xc, 2500, 54 + 1500),
        bare(135, Hop::NicDone, 0xc, 1),
    ];
    let passages = run(&events);
    assert_eq!(branches(&passages), [None, Some(Branch::Segment), Some(Branch::Segment)]);
    assert_eq!(
        passages.iter().map(|passage| passage.end).collect::<Vec<_>>(),
        [End::Cut, End::Done, End::Done]
    );
    for (passage, [sent, done]) in passages[1..].iter().zip([[120, 125], [130, 135]]) {
        assert_eq!(hops(passage), ["tap.rx", "nic.queue", "nic.xmit", "nic.done"]);
        assert_eq!((passage.time_at(Hop::NicXmit), passage.time_at(Hop::NicDone)), (Some(sent), Some(done)));
        assert_eq!((passage.shared, passage.payload), (2, 1500));
    }
}

#[test]
fn gro_makes_one_passage_of_the_frames_that_it_merges() {
    let tcp = |time_ns, hop, skb, seq, payload: u32| Event {
        kind: Some(Kind::Tcp),
        flow: 6,
        seq,
        len: 54 + payload,
        overhead: 54,
        digest: u64::from(seq),
        ..at(time_ns, hop, skb, 1, 1)
    };
    let events = [
        tcp(100, Hop::NicRx, 0xa, 1000, 500),
        tcp(101, Hop::NicRx, 0xb, 1500, 500),
        // Its address comes back unseen; that of the next is seen to be freed.
        tcp(102, Hop::NicRx, 0xb, 2000, 500),
        bare(103, Hop::SkbDrop, 0xb, 1),
        tcp(104, Hop::NicRx, 0xc, 9000, 500),
        tcp(110, Hop::NicStack, 0xa, 1000, 1500),
        tcp(120, Hop::NicStack, 0xc, 9000, 500),
    ];
    let passages = run(&events);
    let figures = |passage: &Passage| (passage.start_ns(), passage.payload, passage.merged.len());
    assert_eq!(passages.iter().map(figures).collect::<Vec<_>>(), [(100, 1500, 2), (104, 500, 0)]);
}

#[test]
fn what_gro_did_not_take_was_dropped() {
    let arrived = Event { kind: Some(Kind::Tcp), ..at(100, Hop::NicRx, 0xa, 1, 1) };
    let passages = run(&[arrived, Event { seq: 80, ..bare(110, Hop::SkbDrop, 0xa, 1) }]);
    assert_eq!(passages[0].end, End::Dropped { reason: 80, device: Some(1) });
}

#[test]
fn what_xdp_saw_is_joined_by_content_and_doubted_when_there_are_two() {
    let sight = |time_ns| Event { hook: Hook::Xdp, skb: 0, head: 0, ..at(time_ns, Hop::NicRx, 0, 1, 1) };
    let once = run(&[vec![sight(90)], inward(100, 0xa, 1)].concat());
    assert_eq!((once[0].start_ns(), once[0].ambiguous), (90, false));
    let twice = run(&[vec![sight(90), sight(95)], inward(100, 0xa, 1)].concat());
    assert_eq!((twice[0].start_ns(), twice[0].ambiguous), (90, true));
}

#[test]
fn what_xdp_saw_of_a_frame_that_is_born_already_waits_for_no_other() {
    let sight = Event { hook: Hook::Xdp, skb: 0, head: 0, ..at(115, Hop::NicRx, 0, 1, 1) };
    let passages = run(&[inward(100, 0xa, 1), vec![sight], inward(300, 0xb, 1)].concat());
    assert_eq!(passages.iter().map(Passage::start_ns).collect::<Vec<_>>(), [100, 300]);
}

#[test]
fn a_drop_ends_a_passage_with_its_reason() {
    let drop = Event { seq: 80, ..bare(150, Hop::SkbDrop, 0xa, 0) };
    let passages = run(&[inward(100, 0xa, 1)[..4].to_vec(), vec![drop]].concat());
    assert_eq!(passages[0].end, End::Dropped { reason: 80, device: Some(0) });
    assert_eq!(passages[0].last_hop(), Hop::TapRing);
}

#[test]
fn too_many_open_passages_give_up_the_oldest() {
    let mut correlator = correlator(Limits { open: 2, ..Limits::default() });
    for number in 0..5 {
        correlator.push(at(100 + number, Hop::TapRx, number + 1, 0, number + 1));
    }
    correlator.finish();
    assert_eq!(correlator.evicted, 2);
    assert_eq!(std::iter::from_fn(|| correlator.poll()).count(), 5);
}

#[test]
fn an_event_without_a_passage_begins_none_where_no_frame_is_born() {
    assert!(run(&[at(100, Hop::NicXmit, 0xa, 1, 1), bare(110, Hop::VmmRead, 0xb, 0)]).is_empty());
}

mod announced;
mod exchanges;
mod network;
mod queues;
mod segments;
