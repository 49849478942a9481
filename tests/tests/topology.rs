//! Discovery on this kernel: namespaces, taps and links made for the test, found by the library.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{fs::OpenOptions, os::fd::OwnedFd, process::Command};

use tests::host::{Holder, Netns, able, eventually, run, unique};
use tracer::topology::{
    Device, DeviceKind, Gone, Namespace, SelectError, SwitchKind, Tap, ThreadRole, Topology, Vm, Vmm, Watch,
    device,
};

const MULTI: libc::c_int = libc::IFF_TAP | libc::IFF_MULTI_QUEUE;

fn discovered(vm: &str) -> Vm {
    Topology::discover().unwrap().find(vm).unwrap().clone()
}

fn names(devices: &[Device]) -> Vec<&str> {
    devices.iter().map(|device| device.name.as_str()).collect()
}

/// A bridge with a two-queue tap and a veth to a second namespace.
struct Lab {
    vm: Holder,
    name: String,
    host: Netns,
    peer: Netns,
}

fn lab() -> Lab {
    let (host, peer, name) = (Netns::new("host"), Netns::new("peer"), unique("vm"));
    host.ip("link add br0 type bridge");
    host.ip("link set br0 up");
    host.veth("nic0", &peer, "eth0");
    host.ip("link set nic0 master br0");
    let (first, second) = (host.tun("tap0", MULTI), host.tun("tap0", MULTI));
    host.ip("link set tap0 master br0 up");
    // The VMM itself runs in the machine's namespace: the tap's is known by its descriptor only.
    let vm = Holder::qemu(&name, first, Some(second));
    Lab { vm, name, host, peer }
}

#[test]
fn a_bridged_vm_has_its_whole_path() {
    if !able() {
        return;
    }
    let lab = lab();
    let vm = discovered(&lab.name);
    assert_eq!((&vm.vmm, vm.pid, vm.kvm), (&Vmm::Qemu, lab.vm.pid(), false));
    assert!(vm.threads.iter().any(|thread| thread.tid == vm.pid && thread.role == ThreadRole::Io));
    let [Tap { device: tap, fds, switch, routed, nics }] = &vm.taps[..] else { panic!("{vm:#?}") };
    assert_eq!((tap.name.as_str(), &tap.kind, tap.netns), ("tap0", &DeviceKind::Tap, lab.host.inode()));
    assert_eq!(tap.netns_name.as_ref(), Some(&lab.host.name));
    assert_eq!((fds.as_slice(), tap.queues, tap.up, *routed), ([1, 2].as_slice(), 2, true, false));
    let switch = switch.as_ref().unwrap();
    assert_eq!((switch.kind, switch.device.name.as_str()), (SwitchKind::Bridge, "br0"));
    assert_eq!(names(nics), ["nic0"]);
    assert_eq!(nics[0].kind, DeviceKind::Veth);
    let far = nics[0].far_end.as_ref().unwrap();
    assert_eq!((far.name.as_deref(), far.netns), (Some("eth0"), Some(lab.peer.inode())));
    assert_eq!(far.netns_name.as_ref(), Some(&lab.peer.name));
    // The far end sees the near one, and `ip` gives the same index and address.
    let eth0 = device(Namespace::Named(&lab.peer.name), "eth0").unwrap();
    assert_eq!((eth0.ifindex, eth0.far_end.as_ref().unwrap().ifindex), (far.ifindex, nics[0].ifindex));
    let shown = lab.peer.ip("-o link show eth0");
    assert!(shown.starts_with(&format!("{}: eth0", eth0.ifindex)), "{shown}");
    assert!(shown.contains(eth0.mac.as_ref().unwrap()), "{shown}");
}

#[test]
fn a_selector_is_a_name_a_pid_or_a_tap() {
    if !able() {
        return;
    }
    let (a, b, tap) = (Netns::new("a"), Netns::new("b"), format!("t{}", std::process::id()));
    let vms = [unique("vm"), unique("vm")];
    let holders = [
        Holder::qemu(&vms[0], a.tun(&tap, libc::IFF_TAP), Some(a.tun("lone0", libc::IFF_TAP))),
        Holder::qemu(&vms[1], b.tun(&tap, libc::IFF_TAP), None),
    ];
    let topology = Topology::discover().unwrap();
    let first = topology.find(&vms[0]).unwrap();
    assert_eq!(first.taps.len(), 2, "one process with several taps is one VM");
    assert!(first.taps.iter().all(|tap| tap.switch.is_none() && tap.nics.is_empty()));
    assert_eq!(topology.find(&holders[1].pid().to_string()).unwrap().name, vms[1]);
    let ambiguous = topology.find(&tap).unwrap_err();
    assert!(matches!(&ambiguous, SelectError::Ambiguous { candidates, .. } if candidates.len() == 2));
    let text = ambiguous.to_string();
    assert!(text.ends_with("; use the PID") && text.contains(&a.name) && text.contains(&b.name), "{text}");
    let text = topology.find("no-such-vm").unwrap_err().to_string();
    assert!(
        text.contains("no-such-vm") && text.contains(&vms[0]) && text.contains("vmhop topology"),
        "{text}"
    );
}

#[test]
fn without_a_nic_on_the_bridge_the_default_route_leads_on() {
    if !able() {
        return;
    }
    let (host, peer, name) = (Netns::new("host"), Netns::new("peer"), unique("vm"));
    host.veth("up0", &peer, "eth0");
    host.ip("addr add 192.0.2.1/24 dev up0");
    host.ip("route add default via 192.0.2.254 dev up0");
    host.ip("link add virbr0 type bridge");
    let fds = (host.tun("bare0", libc::IFF_TAP), host.tun("nat0", libc::IFF_TAP));
    host.ip("link set nat0 master virbr0");
    let _vm = Holder::qemu(&name, fds.0, Some(fds.1));
    let vm = discovered(&name);
    let tap = |name: &str| vm.taps.iter().find(|tap| tap.device.name == name).unwrap();
    let switch = |tap: &Tap| tap.switch.as_ref().map(|switch| (switch.kind, switch.device.name.clone()));
    assert_eq!(switch(tap("bare0")), Some((SwitchKind::Route, "bare0".to_owned())));
    assert_eq!(switch(tap("nat0")), Some((SwitchKind::Bridge, "virbr0".to_owned())));
    for tap in [tap("bare0"), tap("nat0")] {
        assert_eq!((tap.routed, names(&tap.nics)), (true, vec!["up0"]));
    }
}

#[test]
fn a_macvtap_lies_on_its_lower_device() {
    if !able() {
        return;
    }
    let (host, peer, name) = (Netns::new("host"), Netns::new("peer"), unique("vm"));
    host.veth("low0", &peer, "eth0");
    host.ip("link add link low0 name mvt0 type macvtap mode bridge");
    let index = device(Namespace::Named(&host.name), "mvt0").unwrap().ifindex;
    let number =
        run(&format!("ip netns exec {} cat /sys/class/net/mvt0/tap{index}/dev", host.name)).replace(':', " ");
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join(format!("tap{index}"));
    run(&format!("mknod {} c {number}", node.display()));
    let fd: OwnedFd = OpenOptions::new().read(true).write(true).open(&node).unwrap().into();
    let _vm = Holder::qemu(&name, fd, None);
    let vm = discovered(&name);
    let [tap] = &vm.taps[..] else { panic!("{vm:#?}") };
    assert_eq!((tap.device.name.as_str(), &tap.device.kind), ("mvt0", &DeviceKind::Macvtap));
    assert_eq!(tap.switch.as_ref().unwrap().kind, SwitchKind::Macvtap);
    assert_eq!((tap.device.netns, names(&tap.nics)), (host.inode(), vec!["low0"]));
}

#[test]
fn a_tun_of_a_vpn_is_no_tap_and_any_other_holder_is_a_vm() {
    if !able() {
        return;
    }
    let host = Netns::new("host");
    let vpn = Holder::new("vpnd", &[], host.tun("tun0", libc::IFF_TUN), None);
    let other = Holder::new("othervmm", &[], host.tun("tap0", libc::IFF_TAP), None);
    let topology = Topology::discover().unwrap();
    assert!(topology.find(&vpn.pid().to_string()).is_err());
    let vm = topology.find(&format!("othervmm-{}", other.pid())).unwrap();
    assert_eq!(vm.vmm, Vmm::Other("othervmm".to_owned()));
}

#[test]
fn a_tap_shared_with_a_helper_is_the_vmms() {
    if !able() {
        return;
    }
    let (host, name) = (Netns::new("host"), unique("vm"));
    let fd = host.tun("tap0", libc::IFF_TAP);
    let helper = Holder::new("helper", &[], fd.try_clone().unwrap(), None);
    let _vm = Holder::qemu(&name, fd, None);
    let topology = Topology::discover().unwrap();
    assert!(topology.find(&helper.pid().to_string()).is_err());
    assert_eq!(topology.find(&name).unwrap().taps.len(), 1);
}

#[test]
fn a_watch_tells_each_loss_once() {
    if !able() {
        return;
    }
    let mut lab = lab();
    let vm = discovered(&lab.name);
    let tap = &vm.taps[0];
    let eth0 = device(Namespace::Inode(lab.peer.inode()), "eth0").unwrap();
    let path = [tap.device.clone(), tap.switch.clone().unwrap().device, tap.nics[0].clone(), eth0];
    let mut watch = Watch::new(&vm, &path).unwrap();
    assert_eq!(watch.gone(), []);

    lab.host.ip("link del nic0");
    lab.host.ip("link add nic0 type bridge");
    let mut gone: Vec<String> = watch.gone().iter().map(Gone::to_string).collect();
    gone.sort();
    let vm = &lab.name;
    let expected = [
        format!("veth eth0 of VM {vm} went away"),
        format!("veth nic0 of VM {vm} was replaced by another device"),
    ];
    assert_eq!(gone, expected);
    assert_eq!(watch.gone(), []);

    // A zombie runs no guest; its tap goes with its descriptors.
    lab.vm.kill();
    let mut gone = Vec::new();
    eventually("the VMM and its tap are gone", || {
        gone.extend(watch.gone().iter().map(Gone::to_string));
        (gone.len() == 2).then_some(())
    });
    gone.sort();
    assert_eq!(
        gone,
        [
            format!("tap tap0 of VM {vm} went away"),
            format!("the VMM of VM {vm} (PID {}) ended", lab.vm.pid())
        ]
    );
    assert_eq!(watch.gone(), []);
}

#[test]
fn a_watch_does_not_keep_a_namespace_alive() {
    if !able() {
        return;
    }
    let lab = lab();
    let vm = discovered(&lab.name);
    let eth0 = device(Namespace::Named(&lab.peer.name), "eth0").unwrap();
    let mut watch = Watch::new(&vm, &[vm.taps[0].nics[0].clone(), eth0]).unwrap();
    assert_eq!(watch.gone(), []);
    run(&format!("ip netns del {}", lab.peer.name));
    let mut gone = 0;
    eventually("both ends of the veth are gone", || {
        gone += watch.gone().len();
        (gone == 2).then_some(())
    });
    // The VMM lives on.
    assert_eq!(watch.gone(), []);
}

#[test]
fn an_ordinary_user_is_told_to_become_root() {
    if !able() {
        return;
    }
    let work = || {
        // SAFETY: the raw system call, unlike libc's function, changes this thread alone, which ends with it.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        assert_eq!(result, 0);
        Topology::discover().unwrap_err().to_string()
    };
    let error = std::thread::spawn(work).join().unwrap();
    assert!(error.contains("CAP_SYS_PTRACE") && error.contains("as root"), "{error}");
}

#[test]
fn a_real_qemu_shows_its_threads() {
    if !able() {
        return;
    }
    if !std::path::Path::new("/usr/bin/qemu-system-x86_64").exists() {
        eprintln!("skipped: there is no qemu-system-x86_64");
        return;
    }
    let (host, name) = (Netns::new("host"), unique("vm"));
    host.ip("tuntap add q0 mode tap");
    // Stopped before its first instruction (-S): the threads are there, and nothing runs.
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &host.name, "qemu-system-x86_64", "-S", "-display", "none", "-nodefaults"])
        .args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "64", "-object", "iothread,id=io0"])
        .args(["-name", &format!("guest={name},debug-threads=on")])
        .args([
            "-netdev",
            "tap,id=n,ifname=q0,script=no,downscript=no",
            "-device",
            "virtio-net-pci,netdev=n",
        ]);
    let qemu = Holder::command(&mut command);
    let vm = eventually("QEMU holds its tap and runs its vCPUs", || {
        let topology = Topology::discover().unwrap();
        let vm = topology.find(&name).ok()?.clone();
        let vcpus = vm.threads.iter().filter(|thread| matches!(thread.role, ThreadRole::Vcpu(_))).count();
        (vcpus == 2).then_some(vm)
    });
    assert_eq!((&vm.vmm, vm.pid), (&Vmm::Qemu, qemu.pid()));
    assert_eq!(vm.taps[0].device.name, "q0");
    let io: Vec<_> =
        vm.threads.iter().filter(|t| t.role == ThreadRole::Io).map(|t| t.name.as_str()).collect();
    assert!(io.contains(&"IO io0") && io.len() == 2, "{io:?}");
}
