//! The addresses of a lab's stations, from the ranges reserved for documentation. Pure.

use super::{
    layout::Lab,
    spec::{Network, Spec},
};

/// A range of addresses, by what its addresses begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    ipv4: &'static str,
    ipv6: &'static str,
}

/// The network of nic0 and the peer; of the guests too, unless their frames are routed.
pub(crate) const WIRE: Subnet = Subnet { ipv4: "192.0.2.", ipv6: "2001:db8::" };
/// The network of the tunnel's outer packets: of nic0 and the peer's NIC where the wire is in the tunnel.
pub(crate) const UNDERLAY: Subnet = Subnet { ipv4: "203.0.113.", ipv6: "2001:db8:2::" };
/// The guests' own network behind a host that routes.
pub(crate) const GUESTS: Subnet = Subnet { ipv4: "198.51.100.", ipv6: "2001:db8:1::" };

impl Subnet {
    /// The station of this number.
    pub(crate) fn station(self, number: u8) -> Station {
        Station { ipv4: format!("{}{number}", self.ipv4), ipv6: format!("{}{number:x}", self.ipv6) }
    }

    /// The IPv4 range as routes and filters write it.
    pub(crate) fn ipv4_range(self) -> String {
        format!("{}0/24", self.ipv4)
    }

    /// The IPv6 range.
    pub(crate) fn ipv6_range(self) -> String {
        format!("{}/64", self.ipv6)
    }
}

/// The addresses of one station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Station {
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
}

const HOST: u8 = 1;
const PEER: u8 = 3;

/// The number of the guest's station: 2, then those behind the peer's.
fn guest_number(guest: u8) -> u8 {
    if guest == 1 { 2 } else { guest + 2 }
}

/// The host's address on the wire.
pub(crate) fn host() -> Station {
    WIRE.station(HOST)
}

/// The peer's address.
pub(crate) fn peer() -> Station {
    WIRE.station(PEER)
}

/// Where the tunnel begins and ends: the addresses of host and peer outside of it.
pub(crate) fn tunnel_ends() -> [Station; 2] {
    [HOST, PEER].map(|number| UNDERLAY.station(number))
}

/// The host's address on the guests' side, where that is another network than the wire.
pub(crate) fn gateway(network: Network) -> Option<Station> {
    network.is_apart().then(|| GUESTS.station(HOST))
}

/// The addresses of a guest, counted from 1.
pub(crate) fn guest(network: Network, guest: u8) -> Station {
    let subnet = if network.is_apart() { GUESTS } else { WIRE };
    subnet.station(guest_number(guest))
}

/// Every station of a lab by its name.
pub(crate) fn all(lab: &Lab, spec: &Spec) -> Vec<(String, Station)> {
    let guests = (1..=spec.guests).map(|number| (lab.guest(number).place(), guest(spec.network, number)));
    let gateway = gateway(spec.network).map(|station| ("gateway".to_owned(), station));
    let others = [("peer".to_owned(), peer()), ("host".to_owned(), host())];
    guests.chain(others).chain(gateway).collect()
}

/// How many leading bits of its address a guest takes for its own network. A tap without a bridge is a network
/// of one guest, whose every frame goes to the host.
pub(crate) fn guest_prefixes(network: Network) -> (u8, u8) {
    match network {
        Network::Routed => (32, 128),
        Network::Bridge
        | Network::Nat
        | Network::HostOnly
        | Network::Ovs
        | Network::Macvtap
        | Network::Vlan
        | Network::Vxlan => (24, 64),
    }
}

/// Hardware addresses, by the same numbers.
pub(crate) fn host_mac() -> String {
    mac(HOST)
}

pub(crate) fn peer_mac() -> String {
    mac(PEER)
}

pub(crate) fn guest_mac(guest: u8) -> String {
    mac(guest_number(guest))
}

fn mac(number: u8) -> String {
    format!("52:54:00:db:80:{number:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_numbered_around_the_peer() {
        let addresses = |network| -> Vec<String> { (1..=4).map(|n| guest(network, n).ipv4).collect() };
        assert_eq!(addresses(Network::Bridge), ["192.0.2.2", "192.0.2.4", "192.0.2.5", "192.0.2.6"]);
        let routed = ["198.51.100.2", "198.51.100.4", "198.51.100.5", "198.51.100.6"];
        assert_eq!(addresses(Network::Nat), routed);
        assert_eq!(guest(Network::Routed, 1).ipv6, "2001:db8:1::2");
        assert_eq!(guest_mac(2), "52:54:00:db:80:04");
    }

    #[test]
    fn the_host_has_an_address_of_its_own_on_a_network_apart() {
        assert_eq!(gateway(Network::Macvtap), None);
        assert_eq!(gateway(Network::Nat).unwrap().ipv4, "198.51.100.1");
        assert_eq!(gateway(Network::HostOnly), gateway(Network::Nat));
        assert_eq!(
            (GUESTS.ipv4_range(), GUESTS.ipv6_range()),
            ("198.51.100.0/24".into(), "2001:db8:1::/64".into())
        );
    }
}
