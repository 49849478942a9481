//! From a device that sits on others (a VLAN, a bond, a tunnel, a bridge with an address) down to the devices where
//! frames leave the host.
//!
//! A tunnel leads on by the device that it is bound to, else by the routes to its far ends. One whose far ends are not
//! known to it (those of Open vSwitch are in its flows) is taken for a NIC itself: what is below is not guessed.

use anyhow::Result;

use super::{
    behind::leaves,
    model::{Device, DeviceKind},
    netlink::Link,
    world::{World, kind},
};

/// Devices on top of each other that are followed: a tunnel over a VLAN over a bond over a NIC are four.
const MAX_DEPTH: usize = 8;

/// A device with its namespace.
type Place = (u32, Link);

/// The NICs below these devices of a namespace, each with the devices that lead to it.
pub(super) fn nics(world: &mut World, netns: u32, uppers: &[Link]) -> Result<Vec<Device>> {
    let mut found = Vec::new();
    for upper in uppers {
        descend(world, (netns, upper.clone()), &mut Vec::new(), &mut found)?;
    }
    Ok(found)
}

fn descend(world: &mut World, place: Place, via: &mut Vec<Device>, found: &mut Vec<Device>) -> Result<()> {
    let (netns, link) = place;
    let device = world.device(netns, &link)?;
    let mut lower = if via.len() < MAX_DEPTH { below(world, netns, &link)? } else { Vec::new() };
    // A route to a tunnel's far end may lead into the tunnel.
    let passed = |(netns, link): &Place| {
        let is = |device: &Device| (device.netns, device.ifindex) == (*netns, link.index);
        is(&device) || via.iter().any(is)
    };
    lower.retain(|place| !passed(place));
    if lower.is_empty() {
        found.push(Device { via: via.clone(), ..device });
        return Ok(());
    }
    via.push(device);
    for place in lower {
        descend(world, place, via, found)?;
    }
    via.pop();
    Ok(())
}

/// The devices right below; none below a NIC.
fn below(world: &mut World, netns: u32, link: &Link) -> Result<Vec<Place>> {
    match (kind(link), link.kind.as_deref()) {
        (DeviceKind::Vlan, _) | (_, Some("macvlan" | "ipvlan" | "macsec")) => bound(world, netns, link),
        (DeviceKind::Bond | DeviceKind::Bridge, _) | (_, Some("team")) => members(world, netns, link),
        (DeviceKind::Vxlan, _)
        | (_, Some("geneve" | "gretap" | "gre" | "ip6gretap" | "ip6gre" | "ipip" | "ip6tnl" | "sit")) => {
            tunnel(world, netns, link)
        }
        _ => Ok(Vec::new()),
    }
}

/// The device that this one was made on, which may be in another namespace.
fn bound(world: &mut World, netns: u32, link: &Link) -> Result<Vec<Place>> {
    let Some((Some(lower_netns), index)) = world.linked(netns, link)? else { return Ok(Vec::new()) };
    let lower = world.links(lower_netns)?.get(&index).cloned();
    Ok(lower.map(|lower| (lower_netns, lower)).into_iter().collect())
}

/// A bond's devices, a bridge's ports.
fn members(world: &mut World, netns: u32, link: &Link) -> Result<Vec<Place>> {
    let is_member = |other: &&Link| other.master == Some(link.index) && leaves(other);
    Ok(world.links(netns)?.values().filter(is_member).map(|member| (netns, member.clone())).collect())
}

fn tunnel(world: &mut World, netns: u32, link: &Link) -> Result<Vec<Place>> {
    let bound = bound(world, netns, link)?;
    if !bound.is_empty() {
        return Ok(bound);
    }
    let Some(underlay) = world.underlay(netns, link)? else { return Ok(Vec::new()) };
    let mut lower: Vec<Place> = Vec::new();
    for remote in world.remotes(netns, link)? {
        let device = world.device_towards(underlay, remote)?;
        let new = device.filter(|device| lower.iter().all(|(_, known)| known.index != device.index));
        lower.extend(new.map(|device| (underlay, device)));
    }
    Ok(lower)
}
