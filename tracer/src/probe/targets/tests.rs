//! What stays and what changes when VMs come and go.

use super::*;
use crate::topology::{Thread, Vmm};

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

fn nic() -> Device {
    Device { irqs: vec![30], ..device("eth0", 1, DeviceKind::Physical) }
}

/// A VM with taps of these indexes, all behind one NIC, and a vCPU.
fn vm(name: &str, pid: i32, taps: &[u32]) -> Vm {
    let tap = |&index: &u32| Tap {
        device: device(&format!("tap{index}"), index, DeviceKind::Tap),
        fds: vec![index as i32],
        switch: None,
        routed: false,
        nics: vec![nic()],
    };
    let vcpu = Thread { tid: pid + 1, name: "vcpu0".to_owned(), role: VmThreadRole::Vcpu(0) };
    let taps = taps.iter().map(tap).collect();
    Vm { name: name.to_owned(), vmm: Vmm::Qemu, pid, start_time: 1, threads: vec![vcpu], taps, kvm: true }
}

fn slots(targets: &Targets) -> Vec<(u8, &str)> {
    targets.devices.iter().map(|target| (target.slot, target.device.name.as_str())).collect()
}

fn number_of(targets: &Targets, tid: u32) -> u32 {
    targets.threads.iter().find(|(known, _)| *known == tid).unwrap().1 >> 8 & 0xff
}

#[test]
fn a_device_keeps_its_slot_while_others_come_and_go() {
    let first = Targets::of(&[vm("a", 10, &[5]), vm("b", 20, &[6])]).unwrap();
    assert_eq!(slots(&first), [(0, "tap5"), (1, "eth0"), (2, "tap6")]);
    let second = first.next(&[vm("b", 20, &[6, 7])]);
    assert_eq!(slots(&second), [(2, "tap6"), (1, "eth0"), (3, "tap7")]);
    assert_eq!((number_of(&first, 21), number_of(&second, 21)), (1, 1));
}

#[test]
fn a_slot_is_free_only_when_nothing_names_it_any_more() {
    let mut targets = Targets::of(&[vm("a", 10, &[5])]).unwrap().next(&[]);
    assert_eq!(targets.free_slots(), 253);
    assert_eq!(slots(&targets.next(&[vm("b", 20, &[6])])), [(2, "tap6"), (1, "eth0")]);
    // The same tap of the same VM, in another process: it was started again, or came back from elsewhere.
    assert_eq!(slots(&targets.next(&[vm("a", 30, &[5])])), [(0, "tap5"), (1, "eth0")]);
    // The same tap of another VM.
    assert_eq!(slots(&targets.next(&[vm("c", 40, &[5])])), [(2, "tap5"), (1, "eth0")]);
    targets.forget();
    assert_eq!(slots(&targets.next(&[vm("b", 20, &[6])])), [(0, "tap6"), (1, "eth0")]);
}

#[test]
fn what_there_is_no_slot_for_is_left_out_and_said_so() {
    let many: Vec<u32> = (10..10 + 254).collect();
    let full = Targets::of(&[vm("a", 10, &many)]).unwrap();
    assert_eq!(full.free_slots(), 0);
    let next = full.next(&[vm("a", 10, &many), vm("b", 20, &[1000])]);
    assert_eq!((next.devices.len(), next.left_out.len()), (255, 1));
    assert!(next.left_out[0].contains("tap1000 of VM b"), "{:?}", next.left_out);
    let error = Targets::of(&[vm("a", 10, &many), vm("b", 20, &[1000])]).unwrap_err().to_string();
    assert!(error.contains("--vm"), "{error}");
    // A moment later there is room.
    let mut without = next.next(&[vm("b", 20, &[1000])]);
    without.forget();
    assert!(without.next(&[vm("b", 20, &[1000])]).left_out.is_empty());
}

#[test]
fn the_difference_is_what_the_maps_lack_and_have_too_much() {
    let first = Targets::of(&[vm("a", 10, &[5])]).unwrap();
    assert!(first.difference(&first.next(&[vm("a", 10, &[5])])).is_empty());
    let second = first.next(&[vm("b", 20, &[6])]);
    let change = first.difference(&second);
    let tap = |index, slot| (device_key(1, index), device_value(slot, Role::Tap));
    assert_eq!(change.devices, MapChange { set: vec![tap(6, 2)], gone: vec![device_key(1, 5)] });
    assert_eq!((change.new_vcpus(), change.threads.gone), (vec![21], vec![11]));
    assert_eq!(change.processes, MapChange { set: vec![(20, 1)], gone: vec![10] });
    assert_eq!(change.tap_fds, MapChange { set: vec![(fd_key(20, 6), 2)], gone: vec![fd_key(10, 5)] });
    // The NIC and its interrupt are where they were.
    assert_eq!(change.irqs, MapChange::default());
    let all = Targets::default().difference(&second);
    assert_eq!((all.devices.set.len(), all.devices.gone.len()), (2, 0));
}

#[test]
fn nothing_is_known_of_a_thread_that_has_another_ones_number() {
    let first = Targets::of(&[vm("a", 10, &[5]), vm("c", 30, &[7])]).unwrap();
    let again = Vm { threads: vm("a", 10, &[]).threads, ..vm("b", 20, &[6]) };
    let change = first.difference(&first.next(&[again, vm("c", 30, &[7])]));
    assert_eq!((change.stale_threads(), change.threads.gone), (vec![11], vec![]));
}

#[test]
fn one_that_is_two_things_is_written_as_the_last() {
    let change = MapChange::between(&[(1, 1), (2, 2)], &[(1, 3), (1, 1), (3, 3)]);
    assert_eq!(change, MapChange { set: vec![(3, 3)], gone: vec![2] });
}
