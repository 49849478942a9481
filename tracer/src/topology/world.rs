//! The devices of all namespaces as one picture, filled in as it is asked. What a tap's path is made of is
//! `behind`'s; this only knows devices.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    net::IpAddr,
};

use anyhow::{Context, Result};

use super::{
    model::{Device, DeviceKind, DeviceRef},
    netlink::{Link, Rtnl},
    netns::{self, Namespaces},
    sysfs,
};

/// Every namespace that was asked for, read once.
pub(super) struct World {
    pub(super) namespaces: Namespaces,
    views: HashMap<u32, View>,
    own: u32,
}

/// One namespace.
struct View {
    rtnl: Rtnl,
    links: BTreeMap<u32, Link>,
    default_devices: Option<Vec<u32>>,
    /// The namespaces that this one has given an id, by that id.
    ids: Option<HashMap<i32, u32>>,
}

impl World {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { namespaces: Namespaces::scan()?, views: HashMap::new(), own: netns::own()? })
    }

    /// The namespace that vmhop runs in.
    pub(super) fn own(&self) -> u32 {
        self.own
    }

    /// All devices of a namespace.
    pub(super) fn links(&mut self, netns: u32) -> Result<&BTreeMap<u32, Link>> {
        Ok(&self.view(netns)?.links)
    }

    /// A device by its name.
    pub(super) fn by_name(&mut self, netns: u32, name: &str) -> Result<Option<Link>> {
        Ok(self.links(netns)?.values().find(|link| link.name == name).cloned())
    }

    /// The devices of a namespace's default routes.
    pub(super) fn default_devices(&mut self, netns: u32) -> Result<Vec<u32>> {
        let view = self.view(netns)?;
        if let Some(devices) = &view.default_devices {
            return Ok(devices.clone());
        }
        let devices = view
            .rtnl
            .default_devices()
            .with_context(|| format!("failed to read the routes of network namespace net:[{netns}]"))?;
        Ok(view.default_devices.insert(devices).clone())
    }

    /// The namespace and the index of what IFLA_LINK points to: a lower device, or a veth's far end.
    pub(super) fn linked(&mut self, netns: u32, link: &Link) -> Result<Option<(Option<u32>, u32)>> {
        let Some(index) = link.link else { return Ok(None) };
        let namespace = match link.link_nsid {
            None => Some(netns),
            Some(id) => self.ids(netns)?.get(&id).copied(),
        };
        Ok(Some((namespace, index)))
    }

    /// Where a tunnel's far ends are, as far as it was told: when it was made, or by entries of its forwarding database.
    pub(super) fn remotes(&mut self, netns: u32, tunnel: &Link) -> Result<Vec<IpAddr>> {
        if tunnel.remote.is_some() || kind(tunnel) != DeviceKind::Vxlan {
            return Ok(tunnel.remote.into_iter().collect());
        }
        let rtnl = &mut self.view(netns)?.rtnl;
        rtnl.remotes(tunnel.index)
            .with_context(|| format!("failed to read the forwarding database of {}", tunnel.name))
    }

    /// The device by which a namespace's packets to this address leave; none without a route.
    pub(super) fn device_towards(&mut self, netns: u32, address: IpAddr) -> Result<Option<Link>> {
        let view = self.view(netns)?;
        let index = view.rtnl.device_towards(address);
        let index = index.with_context(|| format!("failed to look up the route to {address}"))?;
        Ok(index.and_then(|index| view.links.get(&index).cloned()))
    }

    /// The namespace in which a tunnel's outer packets travel: the one that it was made in. None where that is not known.
    pub(super) fn underlay(&mut self, netns: u32, tunnel: &Link) -> Result<Option<u32>> {
        match tunnel.link_nsid {
            None => Ok(Some(netns)),
            Some(id) => Ok(self.ids(netns)?.get(&id).copied()),
        }
    }

    /// The full description of a device.
    pub(super) fn device(&mut self, netns: u32, link: &Link) -> Result<Device> {
        let kind = kind(link);
        let hardware = match kind {
            DeviceKind::Physical => sysfs::hardware(link, netns, &self.namespaces),
            _ => sysfs::Hardware { driver: link.kind.clone(), irqs: Vec::new() },
        };
        let far_end = match kind {
            DeviceKind::Veth => self.far_end(netns, link)?.map(Box::new),
            _ => None,
        };
        Ok(Device {
            name: link.name.clone(),
            ifindex: link.index,
            netns,
            netns_name: self.namespaces.name(netns),
            kind,
            driver: hardware.driver,
            mac: link.mac.clone(),
            mtu: link.mtu,
            up: link.up,
            far_end,
            irqs: hardware.irqs,
            queues: link.queues,
            via: Vec::new(),
        })
    }

    fn far_end(&mut self, netns: u32, link: &Link) -> Result<Option<DeviceRef>> {
        let Some((namespace, ifindex)) = self.linked(netns, link)? else { return Ok(None) };
        // The far namespace may go away or be closed to us; the near end is still worth showing.
        let name = namespace.and_then(|inode| Some(self.links(inode).ok()?.get(&ifindex)?.name.clone()));
        let netns_name = namespace.and_then(|inode| self.namespaces.name(inode));
        Ok(Some(DeviceRef { name, ifindex, netns: namespace, netns_name }))
    }

    fn ids(&mut self, netns: u32) -> Result<&HashMap<i32, u32>> {
        // Read before the mutable borrow of the view, which the namespaces are no part of.
        self.view(netns)?;
        let World { namespaces, views, .. } = self;
        let view = views.get_mut(&netns).with_context(|| format!("net:[{netns}] is not read"))?;
        let View { rtnl, ids, .. } = view;
        Ok(ids.get_or_insert_with(|| {
            let known = namespaces.inodes().into_iter();
            known.filter_map(|inode| Some((rtnl.nsid(&namespaces.open(inode)?).ok()??, inode))).collect()
        }))
    }

    fn view(&mut self, netns: u32) -> Result<&mut View> {
        match self.views.entry(netns) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let mut rtnl = Rtnl::new(self.namespaces.socket(netns)?);
                let links = rtnl.links().with_context(|| {
                    format!("failed to list the devices of network namespace net:[{netns}]")
                })?;
                let links = links.into_iter().map(|link| (link.index, link)).collect();
                Ok(entry.insert(View { rtnl, links, default_devices: None, ids: None }))
            }
        }
    }
}

/// What a device is, from rtnetlink's kind of it.
pub(super) fn kind(link: &Link) -> DeviceKind {
    match link.kind.as_deref() {
        Some("tun") if link.ether => DeviceKind::Tap,
        Some("macvtap" | "ipvtap") => DeviceKind::Macvtap,
        Some("bridge") => DeviceKind::Bridge,
        Some("veth") => DeviceKind::Veth,
        Some("vlan") => DeviceKind::Vlan,
        Some("bond") => DeviceKind::Bond,
        Some("vxlan") => DeviceKind::Vxlan,
        Some("openvswitch") => DeviceKind::Ovs,
        Some(kind) => DeviceKind::Other(kind.to_owned()),
        None if link.loopback => DeviceKind::Other("loopback".to_owned()),
        None => DeviceKind::Physical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_tells_the_device() {
        for (name, ether, expected) in [
            (Some("tun"), true, DeviceKind::Tap),
            (Some("tun"), false, DeviceKind::Other("tun".into())),
            (Some("macvtap"), true, DeviceKind::Macvtap),
            (Some("openvswitch"), true, DeviceKind::Ovs),
            (Some("ifb"), true, DeviceKind::Other("ifb".into())),
            (None, true, DeviceKind::Physical),
        ] {
            let link = Link { kind: name.map(str::to_owned), ether, ..Link::default() };
            assert_eq!(kind(&link), expected, "{name:?}");
        }
    }

    #[test]
    fn the_own_namespace_has_a_loopback() {
        let mut world = World::new().unwrap();
        let lo = world.by_name(world.own(), "lo").unwrap().unwrap();
        let device = world.device(world.own(), &lo).unwrap();
        assert_eq!((device.kind, device.ifindex), (DeviceKind::Other("loopback".into()), 1));
    }
}
