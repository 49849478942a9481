//! Frames that a guest on KVM is told of by an interrupt. Threads as in [`super::queues`].

use super::{queues::on_kvm, *};

/// A frame that a thread copies to the first guest, from `time_ns` on, until 50 ns later.
fn copied(time_ns: u64, tid: u32, content: u64) -> Vec<Event> {
    let by = |event: Event| if event.hop == Hop::VmmRead { Event { tid, ..event } } else { event };
    inward(time_ns, 0x100 * content, content).into_iter().map(by).collect()
}

fn irq(time_ns: u64, tid: u32) -> Event {
    Event { hook: Hook::IrqfdWakeup, ..thread(time_ns, Hop::VmmIrq, tid) }
}

fn entry(time_ns: u64, vcpu: u32, signaller: u32) -> Event {
    Event { seq: signaller, hook: Hook::KvmEntry, ..thread(time_ns, Hop::VcpuEnter, vcpu) }
}

/// Hops behind the copy, with their times, of the passage of a content; it must be done.
fn behind(events: &[Vec<Event>], content: u64) -> Vec<(Hop, u64)> {
    let passages = on_kvm(&events.concat());
    let passage = passages.into_iter().find(|passage| passage.digest == content).unwrap();
    assert_eq!(passage.end, End::Done);
    let behind = passage.stamps.iter().filter(|stamp| stamp.hop.stage() > Hop::VmmReadEnd.stage());
    behind.map(|stamp| (stamp.hop, stamp.time_ns)).collect()
}

#[test]
fn a_frame_is_announced_by_its_reader_and_taken_at_the_entry_that_names_it() {
    let later = vec![entry(160, 11, 12), irq(170, 10), entry(180, 13, 10)];
    assert_eq!(behind(&[copied(100, 10, 1), later], 1), [(Hop::VmmIrq, 170), (Hop::VcpuEnter, 180)]);
}

#[test]
fn an_interrupt_announces_all_that_its_thread_has_copied_and_nothing_else() {
    let events = [copied(100, 10, 1), copied(160, 10, 2), copied(220, 12, 3), vec![irq(300, 10)]];
    let later = vec![entry(310, 11, 10), irq(320, 12), entry(330, 13, 12)];
    let events = [&events[..], &[later]].concat();
    let taken = [(Hop::VmmIrq, 300), (Hop::VcpuEnter, 310)];
    assert_eq!((behind(&events, 1), behind(&events, 2)), (taken.to_vec(), taken.to_vec()));
    assert_eq!(behind(&events, 3), [(Hop::VmmIrq, 320), (Hop::VcpuEnter, 330)]);
}

#[test]
fn an_interrupt_for_frames_that_were_sent_announces_none() {
    let events = [vec![irq(50, 10)], copied(100, 10, 1), vec![entry(160, 11, 10), irq(170, 10)]];
    assert_eq!(behind(&events, 1), [(Hop::VmmIrq, 170)]);
}

#[test]
fn a_guest_that_kicks_may_not_have_seen_its_frame_yet() {
    let later = vec![thread(160, Hop::VmmKick, 11), irq(170, 10), entry(180, 11, 10)];
    assert_eq!(behind(&[copied(100, 10, 1), later], 1), [(Hop::VmmIrq, 170), (Hop::VcpuEnter, 180)]);
}

#[test]
fn a_reader_that_turns_to_something_else_did_not_announce_what_it_read() {
    for hop in [Hop::VmmRunnable, Hop::VhostTransmit, Hop::TapWrite] {
        let later = vec![thread(160, hop, 10), irq(170, 10), entry(180, 11, 10)];
        assert_eq!(behind(&[copied(100, 10, 1), later], 1), [], "{}", hop.name());
        let of_another = vec![thread(160, hop, 12), irq(170, 10), entry(180, 11, 10)];
        assert_eq!(behind(&[copied(100, 10, 1), of_another], 1).len(), 2, "{}", hop.name());
    }
}

#[test]
fn a_frame_that_is_announced_waits_for_its_entry_whatever_its_reader_does() {
    let later = vec![irq(160, 10), thread(170, Hop::VmmRunnable, 10), entry(180, 11, 10)];
    assert_eq!(behind(&[copied(100, 10, 1), later], 1), [(Hop::VmmIrq, 160), (Hop::VcpuEnter, 180)]);
}

#[test]
fn of_two_signals_to_one_vcpu_the_entry_names_the_last() {
    let both = [copied(100, 10, 1), copied(160, 12, 2), vec![irq(220, 10), irq(230, 12), entry(240, 11, 12)]];
    let later = [copied(1000, 10, 3), vec![irq(1100, 10), entry(1110, 11, 10)]];
    let events = [&both[..], &later].concat();
    assert_eq!(behind(&events, 1), [(Hop::VmmIrq, 220)]);
    assert_eq!(behind(&events, 2), [(Hop::VmmIrq, 230), (Hop::VcpuEnter, 240)]);
    assert_eq!(behind(&events, 3), [(Hop::VmmIrq, 1100), (Hop::VcpuEnter, 1110)]);
}

#[test]
fn an_entry_without_an_interrupt_that_was_seen_is_not_taken_for_the_frames() {
    assert_eq!(behind(&[copied(100, 10, 1), vec![entry(180, 11, 10)]], 1), []);
}

#[test]
fn a_frame_whose_entry_was_not_seen_waits_a_second_at_most() {
    let far_ns = 200 + ANNOUNCE_WITHIN_NS;
    let kicks = vec![irq(160, 10), thread(far_ns, Hop::VmmKick, 11), entry(far_ns + 10, 11, 10)];
    assert_eq!(behind(&[copied(100, 10, 1), kicks], 1), [(Hop::VmmIrq, 160)]);
}

#[test]
fn an_entry_that_names_nobody_takes_what_was_copied_shortly_before() {
    assert_eq!(behind(&[copied(100, 10, 1), vec![entry(180, 11, 0)]], 1), [(Hop::VcpuEnter, 180)]);
    let late = entry(180 + ENTER_WITHIN_NS, 11, 0);
    assert_eq!(behind(&[copied(100, 10, 1), vec![late]], 1), []);
}

#[test]
fn an_interrupt_of_one_vm_announces_nothing_of_another() {
    assert_eq!(behind(&[copied(100, 10, 1), vec![irq(160, 20), entry(170, 21, 20)]], 1), []);
}

#[test]
fn a_reader_is_told_to_run_before_it_gets_the_cpu() {
    let mut events = copied(100, 10, 1);
    events.extend([thread(132, Hop::VmmRunnable, 10), thread(135, Hop::VmmWake, 10)]);
    let passages = on_kvm(&events);
    let found = hops(&passages[0]);
    assert_eq!(found[4..7], ["vmm.runnable", "vmm.wake", "vmm.read"]);
}
