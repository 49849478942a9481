//! Real traffic through every kind of network, as scenes ([`tests::scene`]): what the report says of each frame, and of
//! frames and bytes at the NIC, against the devices' own counters. On this kernel; those that are ignored are for the
//! VMs of `cargo xtask test networks`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use tests::{
    lab::{TestLab, root_or_skip},
    recording::{Recordings, analyse},
    scene::{Counts, Scene, Stage},
    udp::{self, Burst},
};

const ETHERNET_HEADER: u64 = 14;

const TRANSMIT: Scene =
    Scene::new("tcp out", "guest", "iperf3 -c 192.0.2.3 -n 10M").with(&[("tcp", "guest", 50)]);
const RECEIVE: Scene =
    Scene::new("tcp in", "guest", "iperf3 -c 192.0.2.3 -n 10M -R").with(&[("tcp", "peer", 50)]);
const PING: Scene =
    Scene::new("ping out", "guest", "ping -q -c 30 -i 0.05 192.0.2.3").with(&[("echo", "guest", 30)]);
const PING6: Scene =
    Scene::new("ping6 in", "peer", "ping -q -c 30 -i 0.05 2001:db8::2").with(&[("echo", "peer", 30)]);
const TRANSMIT6: Scene =
    Scene::new("tcp6 out", "guest", "iperf3 -c 2001:db8::3 -n 10M").with(&[("tcp", "guest", 20)]);
const RECEIVE6: Scene =
    Scene::new("tcp6 in", "guest", "iperf3 -c 2001:db8::3 -n 10M -R").with(&[("tcp", "peer", 20)]);

/// What the NIC, and the NIC of the peer, do of segmentation and merging, in the order of the scenes after it.
const OFFLOADS: &[Scene] = &[
    TRANSMIT,
    RECEIVE,
    Scene { name: "tcp out, segmented in software", ..TRANSMIT }
        .after(&[("host", "ethtool -K nic0 tso off gso on")]),
    Scene { name: "tcp in, segmented by the peer", ..RECEIVE }
        .after(&[("peer", "ethtool -K eth0 tso off gso off")]),
    Scene { name: "tcp in, merged by GRO", ..RECEIVE }
        .after(&[("host", "ethtool -K nic0 gro on")])
        .without(ETHERNET_HEADER),
];

/// Whether a veth counts a frame's Ethernet header depends on whether it polls, which GRO switches.
const SEGMENTED_FOR_THE_TAP: &[Scene] = &[Scene { name: "tcp in, segmented for the tap", ..RECEIVE }
    .after(&[("host", "ethtool -K tap0 tso off"), ("peer", "ethtool -K eth0 tso on gso on")])];

#[test]
fn tcp_through_segmentation_and_merging() {
    if !root_or_skip("TCP through segmentation") {
        return;
    }
    Stage::new(&["--with", "iperf3"]).play(OFFLOADS);
}

#[test]
fn tcp_segmented_for_a_tap_whose_guest_takes_no_super_frames() {
    if !root_or_skip("TCP segmented for the tap") {
        return;
    }
    Stage::new(&["--with", "iperf3"]).play(SEGMENTED_FOR_THE_TAP);
}

#[test]
fn every_kind_of_datagram() {
    if !root_or_skip("datagrams") {
        return;
    }
    Stage::new(&["--with", "iperf3"]).play(&[
        PING,
        PING6,
        TRANSMIT6,
        RECEIVE6,
        Scene::new("udp out", "guest", "iperf3 -u -c 192.0.2.3 -b 20M -t 2"),
        Scene::new("udp in", "guest", "iperf3 -u -c 192.0.2.3 -b 20M -t 2 -R"),
        Scene::new("fragments in", "peer", "ping -q -c 20 -i 0.05 -s 4000 192.0.2.2"),
        Scene::new("fragments out", "guest", "ping -q -c 20 -i 0.05 -s 4000 192.0.2.3"),
        Scene::new("IPv6 fragments in", "peer", "ping -q -c 20 -i 0.05 -s 4000 2001:db8::2"),
        Scene::new("IPv6 fragments out", "guest", "ping -q -c 20 -i 0.05 -s 4000 2001:db8::3"),
    ]);
}

const JUMBO: &[(&str, &str)] = &[
    ("host", "for d in tap0 nic0 br0; do ip link set $d mtu 9000; done"),
    ("peer", "ip link set eth0 mtu 9000"),
    ("guest", "ip link set eth0 mtu 9000"),
];

#[test]
fn jumbo_frames() {
    if !root_or_skip("jumbo frames") {
        return;
    }
    Stage::new(&["--with", "iperf3"]).play(&[
        Scene::new("jumbo ping", "peer", "ping -q -c 20 -i 0.05 -M do -s 8900 192.0.2.2")
            .after(JUMBO)
            .with(&[("echo", "peer", 20)]),
        Scene { name: "jumbo tcp out", ..TRANSMIT },
        Scene { name: "jumbo tcp in", ..RECEIVE },
        Scene { name: "jumbo tcp in, one by one", ..RECEIVE }
            .after(&[("peer", "ethtool -K eth0 tso off gso off")]),
    ]);
}

#[test]
fn translated_both_ways() {
    if !root_or_skip("NAT") {
        return;
    }
    let fetch = "busybox wget -q -O /dev/null http://192.0.2.1:8080/40MB";
    Stage::new(&["--network", "nat", "--with", "iperf3"]).play(&[
        PING,
        TRANSMIT,
        RECEIVE,
        Scene::new("forwarded port", "peer", fetch).with(&[("tcp", "guest", 50), ("tcp", "peer", 1)]),
        Scene::new("ping by the peer", "peer", "ping -q -c 30 -i 0.05 198.51.100.2")
            .with(&[("echo", "peer", 30)]),
        Scene::new("ping6, routed", "guest", "ping -q -c 30 -i 0.05 2001:db8::3")
            .with(&[("echo", "guest", 30)]),
    ]);
}

#[test]
fn through_a_tunnel() {
    if !root_or_skip("VXLAN") {
        return;
    }
    let stage = Stage::new(&["--network", "vxlan", "--with", "iperf3"]);
    stage.play(&[PING, PING6, TRANSMIT, RECEIVE, TRANSMIT6, RECEIVE6]);
}

#[test]
fn datagrams_segmented_on_their_way() {
    if !root_or_skip("UDP segmentation") {
        return;
    }
    let stage = Stage::new(&[]);
    let burst = Burst { segment: 1000, segments: 20, bursts: 40 };
    let scene = Scene::new("udp segmented", "peer", "ping -q -c 1 192.0.2.2");
    let (played, faults) = stage.acted(&scene, || {
        stage.shell(scene.place, scene.line);
        udp::send(&stage.peer(), "192.0.2.2:9".parse().unwrap(), burst);
    });
    // The NIC of a veth passes the super-frame on as it is; it is cut up for the tap, whose guest takes none.
    assert!(played.counted.rx.frames < 3 * burst.bursts as u64, "{:?}", played.counted);
    assert!(played.counted.rx.bytes > burst.bytes(), "{:?}", played.counted);
    assert!(faults.is_empty(), "{faults:#?}");
}

const ANSWER_ALL: &str = "echo 0 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts";

#[test]
fn frames_for_everybody() {
    if !root_or_skip("floods") {
        return;
    }
    Stage::new(&["--guests", "2"]).play(&[
        Scene::new("broadcast in", "peer", "ping -q -b -c 20 -i 0.05 192.0.2.255")
            .after(&[("guest", ANSWER_ALL), ("guest2", ANSWER_ALL)])
            .flooded(20)
            .looped(20),
        Scene::new("broadcast out", "guest", "ping -q -c 20 -i 0.05 192.0.2.255").flooded(20),
        Scene::new("multicast in", "peer", "ping -q -6 -c 20 -i 0.05 ff02::1%eth0").flooded(20).looped(20),
        // Once it has an answer it asks the one who gave it.
        Scene::new("ARP for everybody", "peer", "busybox arping -q -c 5 -I eth0 192.0.2.2").flooded(1),
        Scene::new(
            "nobody there",
            "peer",
            "ip neigh replace 192.0.2.77 lladdr 52:54:00:00:00:77 dev eth0 nud permanent; \
             ping -q -c 20 -i 0.05 -W 1 192.0.2.77 || true",
        )
        .flooded(20),
        Scene::new("guest to guest", "guest", "ping -q -c 20 -i 0.05 192.0.2.4").with(&[(
            "echo",
            "guest to guest",
            20,
        )]),
    ]);
}

const TWIN_PINGS: &str = "ping -q -c 40 -i 0.05 -e 4711 192.0.2.2";

/// Two labs have the same addresses, and here even the same ports and identifiers, at the same time.
#[test]
fn labs_with_the_same_addresses_are_told_apart() {
    if !root_or_skip("two labs") {
        return;
    }
    let labs =
        [TestLab::up_with(&["--with", "iperf3"]).unwrap(), TestLab::up_with(&["--with", "iperf3"]).unwrap()];
    let recordings = Recordings::new();
    let vms = [labs[0].vm(), labs[1].vm()];
    // The second guest is deaf: an answer to its peer could only be the first one's.
    let deaf = ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all"];
    assert_eq!(labs[1].exec("guest", &deaf).unwrap().code, Some(0));
    let (path, ()) = recordings.around(&vms, "echo.vmhop", || at_once(&labs, "peer", TWIN_PINGS));
    let (report, _) = analyse(&path);
    let echo = report.exchanges.groups.iter().find(|group| group.kind == "echo").unwrap();
    assert_eq!((echo.count, echo.unanswered, echo.ambiguous), (40, 40, 0), "{:?}", report.passages);

    for lab in &labs {
        assert_eq!(lab.exec("peer", &["iperf3", "-s", "-D"]).unwrap().code, Some(0));
    }
    let (path, ()) = recordings
        .around(&vms, "tcp.vmhop", || at_once(&labs, "guest", "iperf3 -c 192.0.2.3 --cport 40000 -n 5M"));
    let (report, _) = analyse(&path);
    let tcp =
        report.exchanges.groups.iter().find(|group| (&*group.kind, &*group.initiator) == ("tcp", "guest"));
    let tcp = tcp.unwrap();
    eprintln!(
        "two labs: {} exchanges, {} unanswered, {} ambiguous",
        tcp.count, tcp.unanswered, tcp.ambiguous
    );
    assert!(tcp.count > 50 && tcp.ambiguous + tcp.unanswered <= tcp.count / 50, "{tcp:?}");
    assert_eq!(report.passages.ambiguous, 0);
}

/// Runs a line for the shell in several labs, side by side.
fn at_once(labs: &[TestLab], place: &str, line: &str) {
    let start =
        |lab: &TestLab| lab.command(&["exec", place, "--", "sh", "-c", line]).unwrap().spawn().unwrap();
    let running: Vec<_> = labs.iter().map(start).collect();
    running.into_iter().for_each(|child| drop(child.wait_with_output().unwrap()));
}

/// Under emulation within emulation a byte costs more.
const SHORT: &[Scene] = &[
    PING,
    PING6,
    Scene { line: "iperf3 -c 192.0.2.3 -n 5M", ..TRANSMIT },
    Scene { line: "iperf3 -c 192.0.2.3 -n 5M -R", ..RECEIVE },
];

/// With a guest on KVM behind vhost.
fn in_a_vm(options: &[&str]) -> Stage {
    Stage::new(&[&["--accel", "kvm", "--vhost", "--with", "iperf3"], options].concat())
}

#[test]
#[ignore = "needs KVM, vhost and kprobes: cargo xtask test networks"]
fn behind_a_bridge() {
    in_a_vm(&[]).play(SHORT);
}

#[test]
#[ignore = "needs KVM, vhost and VLANs: cargo xtask test networks"]
fn behind_a_vlan() {
    in_a_vm(&["--network", "vlan"]).play(SHORT);
}

#[test]
#[ignore = "needs KVM, vhost and kprobes: cargo xtask test networks"]
fn behind_a_tunnel() {
    in_a_vm(&["--network", "vxlan"]).play(SHORT);
}

#[test]
#[ignore = "needs KVM, vhost and kprobes: cargo xtask test networks"]
fn behind_a_translation() {
    let fetch = "busybox wget -q -O - http://192.0.2.1:8080/40MB | head -c 4000000 > /dev/null";
    let forwarded =
        Scene::new("forwarded port", "peer", fetch).with(&[("tcp", "guest", 50), ("tcp", "peer", 1)]);
    // What comes from a veth its sender keeps, so that forwarding gives it a buffer of its own.
    let stage = in_a_vm(&["--network", "nat"]).with_own(2);
    stage.play(&[PING, SHORT[2], SHORT[3], forwarded]);
}

#[test]
#[ignore = "needs KVM, vhost and a NIC with a cable: cargo xtask test networks"]
fn behind_a_nic_that_segments() {
    in_a_vm(&["--wire", "e1000e0,e1000e1"]).counting(Counts::FramesWithFcs).play(SHORT);
}

#[test]
#[ignore = "needs KVM, vhost and a NIC with a cable: cargo xtask test networks"]
fn behind_a_nic_with_queues_that_segments() {
    in_a_vm(&["--wire", "igb0,igb1"]).counting(Counts::Segments).play(SHORT);
}
