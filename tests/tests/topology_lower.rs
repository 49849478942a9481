//! Devices on top of others, made for the test: discovery follows them down to the NIC.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use tests::host::{Holder, Netns, able, unique};
use tracer::topology::{Device, SwitchKind, Tap, Topology};

/// A host with two NICs, and a VM whose tap is a port of the bridge br0.
struct Host {
    netns: Netns,
    _peer: Netns,
    _vm: Holder,
    name: String,
}

impl Host {
    fn new() -> Host {
        let (netns, peer, name) = (Netns::new("host"), Netns::new("peer"), unique("vm"));
        for number in [0, 1] {
            netns.veth(&format!("nic{number}"), &peer, &format!("eth{number}"));
            netns.ip(&format!("addr add 203.0.113.{}/24 dev nic{number}", 1 + 100 * number));
        }
        netns.ip("route add 198.51.100.0/24 via 203.0.113.99 dev nic1");
        netns.ip("link add br0 type bridge");
        netns.ip("link set br0 up");
        let vm = Holder::qemu(&name, netns.tun("tap0", libc::IFF_TAP), None);
        netns.ip("link set tap0 master br0 up");
        Host { netns, _peer: peer, _vm: vm, name }
    }

    /// Makes a device by `ip link add WORDS` and lets it be the bridge's way out.
    fn port(&self, name: &str, words: &str) -> &Host {
        self.netns.ip(&format!("link add {words}"));
        self.netns.ip(&format!("link set {name} master br0 up"));
        self
    }

    fn tap(&self) -> Tap {
        let vm = Topology::discover().unwrap().find(&self.name).unwrap().clone();
        vm.taps[0].clone()
    }

    /// Each way out: the devices on it, the NIC last.
    fn ways(&self) -> Vec<String> {
        let tap = self.tap();
        let name = |device: &Device| device.name.clone();
        let way = |nic: &Device| nic.via.iter().map(name).chain([name(nic)]).collect::<Vec<_>>().join(" ");
        tap.nics.iter().map(way).collect()
    }
}

#[test]
fn a_tunnel_that_is_bound_to_a_device_leads_to_it() {
    if !able() {
        return;
    }
    let host = Host::new();
    // Bound to one NIC, and by the routes on another.
    host.port("vx0", "vx0 type vxlan id 5 dev nic0 remote 198.51.100.7 dstport 4789");
    assert_eq!(host.ways(), ["vx0 nic0"]);
}

#[test]
fn a_tunnel_that_is_not_bound_leads_to_where_its_far_end_is_routed() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.port("vx0", "vx0 type vxlan id 5 remote 198.51.100.7 dstport 4789");
    assert_eq!(host.ways(), ["vx0 nic1"]);
}

#[test]
fn a_tunnel_of_several_far_ends_leads_to_where_each_is_routed() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.port("vx0", "vx0 type vxlan id 5 local 203.0.113.1 dstport 4789 nolearning");
    assert_eq!(host.ways(), ["vx0"], "a tunnel without a far end is as far as it goes");
    for remote in ["198.51.100.7", "198.51.100.8", "203.0.113.3"] {
        let entry = format!("-n {} fdb append 00:00:00:00:00:00 dev vx0 dst {remote}", host.netns.name);
        tests::host::run(&format!("bridge {entry}"));
    }
    let mut ways = host.ways();
    ways.sort();
    assert_eq!(ways, ["vx0 nic0", "vx0 nic1"]);
}

#[test]
fn a_tunnel_into_itself_ends_there() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.netns.ip("link add vx0 type vxlan id 5 remote 192.0.2.7 dstport 4789");
    host.netns.ip("link set vx0 up");
    host.netns.ip("route add 192.0.2.0/24 dev vx0");
    host.netns.ip("link set vx0 master br0");
    assert_eq!(host.ways(), ["vx0"]);
}

#[test]
fn a_default_route_over_a_bridge_leads_to_its_ports() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.netns.ip("link add br1 type bridge");
    host.netns.ip("link set nic0 master br1");
    host.netns.ip("link set br1 up");
    host.netns.ip("addr add 192.0.2.1/24 dev br1");
    host.netns.ip("route add default via 192.0.2.254");
    assert_eq!(host.ways(), ["br1 nic0"]);
    let tap = host.tap();
    assert_eq!((tap.routed, tap.switch.unwrap().kind), (true, SwitchKind::Bridge));
    // Without a port that leads off the host the bridge is as far as it goes.
    host.netns.ip("link set nic0 nomaster");
    assert_eq!(host.ways(), ["br1"]);
}

#[test]
fn a_macvlan_with_the_default_route_leads_to_its_lower_device() {
    if !able() {
        return;
    }
    let host = Host::new();
    host.netns.ip("link add link nic1 name mv0 type macvlan mode bridge");
    host.netns.ip("addr add 192.0.2.1/24 dev mv0");
    host.netns.ip("link set mv0 up");
    host.netns.ip("route add default via 192.0.2.254");
    assert_eq!(host.ways(), ["mv0 nic1"]);
}

#[test]
#[ignore = "needs devices that not every kernel has: cargo xtask test networks"]
fn each_kind_of_upper_device_leads_down() {
    let remote = "local 203.0.113.1 remote 198.51.100.7";
    for (name, words, way) in [
        ("v0", "link nic0 name v0 type vlan id 7".to_owned(), "v0 nic0"),
        ("gnv0", "gnv0 type geneve id 7 remote 198.51.100.7".to_owned(), "gnv0 nic1"),
        ("gre1", format!("gre1 type gretap {remote}"), "gre1 nic1"),
        ("gre2", format!("gre2 type gretap {remote} key 2 dev nic0"), "gre2 nic0"),
        ("gre6", "gre6 type ip6gretap remote 2001:db8::7".to_owned(), "gre6"),
    ] {
        let host = Host::new();
        assert_eq!(host.port(name, &words).ways(), [way], "{words}");
    }
}

#[test]
#[ignore = "needs devices that not every kernel has: cargo xtask test networks"]
fn uppers_on_uppers_lead_down_to_every_nic() {
    let host = Host::new();
    host.netns.ip("link add bond0 type bond mode active-backup");
    for number in [0, 1] {
        host.netns.ip(&format!("link set nic{number} down"));
        host.netns.ip(&format!("link set nic{number} master bond0"));
    }
    host.netns.ip("link set bond0 up");
    host.netns.ip("link add link bond0 name v0 type vlan id 7");
    host.netns.ip("addr add 192.0.2.1/24 dev v0");
    host.netns.ip("link set v0 up");
    host.port("vx0", "vx0 type vxlan id 5 remote 192.0.2.7 dstport 4789");
    assert_eq!(host.ways(), ["vx0 v0 bond0 nic0", "vx0 v0 bond0 nic1"]);
}

#[test]
#[ignore = "needs devices that not every kernel has: cargo xtask test networks"]
fn a_routed_guest_leaves_through_a_tunnel_of_layer_3() {
    let host = Host::new();
    host.netns.ip("link add ipip0 type ipip local 203.0.113.1 remote 198.51.100.7");
    host.netns.ip("link set ipip0 up");
    host.netns.ip("route add default dev ipip0");
    assert_eq!(host.ways(), ["ipip0 nic1"]);
    assert!(host.tap().routed);
}
