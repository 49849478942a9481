//! Real traffic through every kind of network, as scenes ([`tests::scene`]): what the report says of each frame, and of
//! frames and bytes at the NIC, against the devices' own counters. On this kernel; those that are ignored are for the
//! VMs of `cargo xtask test networks`.

use tests::{
    lab::root_or_skip,
    scene::{Scene, Stage},
};

const TRANSMIT: Scene =
    Scene::new("tcp out", "guest", "iperf3 -c 192.0.2.3 -n 30M").with(&[("tcp", "guest", 50)]);
const RECEIVE: Scene =
    Scene::new("tcp in", "guest", "iperf3 -c 192.0.2.3 -n 30M -R").with(&[("tcp", "peer", 50)]);
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
    Scene { name: "tcp in, merged by GRO", ..RECEIVE }.after(&[("host", "ethtool -K nic0 gro on")]),
];

#[test]
fn tcp_through_segmentation_and_merging() {
    if !root_or_skip("TCP through segmentation") {
        return;
    }
    Stage::new(&["--with", "iperf3"]).play(OFFLOADS);
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
        Scene::new("ping by the peer", "peer", "ping -q -c 30 -i 0.05 198.51.100.2").with(&[("echo", "peer", 30)]),
        Scene::new("ping6, routed", "guest", "ping -q -c 30 -i 0.05 2001:db8::3").with(&[("echo", "guest", 30)]),
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
