//! Questions to rtnetlink: devices, default routes, the ids by which one namespace knows another.
//! Answers are plain data of one namespace; what they mean together is `world`'s.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{
        InfoData, InfoGeneve, InfoGre, InfoGre6, InfoIpTunnel, InfoVxlan, LinkAttribute, LinkExtentMask,
        LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
    nsid::{NsidAttribute, NsidMessage},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
};
use netlink_sys::Socket;

/// Set on answers whose tables changed while they were read (uapi/linux/netlink.h, NLM_F_DUMP_INTR).
const DUMP_INTERRUPTED: u16 = 0x10;
const MAX_DUMPS: u32 = 4;

/// A device as rtnetlink describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Kind of a virtual device (IFLA_INFO_KIND); hardware has none.
    pub(super) kind: Option<String>,
    /// Whether it carries Ethernet frames (ARPHRD_ETHER).
    pub(super) ether: bool,
    pub(super) loopback: bool,
    pub(super) master: Option<u32>,
    /// The lower device, or the far end of a veth (IFLA_LINK); of a tunnel the device that it was bound to.
    pub(super) link: Option<u32>,
    /// Namespace of `link` where it is another one, by this namespace's id of it (IFLA_LINK_NETNSID).
    pub(super) link_nsid: Option<i32>,
    /// Of a tunnel: its far end, where it has one only.
    pub(super) remote: Option<IpAddr>,
    pub(super) mac: Option<String>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) queues: u32,
    /// Of hardware: its bus and its name there (since 5.14).
    pub(super) parent: Option<(String, String)>,
}

/// An rtnetlink socket of one namespace.
pub(super) struct Rtnl {
    socket: Socket,
    sequence: u32,
}

impl Rtnl {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, sequence: 0 }
    }

    /// All devices.
    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        let answers = self.dump(RouteNetlinkMessage::GetLink(link_request(0)))?;
        Ok(answers.into_iter().filter_map(as_link).collect())
    }

    /// The device of this index, if there is one.
    pub(super) fn link(&mut self, index: u32) -> io::Result<Option<Link>> {
        match self.request(RouteNetlinkMessage::GetLink(link_request(index)), NLM_F_ACK) {
            Ok((answers, _)) => Ok(answers.into_iter().find_map(as_link)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Indexes of the devices that the default routes use, IPv4's first. Of several default routes of one
    /// family only the one of the lowest metric carries frames.
    pub(super) fn default_devices(&mut self) -> io::Result<Vec<u32>> {
        let mut devices = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let routes: Vec<_> = self
                .dump(RouteNetlinkMessage::GetRoute(request))?
                .into_iter()
                .filter_map(|message| as_default_route(&message, family))
                .collect();
            let best = routes.iter().map(|(metric, _)| *metric).min();
            let used = routes.into_iter().filter(|(metric, _)| Some(*metric) == best);
            for device in used.flat_map(|(_, devices)| devices) {
                if !devices.contains(&device) {
                    devices.push(device);
                }
            }
        }
        Ok(devices)
    }

    /// Index of the device by which packets to this address leave; none without a route.
    pub(super) fn device_towards(&mut self, address: IpAddr) -> io::Result<Option<u32>> {
        let mut request = RouteMessage::default();
        (request.header.address_family, request.header.destination_prefix_length) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        request.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        match self.request(RouteNetlinkMessage::GetRoute(request), NLM_F_ACK) {
            Ok((answers, _)) => Ok(answers.iter().find_map(outgoing)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The far ends that the forwarding database of a tunnel names.
    pub(super) fn remotes(&mut self, tunnel: u32) -> io::Result<Vec<IpAddr>> {
        let mut request = NeighbourMessage::default();
        request.header.family = AddressFamily::Bridge;
        request.header.ifindex = tunnel;
        let answers = self.dump(RouteNetlinkMessage::GetNeighbour(request))?;
        // Not every kernel heeds the index in the request.
        let mut remotes: Vec<IpAddr> =
            answers.iter().filter_map(|answer| destination(answer, tunnel)).collect();
        remotes.sort_unstable();
        remotes.dedup();
        Ok(remotes)
    }

    /// The id by which this socket's namespace knows another one, if it has given it one.
    pub(super) fn nsid(&mut self, namespace: &impl AsRawFd) -> io::Result<Option<i32>> {
        let mut request = NsidMessage::default();
        let fd = namespace.as_raw_fd().cast_unsigned();
        request.attributes.push(NsidAttribute::Fd(fd));
        let (answers, _) = self.request(RouteNetlinkMessage::GetNsId(request), NLM_F_ACK)?;
        // NETNSA_NSID_NOT_ASSIGNED is -1.
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewNsId(message) => {
                message.attributes.into_iter().find_map(|attribute| match attribute {
                    NsidAttribute::Id(id) if id >= 0 => Some(id),
                    _ => None,
                })
            }
            _ => None,
        }))
    }

    /// Reads a whole table, again if it changed meanwhile. One that keeps changing is taken as it is.
    fn dump(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        for _ in 0..MAX_DUMPS {
            let interrupted;
            (answers, interrupted) = self.request(request.clone(), NLM_F_DUMP)?;
            if !interrupted {
                break;
            }
        }
        Ok(answers)
    }

    /// Sends a request and collects its answers; the flag tells whether they are inconsistent.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<(Vec<RouteNetlinkMessage>, bool)> {
        self.sequence += 1;
        let mut packet = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        packet.header.flags = NLM_F_REQUEST | flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut answers = Answers { sequence: self.sequence, ..Answers::default() };
        loop {
            let datagram = match self.socket.recv_from_full() {
                Ok((datagram, _)) => datagram,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if answers.take(&datagram)? {
                return Ok((answers.messages, answers.interrupted));
            }
        }
    }
}

/// The answers to one request, as they come in.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) sequence: u32,
    pub(super) messages: Vec<RouteNetlinkMessage>,
    interrupted: bool,
}

impl Answers {
    /// Takes the messages of a datagram; true with the last one.
    pub(super) fn take(&mut self, mut datagram: &[u8]) -> io::Result<bool> {
        while let Some(length) = datagram.first_chunk::<4>() {
            let length = u32::from_ne_bytes(*length) as usize;
            let Some(message) = datagram.get(..length).filter(|message| message.len() >= 16) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "cut netlink message"));
            };
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
                Ok(message) => {
                    if self.message(message)? {
                        return Ok(true);
                    }
                }
                // An attribute newer than the parser costs one device, not the topology.
                Err(error) => log::debug!("skipped a netlink message: {error}"),
            }
        }
        Ok(false)
    }

    fn message(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> io::Result<bool> {
        if message.header.sequence_number != self.sequence {
            return Ok(false);
        }
        self.interrupted |= message.header.flags & DUMP_INTERRUPTED != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(message) => self.messages.push(message),
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(io::Error::from_raw_os_error(done.code.wrapping_neg()));
            }
            NetlinkPayload::Done(_) => return Ok(true),
            // An acknowledgement is an error message without an error.
            NetlinkPayload::Error(error) => {
                return error
                    .code
                    .map_or(Ok(true), |code| Err(io::Error::from_raw_os_error(code.get().wrapping_neg())));
            }
            _ => {}
        }
        Ok(false)
    }
}

fn link_request(index: u32) -> LinkMessage {
    let mut request = LinkMessage::default();
    request.header.index = index;
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    request
}

pub(super) fn as_link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        ether: message.header.link_layer_type == LinkLayerType::Ether,
        loopback: message.header.link_layer_type == LinkLayerType::Loopback,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    let (mut bus, mut parent, mut infos) = (None, None, Vec::new());
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(master) => link.master = Some(master),
            LinkAttribute::Link(other) => link.link = (other != 0).then_some(other),
            LinkAttribute::LinkNetNsId(id) => link.link_nsid = Some(id),
            LinkAttribute::Address(bytes) => link.mac = mac(&bytes),
            LinkAttribute::NumTxQueues(n) | LinkAttribute::NumRxQueues(n) => link.queues = link.queues.max(n),
            LinkAttribute::ParentDevName(name) => parent = Some(name),
            LinkAttribute::ParentDevBusName(name) => bus = Some(name),
            LinkAttribute::LinkInfo(found) => infos = found,
            _ => {}
        }
    }
    // After all else: a tunnel in another namespace than its outer packets says that it is its own lower device.
    infos.iter().for_each(|info| take_info(&mut link, info));
    link.parent = bus.zip(parent);
    Some(link)
}

/// What only a device of this kind says of itself.
fn take_info(link: &mut Link, info: &LinkInfo) {
    let tunnel = match info {
        LinkInfo::Kind(kind) => {
            link.kind = Some(kind.to_string());
            return;
        }
        LinkInfo::Data(InfoData::Vxlan(data)) => ends(data, vxlan_end),
        LinkInfo::Data(InfoData::Geneve(data)) => ends(data, geneve_end),
        LinkInfo::Data(InfoData::GreTap(data) | InfoData::GreTun(data)) => ends(data, gre_end),
        LinkInfo::Data(InfoData::GreTap6(data) | InfoData::GreTun6(data)) => ends(data, gre6_end),
        LinkInfo::Data(InfoData::IpTunnel(data)) => ends(data, ip_tunnel_end),
        _ => return,
    };
    (link.link, link.remote) = tunnel;
}

/// One thing that tells where a tunnel leads to.
enum End {
    Device(u32),
    Remote(IpAddr),
}

/// The lower device that a tunnel is bound to, and its far end, each where it has one.
fn ends<T>(data: &[T], end: impl Fn(&T) -> Option<End>) -> (Option<u32>, Option<IpAddr>) {
    let (mut device, mut remote) = (None, None);
    for end in data.iter().filter_map(end) {
        match end {
            End::Device(index) => device = (index != 0).then_some(index),
            End::Remote(address) => remote = (!address.is_unspecified()).then_some(address),
        }
    }
    (device, remote)
}

fn vxlan_end(info: &InfoVxlan) -> Option<End> {
    match info {
        InfoVxlan::Link(index) => Some(End::Device(*index)),
        InfoVxlan::Group(address) => Some(End::Remote((*address).into())),
        InfoVxlan::Group6(address) => Some(End::Remote((*address).into())),
        _ => None,
    }
}

fn geneve_end(info: &InfoGeneve) -> Option<End> {
    match info {
        InfoGeneve::Remote(address) => Some(End::Remote((*address).into())),
        InfoGeneve::Remote6(address) => Some(End::Remote((*address).into())),
        _ => None,
    }
}

fn gre_end(info: &InfoGre) -> Option<End> {
    match info {
        InfoGre::Link(index) => Some(End::Device(*index)),
        InfoGre::Remote(address) => Some(End::Remote((*address).into())),
        _ => None,
    }
}

fn gre6_end(info: &InfoGre6) -> Option<End> {
    match info {
        InfoGre6::Link(index) => Some(End::Device(*index)),
        InfoGre6::Remote(address) => Some(End::Remote((*address).into())),
        _ => None,
    }
}

fn ip_tunnel_end(info: &InfoIpTunnel) -> Option<End> {
    match info {
        InfoIpTunnel::Link(index) => Some(End::Device(*index)),
        InfoIpTunnel::Remote(address) => Some(End::Remote(*address)),
        _ => None,
    }
}

/// The device of a route.
fn outgoing(message: &RouteNetlinkMessage) -> Option<u32> {
    let RouteNetlinkMessage::NewRoute(route) = message else { return None };
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(device) => Some(*device),
        _ => None,
    })
}

/// Where an entry of a tunnel's forwarding database sends frames.
fn destination(message: &RouteNetlinkMessage, tunnel: u32) -> Option<IpAddr> {
    let RouteNetlinkMessage::NewNeighbour(entry) = message else { return None };
    if entry.header.ifindex != tunnel {
        return None;
    }
    let address = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::from(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        // The family is the bridge's, so that the length alone tells.
        NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => from_bytes(bytes),
        _ => None,
    })?;
    (!address.is_unspecified()).then_some(address)
}

fn from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into());
    ipv4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).into())).ok()
}

fn mac(bytes: &[u8]) -> Option<String> {
    let words: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (words.len() == 6).then(|| words.join(":"))
}

/// The metric and the devices of a unicast default route of the main table.
pub(super) fn as_default_route(
    message: &RouteNetlinkMessage,
    family: AddressFamily,
) -> Option<(u32, Vec<u32>)> {
    let RouteNetlinkMessage::NewRoute(route) = message else { return None };
    let RouteMessage { header, attributes, .. } = route;
    if header.address_family != family
        || header.destination_prefix_length != 0
        || header.table != RouteHeader::RT_TABLE_MAIN
        || header.kind != RouteType::Unicast
    {
        return None;
    }
    let (mut metric, mut devices) = (0, Vec::new());
    for attribute in attributes {
        match attribute {
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Oif(device) => devices.push(*device),
            RouteAttribute::MultiPath(hops) => devices.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    Some((metric, devices))
}
