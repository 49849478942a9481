//! What was chosen for a lab: recorded in its state, and enough to know what belongs to it.

use std::{fmt, path::PathBuf, str::FromStr};

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::layout::{BRIDGE, MAX_GUESTS, NIC, PEER_NIC, TAG, TAP_PREFIX, TUNNEL, tap};

/// How a guest's frames get from its tap to the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Tap and NIC are ports of a Linux bridge
    Bridge,
    /// Taps on a bridge without a NIC; the host routes, and masquerades IPv4 (libvirt's default network)
    Nat,
    /// Taps without a bridge; the host routes
    Routed,
    /// Taps on a bridge without a NIC, with the host and nobody else
    #[serde(rename = "host-only")]
    HostOnly,
    /// Tap and NIC are ports of an Open vSwitch bridge with the kernel's datapath
    Ovs,
    /// The guest sits on a macvtap in bridge mode, right on the NIC
    Macvtap,
    /// As bridge, but the port is a VLAN on the NIC
    Vlan,
    /// As bridge, but the port is a VXLAN tunnel to the peer
    Vxlan,
}

impl Network {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Nat => "nat",
            Self::Routed => "routed",
            Self::HostOnly => "host-only",
            Self::Ovs => "ovs",
            Self::Macvtap => "macvtap",
            Self::Vlan => "vlan",
            Self::Vxlan => "vxlan",
        }
    }

    /// The kernel's module without which there is no such network, where not every kernel has it.
    pub(crate) fn module(self) -> Option<&'static str> {
        match self {
            Self::Macvtap => Some("macvtap"),
            Self::Vlan => Some("8021q"),
            Self::Vxlan => Some("vxlan"),
            Self::Bridge | Self::Nat | Self::Routed | Self::HostOnly | Self::Ovs => None,
        }
    }

    /// Whether the host forwards the guests' packets by IP.
    pub(crate) fn is_routed(self) -> bool {
        match self {
            Self::Nat | Self::Routed => true,
            Self::Bridge | Self::HostOnly | Self::Ovs | Self::Macvtap | Self::Vlan | Self::Vxlan => false,
        }
    }

    /// Whether the guests' network is another one than the wire's.
    pub(crate) fn is_apart(self) -> bool {
        self.is_routed() || self == Self::HostOnly
    }

    /// Whether there is a device `br0`.
    pub(crate) fn has_bridge(self) -> bool {
        match self {
            Self::Bridge | Self::Nat | Self::HostOnly | Self::Ovs | Self::Vlan | Self::Vxlan => true,
            Self::Routed | Self::Macvtap => false,
        }
    }

    /// The device on one end of the wire by which the guests' network goes on, itself or one on top of it.
    fn port(self, nic: &str) -> String {
        match self {
            Self::Vlan => format!("{nic}.{TAG}"),
            Self::Vxlan => TUNNEL.to_owned(),
            _ => nic.to_owned(),
        }
    }
}

/// Two devices of this machine that are cabled together, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cable {
    /// The one that becomes the host's NIC.
    pub(crate) nic: String,
    /// The one that becomes the peer's.
    pub(crate) peer: String,
}

impl FromStr for Cable {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some((nic, peer)) = text.split_once(',').filter(|(nic, peer)| nic != peer) else {
            bail!("`{text}` is not a pair of devices: write DEV,PEERDEV");
        };
        for name in [nic, peer] {
            // What the kernel takes for a name (dev_valid_name), less what would look like an option of `ip`.
            let sound = (1..16).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':')
                && !name.starts_with(['.', '-']);
            if !sound {
                bail!("`{name}` is not a name of a network device");
            }
            if name == BRIDGE || name == "lo" || name.starts_with(TAP_PREFIX) {
                bail!("the lab has a device {name} of its own: rename yours");
            }
        }
        Ok(Self { nic: nic.to_owned(), peer: peer.to_owned() })
    }
}

/// Everything that was chosen, but for the accelerator, which is found by trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) network: Network,
    pub(crate) guests: u8,
    /// Pairs of queues of each guest's network device.
    pub(crate) queues: u32,
    /// The devices that take the veth pair's place.
    pub(crate) wire: Option<Cable>,
    pub(crate) vhost: bool,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    /// Programs of this machine that the guests get.
    #[serde(default)]
    pub(crate) with: Vec<PathBuf>,
}

impl Spec {
    /// The host's end of the wire.
    pub(crate) fn nic(&self) -> &str {
        self.wire.as_ref().map_or(NIC, |wire| &wire.nic)
    }

    /// The peer's end.
    pub(crate) fn peer_nic(&self) -> &str {
        self.wire.as_ref().map_or(PEER_NIC, |wire| &wire.peer)
    }

    /// The port of the host's bridge that leads to the wire.
    pub(crate) fn port(&self) -> String {
        self.network.port(self.nic())
    }

    /// The device with the peer's addresses.
    pub(crate) fn peer_port(&self) -> String {
        self.network.port(self.peer_nic())
    }

    /// The taps, one a guest.
    pub(crate) fn taps(&self) -> Vec<String> {
        (1..=self.guests.min(MAX_GUESTS)).map(tap).collect()
    }

    /// The devices of the host side.
    pub(crate) fn host_devices(&self) -> Vec<String> {
        let bridge = self.network.has_bridge().then(|| BRIDGE.to_owned());
        bridge.into_iter().chain(self.taps()).chain(end(self.port(), self.nic())).collect()
    }

    /// The devices of the peer.
    pub(crate) fn peer_devices(&self) -> Vec<String> {
        end(self.peer_port(), self.peer_nic())
    }
}

/// One end of the wire, and what lies on top of it.
fn end(port: String, nic: &str) -> Vec<String> {
    if port == nic { vec![port] } else { vec![port, nic.to_owned()] }
}

impl Default for Spec {
    /// What `lab up` makes when nothing is asked for.
    fn default() -> Self {
        let network = Network::Bridge;
        let (wire, with) = (None, Vec::new());
        Self { network, guests: 1, queues: 1, wire, vhost: false, memory_mib: 256, cpus: 1, with }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, guests, queues, wire, vhost, memory_mib, cpus, with } = self;
        write!(f, "--network {} --guests {guests} --queues {queues}", network.name())?;
        if let Some(Cable { nic, peer }) = wire {
            write!(f, " --wire {nic},{peer}")?;
        }
        f.write_str(if *vhost { " --vhost" } else { "" })?;
        write!(f, " --memory {memory_mib} --cpus {cpus}")?;
        with.iter().try_for_each(|program| write!(f, " --with {}", program.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cable_has_two_ends_with_names_of_their_own() {
        let cable: Cable = "e1000e0,e1000e1".parse().unwrap();
        assert_eq!((cable.nic.as_str(), cable.peer.as_str()), ("e1000e0", "e1000e1"));
        for bad in
            ["", "eth0", "eth0,eth0", "eth0,", "eth0,a/b", "-n,eth0", "tap0,eth0", "eth0,br0", "lo,eth0"]
        {
            assert!(bad.parse::<Cable>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_network_is_recorded_under_its_name_on_the_command_line() {
        for network in Network::value_variants() {
            assert_eq!(serde_json::to_value(network).unwrap(), network.name());
            assert_eq!(network.to_possible_value().unwrap().get_name(), network.name());
        }
    }

    #[test]
    fn each_network_has_its_devices() {
        let wire = Some("e0,e1".parse().unwrap());
        for (network, wire, expected) in [
            (Network::Bridge, None, "br0 tap0 tap1 nic0"),
            (Network::Ovs, wire.clone(), "br0 tap0 tap1 e0"),
            (Network::Routed, None, "tap0 tap1 nic0"),
            (Network::HostOnly, None, "br0 tap0 tap1 nic0"),
            (Network::Macvtap, wire.clone(), "tap0 tap1 e0"),
            (Network::Vlan, wire, "br0 tap0 tap1 e0.100 e0"),
            (Network::Vxlan, None, "br0 tap0 tap1 vx0 nic0"),
        ] {
            let spec = Spec { network, wire, guests: 2, ..Spec::default() };
            assert_eq!(spec.host_devices().join(" "), expected);
        }
    }
}
