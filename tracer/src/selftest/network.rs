//! What the self-test's frames pass: in one namespace a host with three guests' taps, each on its own way to a NIC,
//! and in another the peers at the other ends of the wires.

use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    frames::{self, Mac},
    namespace::Namespace,
    tap,
};
use crate::{
    lab::network::macvtap,
    topology::{self, Device, DeviceRef, Switch, SwitchKind, Tap},
};

const IPV6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// A way from a guest's tap to a NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Bridge,
    Routed,
    Macvtap,
}

impl Way {
    const ALL: [Way; 3] = [Way::Bridge, Way::Routed, Way::Macvtap];

    fn number(self) -> u8 {
        self as u8
    }

    fn tap(self) -> String {
        format!("tap{}", self.number())
    }

    fn nic(self) -> String {
        format!("nic{}", self.number())
    }

    fn kind(self) -> SwitchKind {
        match self {
            Way::Bridge => SwitchKind::Bridge,
            Way::Routed => SwitchKind::Route,
            Way::Macvtap => SwitchKind::Macvtap,
        }
    }

    fn mac(self, station: u8) -> Mac {
        [2, 0, 0, 0, self.number(), station]
    }

    /// A guest's addresses, IPv4 and IPv6.
    fn guest(self) -> [&'static str; 2] {
        match self {
            Way::Bridge => ["192.0.2.2", "2001:db8:0::2"],
            Way::Routed => ["198.51.100.2", "2001:db8:1::2"],
            Way::Macvtap => ["203.0.113.2", "2001:db8:2::2"],
        }
    }

    fn peer(self) -> [&'static str; 2] {
        match self {
            Way::Bridge => ["192.0.2.1", "2001:db8:0::1"],
            Way::Routed => ["192.0.2.65", "2001:db8:3::1"],
            Way::Macvtap => ["203.0.113.1", "2001:db8:2::1"],
        }
    }
}

/// Stations of a way, as the last byte of their hardware address.
const GUEST: u8 = 1;
const TAP: u8 = 2;
const NIC: u8 = 3;
const PEER: u8 = 4;

/// A guest's tap, and how to send from it and to it.
pub(super) struct Port {
    pub(super) way: Way,
    /// Opened as a VMM opens it.
    pub(super) file: File,
    /// What lies behind it.
    pub(super) tap: Tap,
    /// What the guest sends, one frame each.
    pub(super) frames: Vec<Vec<u8>>,
    /// The peer's sockets, connected to the guest.
    pub(super) peers: Vec<UdpSocket>,
}

/// All of it. Dropped, it is gone.
pub(super) struct Network {
    pub(super) ports: Vec<Port>,
    /// Ways that could not be made, and why.
    pub(super) left_out: Vec<(Way, String)>,
    /// Whether frames of IPv6 are among those sent.
    pub(super) ipv6: bool,
    _namespaces: [Namespace; 2],
}

impl Network {
    /// Makes as many of the ways as this kernel can.
    pub(super) fn make() -> Result<Network> {
        let (host, peer) = (Namespace::new()?, Namespace::new()?);
        let ipv6 = host.inside(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("failed to switch on forwarding")?;
            Ok(Path::new(IPV6).exists() && fs::write(IPV6, "1").is_ok())
        })?;
        let (mut ports, mut left_out) = (Vec::new(), Vec::new());
        for way in Way::ALL {
            let making = Making { way, host: &host, peer: &peer, ipv6 };
            match making.port() {
                Ok(port) => ports.push(port),
                Err(error) => left_out.push((way, format!("{error:#}"))),
            }
        }
        if ports.is_empty() {
            return Err(anyhow!(left_out.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ")));
        }
        Ok(Network { ports, left_out, ipv6, _namespaces: [host, peer] })
    }
}

/// Where a way is being made.
struct Making<'a> {
    way: Way,
    host: &'a Namespace,
    peer: &'a Namespace,
    ipv6: bool,
}

impl Making<'_> {
    fn port(&self) -> Result<Port> {
        let way = self.way;
        self.host.ip(&self.wire())?;
        let file = match way {
            Way::Macvtap => {
                self.host.ip(&self.macvtap())?;
                self.host.inside(|| macvtap::open_here(&way.tap(), 1))?.pop().context("no queue")?
            }
            Way::Bridge | Way::Routed => self.host.inside(|| tap::open(&way.tap()))?,
        };
        self.host.ip(&self.switch())?;
        self.peer.ip(&self.at_peer())?;
        let tap = self.tap(&file)?;
        Ok(Port { way, file, tap, frames: self.frames(), peers: self.peers()? })
    }

    fn wire(&self) -> Vec<String> {
        let (way, nic, tap) = (self.way, self.way.nic(), self.way.number());
        let (near, far, peer) = (shown(way.mac(NIC)), shown(way.mac(PEER)), self.peer.path());
        let far = format!("peer name eth{tap} address {far} netns {peer}");
        vec![format!("link add {nic} address {near} type veth {far}"), format!("link set {nic} up")]
    }

    fn macvtap(&self) -> Vec<String> {
        let (nic, tap, mac) = (self.way.nic(), self.way.tap(), shown(self.way.mac(GUEST)));
        vec![format!("link add link {nic} name {tap} address {mac} type macvtap mode bridge")]
    }

    /// What connects tap and NIC, which exist.
    fn switch(&self) -> Vec<String> {
        let (way, nic, tap) = (self.way, self.way.nic(), self.way.tap());
        let mut lines = match way {
            Way::Bridge => vec![
                "link add br0 type bridge stp_state 0 forward_delay 0".to_owned(),
                format!("link set {tap} master br0"),
                format!("link set {nic} master br0"),
                "link set br0 up".to_owned(),
            ],
            Way::Routed => vec![format!("link set {tap} address {}", shown(way.mac(TAP)))],
            Way::Macvtap => Vec::new(),
        };
        lines.push(format!("link set {tap} up"));
        if way == Way::Routed {
            lines.extend(self.addresses(&tap, &["198.51.100.1/24", "2001:db8:1::1/64"]));
            lines.extend(self.addresses(&nic, &["192.0.2.66/26", "2001:db8:3::2/64"]));
            lines.extend(self.neighbours(&tap, way.guest(), way.mac(GUEST)));
            lines.extend(self.neighbours(&nic, way.peer(), way.mac(PEER)));
        }
        lines
    }

    fn at_peer(&self) -> Vec<String> {
        let (way, device) = (self.way, format!("eth{}", self.way.number()));
        let mut lines = vec![format!("link set {device} up")];
        match way {
            Way::Bridge => lines.extend(self.addresses(&device, &["192.0.2.1/26", "2001:db8::1/64"])),
            Way::Macvtap => lines.extend(self.addresses(&device, &["203.0.113.1/24", "2001:db8:2::1/64"])),
            Way::Routed => {
                lines.extend(self.addresses(&device, &["192.0.2.65/26", "2001:db8:3::1/64"]));
                lines.extend(self.neighbours(&device, ["192.0.2.66", "2001:db8:3::2"], way.mac(NIC)));
                lines.push("route add 198.51.100.0/24 via 192.0.2.66".to_owned());
                if self.ipv6 {
                    lines.push("-6 route add 2001:db8:1::/64 via 2001:db8:3::2".to_owned());
                }
                return lines;
            }
        }
        lines.extend(self.neighbours(&device, way.guest(), way.mac(GUEST)));
        lines
    }

    /// Without duplicate address detection, or IPv6 could not be used for its first second.
    fn addresses(&self, device: &str, addresses: &[&str; 2]) -> Vec<String> {
        let mut lines = vec![format!("addr add {} dev {device}", addresses[0])];
        if self.ipv6 {
            lines.push(format!("addr add {} dev {device} nodad", addresses[1]));
        }
        lines
    }

    /// Nobody is there to answer for a guest, so it is known beforehand.
    fn neighbours(&self, device: &str, addresses: [&str; 2], mac: Mac) -> Vec<String> {
        let known = addresses.into_iter().take(if self.ipv6 { 2 } else { 1 });
        known
            .map(|at| format!("neigh replace {at} lladdr {} dev {device} nud permanent", shown(mac)))
            .collect()
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        let next = if self.way == Way::Routed { TAP } else { PEER };
        let macs = (self.way.mac(GUEST), self.way.mac(next));
        let mut frames: Vec<_> =
            self.pairs().into_iter().map(|(guest, peer)| frames::udp(macs, guest, peer)).collect();
        if self.way == Way::Routed {
            // One for the hook that tells of drops.
            frames.extend(frames.first().cloned().map(frames::spoilt));
        }
        frames
    }

    fn peers(&self) -> Result<Vec<UdpSocket>> {
        self.peer.inside(|| {
            let connect = |(guest, peer): (IpAddr, IpAddr)| -> Result<UdpSocket> {
                let socket = UdpSocket::bind(SocketAddr::new(peer, 0))
                    .with_context(|| format!("failed to open a socket on {peer}"))?;
                socket
                    .connect(SocketAddr::new(guest, 9))
                    .with_context(|| format!("failed to reach {guest}"))?;
                Ok(socket)
            };
            self.pairs().into_iter().map(connect).collect()
        })
    }

    /// Guest's and peer's addresses.
    fn pairs(&self) -> Vec<(IpAddr, IpAddr)> {
        let both = self.way.guest().into_iter().zip(self.way.peer()).take(if self.ipv6 { 2 } else { 1 });
        both.filter_map(|(guest, peer)| Some((guest.parse().ok()?, peer.parse().ok()?))).collect()
    }

    /// What discovery would find.
    fn tap(&self, file: &File) -> Result<Tap> {
        use std::os::fd::AsRawFd as _;

        let way = self.way;
        let find = |name: &str| topology::device(topology::Namespace::Own, name);
        let far_ifindex = self.peer.inside(|| Ok(find(&format!("eth{}", way.number()))?.ifindex))?;
        let [device, mut nic, on] = self.host.inside(|| {
            let on = match way {
                Way::Bridge => "br0".to_owned(),
                Way::Routed => way.tap(),
                Way::Macvtap => way.nic(),
            };
            let found: [Device; 3] = [find(&way.tap())?, find(&way.nic())?, find(&on)?];
            Ok(found)
        })?;
        let netns = Some(self.peer.inode()?);
        nic.far_end = Some(Box::new(DeviceRef { name: None, ifindex: far_ifindex, netns, netns_name: None }));
        let switch = Some(Switch { kind: way.kind(), device: on });
        Ok(Tap { device, fds: vec![file.as_raw_fd()], switch, routed: way == Way::Routed, nics: vec![nic] })
    }
}

fn shown(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
