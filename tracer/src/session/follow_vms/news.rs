//! From the VMs a moment ago and now to what came and went, in words and as a recording notes it. Pure.

use crate::{
    recording::{Came, DeviceSlot},
    topology::{Tap, Vm},
};

/// Sentences on what came and went.
pub(super) fn words(before: &[Vm], now: &[Vm]) -> Vec<String> {
    let same = |one: &Vm, other: &Vm| (one.pid, one.start_time) == (other.pid, other.start_time);
    let mut words = Vec::new();
    for vm in before.iter().filter(|vm| !now.iter().any(|other| same(vm, other))) {
        words.push(format!("VM {} (PID {}) went away", vm.name, vm.pid));
    }
    for vm in now {
        match before.iter().find(|other| same(vm, other)) {
            None => words.push(format!("VM {} (PID {}) came, with {}", vm.name, vm.pid, taps(&vm.taps))),
            Some(before) => words.extend(of_taps(before, vm)),
        }
    }
    words
}

fn of_taps(before: &Vm, now: &Vm) -> Vec<String> {
    let same = |one: &Tap, other: &Tap| {
        (one.device.netns, one.device.ifindex) == (other.device.netns, other.device.ifindex)
    };
    let lacks = |vm: &Vm, tap: &Tap| !vm.taps.iter().any(|other| same(tap, other));
    let gone = before.taps.iter().filter(|tap| lacks(now, tap));
    let came = now.taps.iter().filter(|tap| lacks(before, tap));
    let gone = gone.map(|tap| format!("{} of VM {} went away", taps(std::slice::from_ref(tap)), now.name));
    gone.chain(came.map(|tap| format!("{} of VM {} came", taps(std::slice::from_ref(tap)), now.name)))
        .collect()
}

fn taps(taps: &[Tap]) -> String {
    let one = |tap: &Tap| format!("{} {} in {}", tap.device.kind, tap.device.name, tap.device.netns_label());
    taps.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What a recording has to know from now on.
pub(super) fn came(before: &[Vm], now: &[Vm], known: &[DeviceSlot], slots: Vec<DeviceSlot>) -> Came {
    Came {
        vms: now.iter().filter(|vm| !before.contains(vm)).cloned().collect(),
        devices: slots
            .into_iter()
            .filter(|entry| known.iter().all(|other| other.slot != entry.slot))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Device, DeviceKind, Vmm};

    fn vm(name: &str, pid: i32, taps: &[u32]) -> Vm {
        let device = |&ifindex: &u32| Device {
            name: format!("tap{ifindex}"),
            ifindex,
            netns: 1,
            netns_name: Some("host".to_owned()),
            kind: DeviceKind::Tap,
            driver: None,
            mac: None,
            mtu: 1500,
            up: true,
            far_end: None,
            irqs: Vec::new(),
            queues: 1,
            via: Vec::new(),
        };
        let tap = |index: &u32| {
            let (device, fds, nics) = (device(index), vec![3], Vec::new());
            Tap { device, fds, switch: None, routed: false, nics }
        };
        let (threads, taps) = (Vec::new(), taps.iter().map(tap).collect());
        Vm { name: name.to_owned(), vmm: Vmm::Qemu, pid, start_time: 1, threads, taps, kvm: false }
    }

    #[test]
    fn what_came_and_went_is_told() {
        let (before, now) = ([vm("a", 1, &[5]), vm("b", 2, &[6])], [vm("a", 1, &[7]), vm("b", 3, &[6])]);
        let expected = [
            "VM b (PID 2) went away",
            "tap tap5 in host of VM a went away",
            "tap tap7 in host of VM a came",
            "VM b (PID 3) came, with tap tap6 in host",
        ];
        assert_eq!(words(&before, &now), expected);
        assert!(words(&now, &now).is_empty());
    }

    #[test]
    fn what_did_not_change_is_not_noted() {
        let (before, now) = ([vm("a", 1, &[5])], [vm("a", 1, &[5]), vm("b", 3, &[6])]);
        let slot = |slot, vm: &Vm| {
            let device = vm.taps[0].device.clone();
            DeviceSlot { slot, role: "tap".to_owned(), vm: vm.name.clone(), device }
        };
        let known = [slot(0, &now[0])];
        let came = came(&before, &now, &known, vec![slot(0, &now[0]), slot(1, &now[1])]);
        assert_eq!((came.vms, came.devices), (vec![now[1].clone()], vec![slot(1, &now[1])]));
    }
}
