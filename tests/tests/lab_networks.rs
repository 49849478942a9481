//! The kinds of network that a lab can have: guests and peer reach each other, the topology is what was asked for,
//! and nothing is left.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::{fs, process::Command};

use tests::{
    host::Netns,
    lab::{TestLab, root_or_skip},
    vmhop,
};
use tracer::topology::{SwitchKind, Tap, Topology};

const PEER: [&str; 2] = ["192.0.2.3", "2001:db8::3"];

/// Takes a lab down and looks for what it may have left.
fn down(lab: &TestLab) {
    assert_eq!(lab.status().unwrap()["state"], "up");
    assert_eq!(lab.run(&["down"]).unwrap().code, Some(0));
    assert_nothing_left(lab);
}

fn assert_nothing_left(lab: &TestLab) {
    for side in ["host", "peer"] {
        assert!(!fs::exists(format!("/run/netns/vmhop-{}-{side}", lab.name())).unwrap(), "{side}");
    }
    let folder = format!("/run/vmhop/lab-{}", lab.name());
    assert!(!fs::exists(&folder).unwrap());
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let ours = line.contains(&format!("{}/", folder)) || line.contains(&format!("guest={}", lab.vm()));
        assert!(!ours, "{line} still runs");
    }
}

fn ping(lab: &TestLab, place: &str, target: &str) {
    let done = lab.exec(place, &["ping", "-c", "2", "-i", "0.2", "-W", "5", target]).unwrap();
    assert_eq!(done.code, Some(0), "{place} to {target}: {done:?}");
}

/// Pings between the peer and each guest, both ways.
fn all_ping(lab: &TestLab) {
    let status = lab.status().unwrap();
    for guest in status["guests"].as_array().unwrap() {
        let place = guest["place"].as_str().unwrap();
        for target in status["addresses"][place].as_array().unwrap() {
            ping(lab, "peer", target.as_str().unwrap());
        }
        PEER.iter().for_each(|target| ping(lab, place, target));
    }
}

/// The tap of the VM of this name, as the topology shows it.
fn tap(vm: &str) -> Tap {
    let topology = Topology::discover().unwrap();
    let [tap] = &topology.find(vm).unwrap().taps[..] else { panic!("{topology:#?}") };
    tap.clone()
}

/// How the path goes on behind the tap: the switch, whether frames are routed, the NICs. All far ends are the peer's.
fn path(tap: &Tap) -> (Option<(SwitchKind, &str)>, bool, Vec<&str>) {
    let far_ends = tap.nics.iter().map(|nic| nic.far_end.as_ref().and_then(|far| far.name.as_deref()));
    assert!(far_ends.into_iter().all(|far| far == Some("eth0")), "{tap:#?}");
    let switch = tap.switch.as_ref().map(|switch| (switch.kind, switch.device.name.as_str()));
    (switch, tap.routed, tap.nics.iter().map(|nic| nic.name.as_str()).collect())
}

#[test]
fn behind_nat_the_peer_sees_the_hosts_address() {
    if !root_or_skip("behind_nat_the_peer_sees_the_hosts_address") {
        return;
    }
    let forwards = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let before = forwards();
    let lab = TestLab::up_with(&["--network", "nat"]).unwrap();
    all_ping(&lab);
    let tap = tap(&lab.vm());
    let expected = (Some((SwitchKind::Bridge, "br0")), true, vec!["nic0"]);
    assert_eq!(path(&tap), expected);
    // Without a way to the guests' network the peer can still answer what comes from the host's address.
    let route = ["ip", "route", "del", "198.51.100.0/24"];
    assert_eq!(lab.exec("peer", &route).unwrap().code, Some(0));
    ping(&lab, "guest", PEER[0]);
    // The peer reaches the guest's server by the host's address alone.
    let fetch = ["busybox", "wget", "-q", "-O", "-", "http://192.0.2.1:8080/hello"];
    assert_eq!(lab.exec("peer", &fetch).unwrap().text(), "hello from the vmhop lab\n");
    assert_eq!(forwards(), before, "the machine itself forwards now");
    down(&lab);
}

#[test]
fn host_only_guests_reach_each_other_and_the_host_and_nobody_else() {
    if !root_or_skip("host_only_guests_reach_each_other_and_the_host_and_nobody_else") {
        return;
    }
    let lab = TestLab::up_with(&["--network", "host-only", "--guests", "2"]).unwrap();
    for (place, target) in [
        ("guest", "198.51.100.4"),
        ("guest2", "2001:db8:1::2"),
        ("guest", "198.51.100.1"),
        ("host", "2001:db8:1::4"),
        ("host", PEER[0]),
        ("peer", "192.0.2.1"),
    ] {
        ping(&lab, place, target);
    }
    // Not even with a route to it: the host forwards nothing.
    let route = ["ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1"];
    assert_eq!(lab.exec("peer", &route).unwrap().code, Some(0));
    for (place, target) in [("peer", "198.51.100.2"), ("guest", PEER[0])] {
        let done = lab.exec(place, &["ping", "-c", "1", "-W", "1", target]).unwrap();
        assert_ne!(done.code, Some(0), "{place} to {target}: {done:?}");
    }
    let tap = tap(&lab.vm());
    assert_eq!(path(&tap), (Some((SwitchKind::Bridge, "br0")), false, vec![]));
    for (place, target, asked_by) in [
        ("host", "198.51.100.2", "host"),
        ("guest", "198.51.100.1", "guest to host"),
        ("guest2", "198.51.100.2", "guest to guest"),
    ] {
        let report = record(&lab, place, target);
        assert!(report.contains(&format!("echo, asked by {asked_by}: 5 exchanges")), "{report}");
    }
    down(&lab);
}

/// Records five pings on the taps of two guests and gives the report.
fn record(lab: &TestLab, place: &str, target: &str) -> String {
    let (vm, binary) = (lab.vm(), vmhop::binary());
    let line = ["lab", "exec", "--name", lab.name(), place, "--", "ping", "-c", "5", "-i", "0.2", target];
    let recording = std::env::temp_dir().join(format!("{vm}.vmhop"));
    let mut command = Command::new(binary);
    command.args(["record", "--vm", &vm, "--vm", &format!("{vm}-2"), "-o"]).arg(&recording);
    let output = command.arg("--").arg(binary).args(line).output().unwrap();
    let _ = fs::remove_file(&recording);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn routed_guests_reach_each_other_through_the_host() {
    if !root_or_skip("routed_guests_reach_each_other_through_the_host") {
        return;
    }
    let lab = TestLab::up_with(&["--network", "routed", "--guests", "2"]).unwrap();
    all_ping(&lab);
    ping(&lab, "guest", "198.51.100.4");
    ping(&lab, "guest2", "2001:db8:1::2");
    // Each sits on a tap of its own.
    for (vm, device) in [(lab.vm(), "tap0"), (lab.vm() + "-2", "tap1")] {
        let tap = tap(&vm);
        assert_eq!(tap.device.name, device);
        let expected = (Some((SwitchKind::Route, device)), true, vec!["nic0"]);
        assert_eq!(path(&tap), expected);
    }
    let done = lab.exec("guest3", &["true"]).unwrap();
    assert!(done.code == Some(1) && done.stderr.contains("--guests"), "{done:?}");
    down(&lab);
}

#[test]
fn guests_on_one_bridge_use_as_many_queues_as_processors() {
    if !root_or_skip("guests_on_one_bridge_use_as_many_queues_as_processors") {
        return;
    }
    let lab = TestLab::up_with(&["--guests", "2", "--queues", "3", "--cpus", "2"]).unwrap();
    all_ping(&lab);
    ping(&lab, "guest2", "192.0.2.2");
    let tap = tap(&(lab.vm() + "-2"));
    assert_eq!((tap.fds.len(), tap.device.queues), (3, 3));
    assert_eq!(path(&tap), (Some((SwitchKind::Bridge, "br0")), false, vec!["nic0"]));
    let queues = lab.exec("guest", &["ls", "/sys/class/net/eth0/queues"]).unwrap().text();
    assert_eq!(queues.split_whitespace().collect::<Vec<_>>(), ["rx-0", "rx-1", "tx-0", "tx-1"]);
    // Another lab than the one that is up is not made by the way.
    let other = lab.run(&["up", "--network", "nat"]).unwrap();
    assert!(other.code == Some(1) && other.stderr.contains("--guests 2"), "{other:?}");
    let same = lab.run(&["up", "--guests", "2", "--queues", "3", "--cpus", "2"]).unwrap();
    assert!(same.code == Some(0) && same.text().contains("guest2  192.0.2.4"), "{same:?}");
    down(&lab);
}

#[test]
fn a_lent_cable_comes_back() {
    if !root_or_skip("a_lent_cable_comes_back") {
        return;
    }
    // A machine of its own, as far as devices go.
    let machine = Netns::new("machine");
    machine.ip("link add left0 type veth peer name right0");
    let lab = TestLab::new();
    let run = |words: &[&str]| machine.inside(|| lab.run(words).unwrap());
    for (pair, reason) in [("left0,nosuch0", "there is no device nosuch0"), ("left0,lo", "lo of its own")] {
        let refused = run(&["up", "--wire", pair]);
        assert!(refused.stderr.contains(reason), "{refused:?}");
        assert_nothing_left(&lab);
    }
    machine.ip("addr add 192.0.2.77/24 dev left0");
    let used = run(&["up", "--wire", "left0,right0"]);
    assert!(used.stderr.contains("ip addr flush dev left0"), "{used:?}");
    machine.ip("addr flush dev left0");

    let options = ["up", "--network", "macvtap", "--queues", "2", "--cpus", "2", "--wire", "left0,right0"];
    let up = run(&options);
    assert_eq!(up.code, Some(0), "{up:?}");
    all_ping(&lab);
    let tap = tap(&lab.vm());
    assert_eq!((tap.fds.len(), tap.device.queues), (2, 2));
    let switch = tap.switch.as_ref().unwrap();
    assert_eq!((switch.kind, switch.device.name.as_str(), tap.routed), (SwitchKind::Macvtap, "left0", false));
    let [nic] = &tap.nics[..] else { panic!("{tap:#?}") };
    let far = nic.far_end.as_ref().unwrap();
    assert_eq!((nic.name.as_str(), far.name.as_deref()), ("left0", Some("right0")));
    assert_eq!(far.netns_name, Some(format!("vmhop-{}-peer", lab.name())));

    assert_eq!(run(&["down"]).code, Some(0));
    assert_nothing_left(&lab);
    let devices = machine.ip("-br link");
    assert!(devices.contains("left0@right0") && devices.contains("right0@left0"), "{devices}");
}

/// The devices between the bridge and the NIC.
fn uppers(tap: &Tap) -> Vec<&str> {
    tap.nics[0].via.iter().map(|upper| upper.name.as_str()).collect()
}

#[test]
fn a_tunnel_lies_on_the_nic_and_takes_whole_frames() {
    if !root_or_skip("a_tunnel_lies_on_the_nic_and_takes_whole_frames") {
        return;
    }
    let lab = TestLab::up_with(&["--network", "vxlan", "--guests", "2"]).unwrap();
    all_ping(&lab);
    ping(&lab, "guest", "192.0.2.4");
    let whole = lab.exec("peer", &["ping", "-c", "1", "-M", "do", "-s", "1472", "192.0.2.2"]).unwrap();
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let tap = tap(&lab.vm());
    assert_eq!(path(&tap), (Some((SwitchKind::Bridge, "br0")), false, vec!["nic0"]));
    assert_eq!(uppers(&tap), ["vx0"]);
    down(&lab);
}

#[test]
#[ignore = "needs a kernel with VLANs: run it in a VM, with --ignored"]
fn a_vlan_lies_on_the_nic() {
    let lab = TestLab::up_with(&["--network", "vlan"]).unwrap();
    all_ping(&lab);
    let tap = tap(&lab.vm());
    assert_eq!(path(&tap), (Some((SwitchKind::Bridge, "br0")), false, vec!["nic0"]));
    assert_eq!(uppers(&tap), ["nic0.100"]);
    down(&lab);
}

#[test]
fn a_network_that_the_kernel_has_not_is_refused_with_the_modules_name() {
    if !root_or_skip("a_network_that_the_kernel_has_not") {
        return;
    }
    let machine = Netns::new("machine");
    machine.ip("link add left0 type veth peer name right0");
    let vlans = machine.inside(|| {
        let mut words = Command::new("ip");
        words.args(["link", "add", "link", "left0", "name", "v0", "type", "vlan", "id", "5"]);
        words.output().unwrap().status.success()
    });
    let lab = TestLab::new();
    let up = lab.run(&["up", "--network", "vlan"]).unwrap();
    assert_eq!(up.code == Some(0), vlans, "{up:?}");
    if !vlans {
        assert!(up.stderr.contains("needs a kernel with module 8021q"), "{up:?}");
        assert_nothing_left(&lab);
    }
}

#[test]
fn a_program_comes_along_with_its_libraries() {
    if !root_or_skip("a_program_comes_along_with_its_libraries") {
        return;
    }
    let lab = TestLab::new();
    for (program, reason) in
        [("nosuchprogram", "no such program"), ("/etc/passwd", "no program of the guest's kind")]
    {
        let refused = lab.run(&["up", "--with", program]).unwrap();
        assert!(refused.code == Some(1) && refused.stderr.contains(reason), "{refused:?}");
        assert_nothing_left(&lab);
    }
    let up = lab.run(&["up", "--with", "iperf3", "--with", "ping"]).unwrap();
    assert_eq!(up.code, Some(0), "{up:?}");
    // Busybox has a ping as well, and it is not that one.
    for (program, words) in [("iperf3", "--version"), ("ping", "-V")] {
        let there = lab.exec("guest", &[program, words]).unwrap();
        let here = lab.exec("peer", &[program, words]).unwrap();
        let version = |text: String| text.lines().next().unwrap_or_default().to_owned();
        assert_eq!(version(there.text()), version(here.text()), "{there:?}");
    }
    down(&lab);
}

#[test]
#[ignore = "needs a kernel with openvswitch: run it in a VM, with --ignored"]
fn open_vswitch_switches_between_its_ports() {
    if !root_or_skip("open_vswitch_switches_between_its_ports") {
        return;
    }
    let lab = TestLab::up_with(&["--network", "ovs", "--guests", "2"]).unwrap();
    all_ping(&lab);
    ping(&lab, "guest", "192.0.2.4");
    ping(&lab, "guest", "192.0.2.1");
    let tap = tap(&lab.vm());
    assert_eq!(path(&tap), (Some((SwitchKind::Ovs, "ovs-system")), false, vec!["nic0"]));
    down(&lab);
}
