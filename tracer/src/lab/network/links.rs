//! The command lines of `ip` that make the lab's devices. Pure.
//!
//! Addresses get `nodad`, or IPv6 would be unusable for its first second. The bridge has no forwarding delay and
//! no spanning tree: a port forwards as soon as it is up.

use anyhow::bail;

use super::super::{
    addresses::{self, GUESTS, Station, host_mac, peer_mac},
    layout::{BRIDGE, Lab, TAG, tap},
    spec::{Network, Spec},
};

/// Longest name of a network device (IFNAMSIZ less the zero at its end).
const MAX_NAME: usize = 15;
/// What a VXLAN adds to a frame's payload: Ethernet, IPv4, UDP and its own header. The NICs take that much more, so that
/// the guests' frames need not be smaller than elsewhere.
const TUNNEL_MTU: u32 = 1500 + 50;

/// Both namespaces.
pub(super) fn namespaces(lab: &Lab) -> Vec<String> {
    lab.namespaces().iter().map(|namespace| format!("netns add {namespace}")).collect()
}

/// The wire between the namespaces.
pub(super) fn wire(lab: &Lab, spec: &Spec) -> Vec<String> {
    let (host, peer, nic, peer_nic) = (lab.host_ns(), lab.peer_ns(), spec.nic(), spec.peer_nic());
    match spec.wire {
        None => {
            let far = format!("peer name {peer_nic} address {} netns {peer}", peer_mac());
            vec![format!("-n {host} link add {nic} type veth {far}")]
        }
        // Hardware keeps its address: the far end of a real cable may be a switch that knows it.
        Some(_) => {
            vec![format!("link set dev {nic} netns {host}"), format!("link set dev {peer_nic} netns {peer}")]
        }
    }
}

/// Makes sure that the VLANs get names: they are those of their NICs and more.
pub(super) fn check_names(spec: &Spec) -> anyhow::Result<()> {
    for name in [spec.port(), spec.peer_port()] {
        if name.len() > MAX_NAME {
            bail!("there can be no VLAN device {name}: its name is longer than {MAX_NAME} letters");
        }
    }
    Ok(())
}

/// The other devices of the host, and which of them are ports of which.
pub(super) fn devices(lab: &Lab, spec: &Spec) -> Vec<String> {
    let nic = spec.nic();
    let mut lines = vec!["link set lo up".to_owned()];
    match spec.network {
        Network::Bridge | Network::Nat | Network::HostOnly | Network::Vlan | Network::Vxlan => {
            let mac = host_mac();
            lines.push(format!("link add {BRIDGE} address {mac} type bridge stp_state 0 forward_delay 0"));
            lines.extend(taps(spec));
            let [near, far] = addresses::tunnel_ends();
            lines.extend(upper(spec.network, nic, &spec.port(), &near, &far));
            let wired = (!spec.network.is_apart()).then(|| spec.port());
            lines.extend(spec.taps().into_iter().chain(wired).flat_map(port));
        }
        Network::Routed | Network::Ovs => lines.extend(taps(spec)),
        Network::Macvtap => lines.extend(macvtaps(spec)),
    }
    lines.extend(spec.taps().iter().map(|tap| format!("link set {tap} up")));
    lines.push(format!("link set {nic} up"));
    inside(&lab.host_ns(), lines)
}

/// The device on top of one end of the wire, where the network has one. The NIC itself then speaks no IPv6.
fn upper(network: Network, nic: &str, name: &str, near: &Station, far: &Station) -> Vec<String> {
    let make = match network {
        Network::Vlan => vec![format!("link add link {nic} name {name} type vlan id {TAG}")],
        Network::Vxlan => vec![
            format!("link set {nic} mtu {TUNNEL_MTU}"),
            format!("addr add {}/24 dev {nic}", near.ipv4),
            format!(
                "link add {name} type vxlan id {TAG} dev {nic} local {} remote {} dstport 4789",
                near.ipv4, far.ipv4
            ),
        ],
        _ => return Vec::new(),
    };
    let up = [format!("link set {nic} addrgenmode none up"), format!("link set {name} up")];
    [make, up.into()].concat()
}

/// Makes a device a port of the bridge. It is no station: without `addrgenmode none` it would speak IPv6 like one.
fn port(device: String) -> [String; 2] {
    [format!("link set {device} addrgenmode none"), format!("link set {device} master {BRIDGE}")]
}

fn taps(spec: &Spec) -> impl Iterator<Item = String> {
    let queues = if spec.queues > 1 { " multi_queue" } else { "" };
    spec.taps().into_iter().map(move |tap| format!("tuntap add dev {tap} mode tap{queues}"))
}

/// A macvtap takes frames for its own address only, so it has the guest's. Without `addrgenmode none` the host
/// would speak IPv6 from that address too. It does not learn which multicast groups the guest listens to, and
/// without all of them nobody could ask for the guest's IPv6 address (libvirt: trustGuestRxFilters).
fn macvtaps(spec: &Spec) -> Vec<String> {
    let make = |guest| {
        let (nic, tap, mac) = (spec.nic(), tap(guest), addresses::guest_mac(guest));
        [
            format!("link add link {nic} name {tap} address {mac} type macvtap mode bridge"),
            format!("link set {tap} addrgenmode none allmulticast on"),
        ]
    };
    (1..=spec.guests).flat_map(make).collect()
}

/// The stations' addresses and the routes between them.
pub(super) fn addresses(lab: &Lab, spec: &Spec) -> Vec<String> {
    let (host, peer) = (addresses::host(), addresses::peer());
    let mut on_host = match spec.network {
        Network::Bridge | Network::Ovs | Network::Vlan | Network::Vxlan => address(BRIDGE, &host),
        Network::Macvtap | Network::Nat | Network::Routed | Network::HostOnly => address(spec.nic(), &host),
    };
    if let Some(gateway) = addresses::gateway(spec.network) {
        match spec.network {
            Network::Routed => on_host.extend(guest_routes(spec, &gateway)),
            _ => on_host.extend(address(BRIDGE, &gateway)),
        }
    }
    if spec.network.is_routed() {
        on_host.extend(route("default", "default", &peer));
    }
    let mut on_peer = vec!["link set lo up".to_owned()];
    let [near, far] = addresses::tunnel_ends();
    on_peer.extend(upper(spec.network, spec.peer_nic(), &spec.peer_port(), &far, &near));
    on_peer.extend(address(&spec.peer_port(), &peer));
    if spec.network.is_routed() {
        on_peer.extend(route(&GUESTS.ipv4_range(), &GUESTS.ipv6_range(), &host));
    }
    [inside(&lab.host_ns(), on_host), inside(&lab.peer_ns(), on_peer)].concat()
}

fn address(device: &str, station: &Station) -> Vec<String> {
    vec![
        format!("addr add {}/24 dev {device}", station.ipv4),
        format!("addr add {}/64 dev {device} nodad", station.ipv6),
        format!("link set {device} up"),
    ]
}

fn route(ipv4: &str, ipv6: &str, via: &Station) -> [String; 2] {
    [format!("route add {ipv4} via {}", via.ipv4), format!("-6 route add {ipv6} via {}", via.ipv6)]
}

/// Each tap is a network of one guest: all have the gateway's address, and a route says which guest is where.
fn guest_routes(spec: &Spec, gateway: &Station) -> Vec<String> {
    let make = |guest| {
        let (tap, station) = (tap(guest), addresses::guest(spec.network, guest));
        [
            format!("addr add {}/32 dev {tap}", gateway.ipv4),
            format!("addr add {}/128 dev {tap} nodad", gateway.ipv6),
            format!("route add {} dev {tap}", station.ipv4),
            format!("-6 route add {} dev {tap}", station.ipv6),
        ]
    };
    (1..=spec.guests).flat_map(make).collect()
}

fn inside(namespace: &str, lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("-n {namespace} {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Network; 8] = [
        Network::Bridge,
        Network::Nat,
        Network::Routed,
        Network::HostOnly,
        Network::Ovs,
        Network::Macvtap,
        Network::Vlan,
        Network::Vxlan,
    ];

    fn lines(spec: &Spec) -> Vec<String> {
        let lab = Lab::new("x").unwrap();
        [namespaces(&lab), wire(&lab, spec), devices(&lab, spec), addresses(&lab, spec)].concat()
    }

    #[test]
    fn every_line_but_the_making_of_namespaces_stays_inside_one_of_them() {
        for network in ALL {
            for line in lines(&Spec { network, guests: 2, ..Spec::default() }).iter().skip(2) {
                assert!(
                    line.starts_with("-n vmhop-x-host ") || line.starts_with("-n vmhop-x-peer "),
                    "{line:?} would touch the machine's own network"
                );
            }
        }
    }

    #[test]
    fn nothing_leads_from_a_host_only_network_to_the_wire() {
        let lines = lines(&Spec { network: Network::HostOnly, ..Spec::default() });
        assert!(lines.contains(&"-n vmhop-x-host link set tap0 master br0".to_owned()), "{lines:?}");
        let leads = |line: &&String| line.contains("nic0 master") || line.contains("route add");
        assert_eq!(lines.iter().find(leads), None);
    }

    #[test]
    fn only_the_cables_ends_are_taken_from_the_machine() {
        let wire = Some("e0,e1".parse().unwrap());
        let lines = lines(&Spec { wire, ..Spec::default() });
        let outside: Vec<&String> = lines.iter().filter(|line| !line.starts_with("-n ")).skip(2).collect();
        assert_eq!(outside, ["link set dev e0 netns vmhop-x-host", "link set dev e1 netns vmhop-x-peer"]);
        assert!(lines.contains(&"-n vmhop-x-host link set e0 master br0".to_owned()));
    }

    #[test]
    fn both_ends_of_a_tunnel_name_each_other() {
        let lines = lines(&Spec { network: Network::Vxlan, ..Spec::default() });
        let end = |namespace: &str, words: &str| {
            let made = format!("-n {namespace} link add vx0 ");
            assert!(lines.iter().any(|line| line.starts_with(&made) && line.contains(words)), "{lines:?}");
        };
        end("vmhop-x-host", " dev nic0 local 203.0.113.1 remote 203.0.113.3 ");
        end("vmhop-x-peer", " dev eth0 local 203.0.113.3 remote 203.0.113.1 ");
        assert!(lines.contains(&"-n vmhop-x-peer addr add 192.0.2.3/24 dev vx0".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_vlan_is_named_after_its_nic_if_that_leaves_room() {
        let named = |wire: &str| {
            check_names(&Spec { network: Network::Vlan, wire: wire.parse().ok(), ..Spec::default() })
        };
        assert!(named("eth0,eth1").is_ok());
        assert!(named("enp3s0f0np0,enp3s0f1np1v0").unwrap_err().to_string().contains("enp3s0f1np1v0.100"));
    }

    #[test]
    fn a_tap_of_several_queues_is_made_for_them() {
        let queued = Spec { queues: 2, ..Spec::default() };
        for (spec, expected) in [(Spec::default(), false), (queued, true)] {
            assert_eq!(lines(&spec).iter().any(|line| line.ends_with(" multi_queue")), expected);
        }
    }
}
