//! Kicks of vhost queues, and writes that hand over many frames at once. Threads 10 and 12 are the first VM's workers,
//! 11 and 13 its vCPUs; the second VM's are 20 to 23.

use super::*;

/// Doorbells; a queue has the same number.
const A: u64 = 0xa0;
const B: u64 = 0xb0;
const DISK: u64 = 0xd0;

pub(super) fn on_kvm(events: &[Event]) -> Vec<Passage> {
    let machine = |name, tap, first| {
        let thread = |tid, role| Thread { tid, name: String::new(), role };
        let more = [thread(first + 2, ThreadRole::Io), thread(first + 3, ThreadRole::Vcpu(1))];
        let vm = vm(name, tap, first);
        Vm { threads: [vm.threads, more.to_vec()].concat(), kvm: true, ..vm }
    };
    let topology = Topology { vms: vec![machine("a", 100, 10), machine("b", 102, 20)] };
    let threads = Threads::new(&topology, |_, ifindex| Some((ifindex - 100) as u8));
    let options = Options { waits_for_vcpu: true, irqs: true, ..Options::default() };
    let mut correlator = Correlator::new(Limits::default(), threads, 2, options);
    events.iter().for_each(|event| correlator.push(*event));
    correlator.finish();
    std::iter::from_fn(|| correlator.poll()).map(|passage| *passage).collect()
}

fn kick(time_ns: u64, tid: u32, doorbell: u64) -> Event {
    Event { digest: doorbell, hook: Hook::IoeventfdWrite, ..thread(time_ns, Hop::VmmKick, tid) }
}

fn notify(time_ns: u64, tid: u32, queue: u64) -> Event {
    Event { digest: queue, hook: Hook::VhostPollWakeup, ..thread(time_ns, Hop::VhostNotify, tid) }
}

fn begin(time_ns: u64, tid: u32, queue: u64) -> Event {
    Event { digest: queue, hook: Hook::HandleTxKick, ..thread(time_ns, Hop::VhostTransmit, tid) }
}

fn batch(time_ns: u64, tid: u32) -> Event {
    Event { hook: Hook::TunSendmsg, ..thread(time_ns, Hop::TapWrite, tid) }
}

/// A frame that a worker hands to its VM's tap.
fn sent(time_ns: u64, tid: u32, content: u64) -> Event {
    let tap = if tid < 20 { 0 } else { 2 };
    Event { tid, ..at(time_ns, Hop::TapRx, 0x100 * content, tap, content) }
}

/// Hops and times of the passage of a content.
fn stamps(passages: &[Passage], content: u64) -> Vec<(&'static str, u64)> {
    let passage = passages.iter().find(|passage| passage.digest == content).unwrap();
    passage.stamps.iter().map(|stamp| (stamp.hop.name(), stamp.time_ns)).collect()
}

#[test]
fn kicks_of_two_queues_are_those_of_the_workers_that_serve_them() {
    let passages = on_kvm(&[
        kick(100, 11, A),
        notify(110, 11, A),
        kick(120, 13, B),
        notify(130, 13, B),
        thread(140, Hop::VmmRunnable, 12),
        thread(145, Hop::VmmRunnable, 10),
        thread(150, Hop::VmmWake, 12),
        begin(155, 12, B),
        batch(160, 12),
        sent(170, 12, 2),
        thread(200, Hop::VmmWake, 10),
        begin(205, 10, A),
        batch(210, 10),
        sent(220, 10, 1),
    ]);
    let way = |times: [u64; 5]| {
        ["vmm.kick", "vmm.runnable", "vmm.wake", "tap.write", "tap.rx"]
            .into_iter()
            .zip(times)
            .collect::<Vec<_>>()
    };
    assert_eq!(stamps(&passages, 1), way([100, 145, 200, 210, 220]));
    assert_eq!(stamps(&passages, 2), way([120, 140, 150, 160, 170]));
}

#[test]
fn two_vcpus_that_kick_at_once_keep_their_kicks() {
    let events = [kick(100, 11, A), kick(105, 13, B), notify(110, 11, A), notify(115, 13, B)];
    let later = [begin(155, 12, B), batch(160, 12), sent(170, 12, 2), begin(205, 10, A), batch(210, 10)];
    let passages = on_kvm(&[events.to_vec(), later.to_vec(), vec![sent(220, 10, 1)]].concat());
    assert_eq!(stamps(&passages, 1)[0], ("vmm.kick", 100));
    assert_eq!(stamps(&passages, 2)[0], ("vmm.kick", 105));
}

#[test]
fn a_kick_that_gives_a_queue_new_buffers_sends_nothing() {
    let refill = [kick(100, 11, B), notify(110, 11, B)];
    let passages =
        on_kvm(&[refill.to_vec(), vec![begin(150, 10, A), batch(160, 10), sent(170, 10, 1)]].concat());
    assert_eq!(stamps(&passages, 1), [("tap.write", 160), ("tap.rx", 170)]);
}

#[test]
fn a_kick_of_another_device_is_no_queues() {
    let passages = on_kvm(&[
        kick(100, 11, A),
        notify(110, 11, A),
        kick(120, 11, DISK),
        begin(150, 10, A),
        batch(160, 10),
        sent(170, 10, 1),
        kick(180, 11, DISK),
        begin(190, 10, A),
        batch(200, 10),
        sent(210, 10, 2),
    ]);
    assert_eq!(stamps(&passages, 1)[0], ("vmm.kick", 100));
    assert_eq!(stamps(&passages, 2)[0], ("tap.write", 200));
}

#[test]
fn a_kick_that_finds_the_worker_running_woke_nobody() {
    let passages = on_kvm(&[
        thread(80, Hop::VmmRunnable, 10),
        thread(90, Hop::VmmWake, 10),
        kick(100, 11, A),
        notify(110, 11, A),
        begin(150, 10, A),
        batch(160, 10),
        sent(170, 10, 1),
    ]);
    assert_eq!(stamps(&passages, 1), [("vmm.kick", 100), ("tap.write", 160), ("tap.rx", 170)]);
}

#[test]
fn of_several_kicks_the_first_made_the_worker_begin() {
    let events = [kick(100, 11, A), notify(110, 11, A), kick(120, 11, A), notify(130, 11, A)];
    let passages =
        on_kvm(&[events.to_vec(), vec![begin(150, 10, A), batch(160, 10), sent(170, 10, 1)]].concat());
    assert_eq!(stamps(&passages, 1)[0], ("vmm.kick", 100));
}

#[test]
fn frames_of_one_batch_share_its_write_and_the_first_has_the_kick() {
    let events = [kick(100, 11, A), notify(110, 11, A), thread(140, Hop::VmmWake, 10), begin(150, 10, A)];
    let frames = [batch(160, 10), sent(170, 10, 1), sent(180, 10, 2), batch(190, 10), sent(200, 10, 3)];
    let passages = on_kvm(&[events.to_vec(), frames.to_vec()].concat());
    assert_eq!(stamps(&passages, 1).len(), 4);
    assert_eq!(stamps(&passages, 2), [("tap.write", 160), ("tap.rx", 180)]);
    assert_eq!(stamps(&passages, 3), [("tap.write", 190), ("tap.rx", 200)]);
}

#[test]
fn a_batch_is_over_when_its_worker_turns_to_something_else() {
    for other in [begin(185, 10, A), thread(185, Hop::VmmWake, 10)] {
        // The second write was lost.
        let passages = on_kvm(&[batch(160, 10), sent(170, 10, 1), other, sent(200, 10, 2)]);
        assert_eq!(stamps(&passages, 2), [("tap.rx", 200)]);
    }
}

#[test]
fn the_kick_of_one_vm_is_never_anothers() {
    let events = [kick(100, 11, A), notify(110, 11, A), begin(150, 20, A), batch(160, 20), sent(170, 20, 2)];
    let passages =
        on_kvm(&[events.to_vec(), vec![begin(250, 10, A), batch(260, 10), sent(270, 10, 1)]].concat());
    assert_eq!(stamps(&passages, 2)[0], ("tap.write", 160));
    assert_eq!(stamps(&passages, 1)[0], ("vmm.kick", 100));
}

#[test]
fn a_kick_has_the_time_of_its_exit_and_may_be_delivered_late() {
    let events = [notify(110, 11, A), kick(100, 11, A), begin(150, 10, A), batch(160, 10), sent(170, 10, 1)];
    assert_eq!(stamps(&on_kvm(&events), 1)[0], ("vmm.kick", 100));
}

#[test]
fn a_lost_notification_or_beginning_gives_no_frame_a_kick_of_another_queue() {
    let known = [begin(10, 10, A), begin(12, 12, B)];
    let unnotified = [kick(100, 11, A), begin(150, 10, A), batch(160, 10), sent(170, 10, 1)];
    assert_eq!(stamps(&on_kvm(&[&known[..], &unnotified].concat()), 1)[0], ("tap.write", 160));
    let not_begun = [kick(100, 11, A), notify(110, 11, A), batch(160, 12), sent(170, 12, 1)];
    assert_eq!(stamps(&on_kvm(&[&known[..], &not_begun].concat()), 1)[0], ("tap.write", 160));
}

#[test]
fn a_write_without_a_device_is_its_threads() {
    let write = |time_ns, tid| Event { hook: Hook::TunChrWriteIter, ..thread(time_ns, Hop::TapWrite, tid) };
    let passages =
        on_kvm(&[kick(100, 11, A), write(160, 10), sent(170, 10, 1), write(180, 12), sent(190, 10, 2)]);
    assert_eq!(stamps(&passages, 1), [("vmm.kick", 100), ("tap.write", 160), ("tap.rx", 170)]);
    assert_eq!(stamps(&passages, 2), [("tap.rx", 190)]);
}

/// A VMM that moves the frames itself writes one after a kick of each queue.
fn write(time_ns: u64, tid: u32) -> Event {
    Event { hook: Hook::TunChrWriteIter, ..thread(time_ns, Hop::TapWrite, tid) }
}

#[test]
fn of_two_queues_that_a_vmm_serves_neither_gets_the_others_kick() {
    let apart = [kick(100, 11, A), write(110, 10), sent(115, 10, 1), kick(120, 13, B), write(130, 10)];
    let at_once = [sent(135, 10, 2), kick(200, 11, A), kick(210, 13, B), write(220, 10), sent(225, 10, 3)];
    let passages = on_kvm(&[&apart[..], &at_once, &[write(230, 10), sent(235, 10, 4)]].concat());
    assert_eq!(stamps(&passages, 1)[0], ("vmm.kick", 100));
    assert_eq!(stamps(&passages, 2)[0], ("vmm.kick", 120));
    for content in [3, 4] {
        assert_eq!(stamps(&passages, content)[0].0, "tap.write");
    }
}

#[test]
fn a_disks_doorbell_is_no_cause_of_frames_once_few_of_its_kicks_were_followed_by_one() {
    let frame = |number: u64| {
        let at = 1000 * number;
        vec![kick(at, 11, A), write(at + 10, 10), sent(at + 15, 10, number), kick(at + 500, 13, DISK)]
    };
    let mut events: Vec<Event> = (1..=10).flat_map(frame).collect();
    events.extend([write(10_600, 10), sent(10_610, 10, 11)]);
    let passages = on_kvm(&events);
    let firsts: Vec<_> = (1..=11).map(|content| stamps(&passages, content)[0].0).collect();
    assert_eq!(firsts[1..4], ["tap.write"; 3], "it might have been the disk's");
    assert_eq!(firsts[4..10], ["vmm.kick"; 6]);
    assert_eq!(firsts[10], "tap.write", "picked up by polling");
}
