//! The tree of made-up topologies.

use super::*;
use crate::topology::{DeviceRef, Switch};

fn device(name: &str, kind: DeviceKind) -> Device {
    Device {
        name: name.into(),
        ifindex: 2,
        netns: 1,
        netns_name: Some("vmhop-lab-host".into()),
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

fn lab() -> Vm {
    let far = DeviceRef {
        name: Some("eth0".into()),
        ifindex: 2,
        netns: Some(2),
        netns_name: Some("vmhop-lab-peer".into()),
    };
    let nic = Device { far_end: Some(Box::new(far)), ..device("nic0", DeviceKind::Veth) };
    let switch = Some(Switch { kind: SwitchKind::Bridge, device: device("br0", DeviceKind::Bridge) });
    let tap =
        Tap { device: device("tap0", DeviceKind::Tap), fds: vec![9], switch, routed: false, nics: vec![nic] };
    let thread = |tid, name: &str, role| Thread { tid, name: name.into(), role };
    let threads = vec![
        thread(4242, "qemu-system-x86", ThreadRole::Io),
        thread(4243, "call_rcu", ThreadRole::Other),
        thread(4245, "CPU 1/KVM", ThreadRole::Vcpu(1)),
        thread(4244, "CPU 0/KVM", ThreadRole::Vcpu(0)),
        thread(4250, "vhost-4242", ThreadRole::Vhost),
    ];
    Vm { name: "lab".into(), vmm: Vmm::Qemu, pid: 4242, start_time: 1, threads, taps: vec![tap], kvm: true }
}

fn tree(vms: Vec<Vm>) -> String {
    let mut out = Vec::new();
    write_tree(&Topology { vms }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_bridged_vm_shows_its_threads_and_path() {
    insta::assert_snapshot!(tree(vec![lab()]), @r"
    lab  qemu, PID 4242, KVM
    ├─ threads  vCPU   4244 CPU 0, 4245 CPU 1
    │           I/O    4242 qemu-system-x86
    │           vhost  4250 vhost-4242
    │           other  1
    └─ path     tap0 (ns vmhop-lab-host) → bridge br0 → nic0 (veth, far end eth0 in vmhop-lab-peer)
    ");
}

#[test]
fn the_datapath_of_open_vswitch_is_never_up_and_passes_all() {
    let mut vm = lab();
    vm.threads.clear();
    let datapath = Device { up: false, ..device("ovs-system", DeviceKind::Ovs) };
    vm.taps[0].switch = Some(Switch { kind: SwitchKind::Ovs, device: datapath });
    insta::assert_snapshot!(tree(vec![vm]), @r"
    lab  qemu, PID 4242, KVM
    └─ path     tap0 (ns vmhop-lab-host) → ovs ovs-system → nic0 (veth, far end eth0 in vmhop-lab-peer)
    ");
}

#[test]
fn what_lies_on_top_of_a_nic_is_on_the_way_to_it() {
    let mut vm = lab();
    vm.threads.clear();
    let vxlan = device("vx0", DeviceKind::Vxlan);
    let vlan = Device { up: false, ..device("nic0.100", DeviceKind::Vlan) };
    let nics = &mut vm.taps[0].nics;
    nics.push(device("eth1", DeviceKind::Veth));
    nics[0].via = vec![vxlan, vlan];
    nics[1].via = vec![device("gre1", DeviceKind::Other("gretap".into()))];
    insta::assert_snapshot!(tree(vec![vm]), @r"
    lab  qemu, PID 4242, KVM
    └─ path     tap0 (ns vmhop-lab-host) → bridge br0 ┬→ vxlan vx0 → vlan nic0.100 [down] → nic0 (veth, far end eth0 in vmhop-lab-peer)
                                                      └→ gretap gre1 → eth1 (veth)
    ");
}

#[test]
fn several_taps_and_nics_branch() {
    let mut vm = lab();
    vm.kvm = false;
    vm.threads.clear();
    let eth = Device {
        driver: Some("virtio_net".into()),
        irqs: vec![38, 39],
        up: false,
        ..device("eth0", DeviceKind::Physical)
    };
    let bridged = &mut vm.taps[0];
    bridged.device.queues = 2;
    bridged.nics.extend([eth.clone(), device("bond0", DeviceKind::Bond)]);
    let mut routed = bridged.clone();
    routed.device.netns_name = None;
    routed.nics.truncate(2);
    routed.nics.remove(0);
    routed.routed = true;
    let alone = Tap { switch: None, routed: false, nics: vec![], ..routed.clone() };
    let mut macvtap = alone.clone();
    macvtap.device = device("macvtap0", DeviceKind::Macvtap);
    macvtap.switch = Some(Switch { kind: SwitchKind::Macvtap, device: eth.clone() });
    macvtap.nics = vec![Device { netns: 7, netns_name: None, ..eth }];
    let host_only = Tap { routed: false, nics: vec![], ..routed.clone() };
    vm.taps.extend([routed, host_only, alone, macvtap]);
    insta::assert_snapshot!(tree(vec![vm, lab()]), @r"
    lab  qemu, PID 4242, emulated
    ├─ path     tap0 (ns vmhop-lab-host, 2 queues) → bridge br0 ┬→ nic0 (veth, far end eth0 in vmhop-lab-peer)
    │                                                           ├→ eth0 [down] (virtio_net, 2 IRQs)
    │                                                           └→ bond0 (bond)
    ├─ path     tap0 (ns net:[1], 2 queues) → bridge br0 → routed → eth0 [down] (virtio_net, 2 IRQs)
    ├─ path     tap0 (ns net:[1], 2 queues) → bridge br0 → the host itself: no NIC behind it and no default route
    ├─ path     tap0 (ns net:[1], 2 queues) → nothing: no NIC behind it and no default route
    └─ path     macvtap0 (macvtap, ns vmhop-lab-host) → eth0 [down] (virtio_net, ns net:[7], 2 IRQs)

    lab  qemu, PID 4242, KVM
    ├─ threads  vCPU   4244 CPU 0, 4245 CPU 1
    │           I/O    4242 qemu-system-x86
    │           vhost  4250 vhost-4242
    │           other  1
    └─ path     tap0 (ns vmhop-lab-host) → bridge br0 → nic0 (veth, far end eth0 in vmhop-lab-peer)
    ");
}

#[test]
fn names_from_the_host_cannot_move_the_cursor() {
    let mut vm = lab();
    vm.name = "x\u{1b}[2J\u{202e}y".into();
    assert!(tree(vec![vm]).starts_with("x\\u{1b}[2J\\u{202e}y  qemu"));
}

#[test]
fn no_vm_says_what_to_do() {
    insta::assert_snapshot!(tree(vec![]), @r"
    No VM found: no process holds a tap.
    Start a VM with a tap, or the lab with `vmhop lab up`.
    ");
}
