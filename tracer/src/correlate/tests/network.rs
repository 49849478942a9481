//! Hops of the virtual network: bridge, IP, and the user's own.

use super::*;

/// An event of an address and its buffer that shows no content.
fn unread(time_ns: u64, hop: Hop, skb: u64) -> Event {
    Event { head: skb + 0x1000, device: None, ..bare(time_ns, hop, skb, 0) }
}

#[test]
fn bridge_and_ip_are_on_the_way() {
    let mut events = outward(100, 0xa, 1);
    let inside = [
        at(101, Hop::BridgeIn, 0xa, 0, 1),
        at(102, Hop::IpIn, 0xa, 0, 1),
        unread(103, Hop::IpOut, 0xa),
        at(104, Hop::BridgeOut, 0xa, 1, 1),
    ];
    events.splice(1..1, inside);
    let passages = run(&events);
    assert_eq!(passages.len(), 1);
    assert_eq!(hops(&passages[0])[1..5], ["bridge.in", "ip.in", "ip.out", "bridge.out"]);
}

#[test]
fn ip_hands_on_only_what_it_has_taken() {
    let mut events = outward(100, 0xa, 1);
    events.insert(1, unread(105, Hop::IpOut, 0xa));
    assert!(!hops(&run(&events)[0]).contains(&"ip.out"));
}

#[test]
fn a_frame_of_the_hosts_own_at_an_address_used_again_is_not_what_was_routed() {
    let other_buffer = Event { head: 0x9999, ..unread(120, Hop::IpOut, 0xa) };
    let taken = [at(100, Hop::TapRx, 0xa, 0, 1), at(110, Hop::IpIn, 0xa, 0, 1)];
    assert_eq!(hops(&run(&[&taken[..], &[other_buffer]].concat())[0]), ["tap.rx", "ip.in"]);
    // The buffer was used again as well: what comes next tells.
    let own = [unread(120, Hop::IpOut, 0xa), at(130, Hop::TapQueue, 0xa, 0, 2)];
    let passages = run(&[&taken[..], &own].concat());
    assert_eq!(hops(&passages[0]), ["tap.rx", "ip.in"]);
    assert_eq!(hops(&passages[1]), ["tap.queue"]);
}

/// Forwarding copies what its sender keeps (`skb_cow`, `ip_forward`).
#[test]
fn what_forwarding_has_copied_goes_on_in_its_new_buffer() {
    let copied = |time_ns, hop| Event { head: 0x9999, ..at(time_ns, hop, 0xa, 1, 1) };
    let mut events = outward(100, 0xa, 1);
    for event in &mut events[1..] {
        event.head = 0x9999;
    }
    events.splice(1..1, [at(102, Hop::IpIn, 0xa, 0, 1), copied(103, Hop::IpOut)]);
    let passages = run(&events);
    assert_eq!(passages.len(), 1);
    assert_eq!(hops(&passages[0])[1..4], ["ip.in", "ip.out", "nic.queue"]);
}

#[test]
fn a_frame_of_the_hosts_own_is_told_from_what_was_routed_by_its_content() {
    let taken = [at(100, Hop::TapRx, 0xa, 0, 1), at(110, Hop::IpIn, 0xa, 0, 1)];
    let own = at(120, Hop::IpOut, 0xa, 1, 2);
    assert_eq!(hops(&run(&[&taken[..], &[own]].concat())[0]), ["tap.rx", "ip.in"]);
}

#[test]
fn a_buffer_alone_makes_no_branch() {
    for hop in [Hop::IpOut, Hop::User0] {
        let same_buffer = Event { head: 0xa + 0x1000, ..unread(120, hop, 0xb) };
        let taken = [at(100, Hop::TapRx, 0xa, 0, 1), at(110, Hop::IpIn, 0xa, 0, 1)];
        assert_eq!(run(&[&taken[..], &[same_buffer]].concat()).len(), 1);
    }
}

#[test]
fn the_users_hops_come_in_any_order_and_once_each() {
    let mut events = outward(100, 0xa, 1);
    let own = [(101, Hop::User3), (103, Hop::User0), (105, Hop::User3), (135, Hop::User1)];
    events.extend(own.map(|(time_ns, hop)| unread(time_ns, hop, 0xa)));
    events.push(at(102, Hop::BridgeIn, 0xa, 0, 1));
    let way = ["tap.rx", "user3", "bridge.in", "user0", "nic.queue", "nic.xmit", "nic.done"];
    assert_eq!(hops(&run(&events)[0]), way);
}

#[test]
fn a_users_hop_of_an_address_used_again_is_taken_back() {
    let events = [
        at(100, Hop::TapRx, 0xa, 0, 1),
        unread(105, Hop::User1, 0xa),
        at(110, Hop::BridgeIn, 0xa, 0, 1),
        unread(120, Hop::User0, 0xa),
        at(130, Hop::TapQueue, 0xa, 0, 2),
    ];
    let passages = run(&events);
    assert_eq!(hops(&passages[0]), ["tap.rx", "user1", "bridge.in"]);
    assert_eq!(hops(&passages[1]), ["tap.queue"]);
    let other_buffer = Event { head: 0x9999, ..unread(105, Hop::User1, 0xa) };
    assert_eq!(hops(&run(&[events[0], other_buffer])[0]), ["tap.rx"]);
}

#[test]
fn what_gro_may_still_merge_passes_no_hop_of_the_users() {
    let mut events = inward(100, 0xa, 1);
    events.extend([unread(105, Hop::User0, 0xa), unread(115, Hop::User1, 0xa)]);
    assert_eq!(hops(&run(&events)[0])[..3], ["nic.rx", "nic.stack", "user1"]);
}

#[test]
fn a_flood_parts_where_the_bridge_hands_on() {
    let clone =
        |time_ns, skb, device| Event { head: 0xa + 0x1000, ..at(time_ns, Hop::BridgeOut, skb, device, 1) };
    let events = [
        at(100, Hop::NicRx, 0xa, 1, 1),
        at(105, Hop::NicStack, 0xa, 1, 1),
        at(110, Hop::BridgeIn, 0xa, 1, 1),
        clone(120, 0xb, 0),
        at(125, Hop::TapQueue, 0xb, 0, 1),
        clone(130, 0xa, 2),
        at(135, Hop::TapQueue, 0xa, 2, 1),
    ];
    let passages = run(&events.map(|event| Event { head: 0xa + 0x1000, ..event }));
    let way = ["nic.rx", "nic.stack", "bridge.in", "bridge.out", "tap.queue"];
    assert_eq!(passages.iter().map(hops).collect::<Vec<_>>(), [way, way]);
    assert_eq!(branches(&passages), [None, Some(Branch::Copy)]);
    let out = |passage: &Passage| passage.time_at(Hop::BridgeOut);
    assert_eq!(passages.iter().map(out).collect::<Vec<_>>(), [Some(130), Some(120)]);
}

#[test]
fn a_macvtap_has_a_ring_and_no_queue() {
    let mut events = inward(100, 0xa, 1);
    events.retain(|event| event.hop != Hop::TapQueue);
    let passages = run(&events);
    assert_eq!(hops(&passages[0]), ["nic.rx", "nic.stack", "tap.ring", "vmm.read", "vmm.read.end"]);
    assert_eq!((passages[0].to, passages[0].end), (Side::Guest(0), End::Done));
}
