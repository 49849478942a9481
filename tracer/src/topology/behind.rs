//! What lies behind a tap: the switch that forwards its frames and the devices where they leave the host.

use anyhow::Result;

use super::{
    lower,
    model::{Device, DeviceKind, Switch, SwitchKind},
    netlink::Link,
    world::{World, kind},
};

/// A tap's path, without the tap.
#[derive(Debug, Default)]
pub(super) struct Behind {
    pub(super) switch: Option<Switch>,
    pub(super) routed: bool,
    pub(super) nics: Vec<Device>,
}

/// Follows the path from a tap in a namespace.
pub(super) fn behind(world: &mut World, netns: u32, tap: &Link) -> Result<Behind> {
    if kind(tap) == DeviceKind::Macvtap {
        return macvtap(world, netns, tap);
    }
    let master = match tap.master {
        Some(index) => world.links(netns)?.get(&index).cloned(),
        None => None,
    };
    match master {
        Some(master) => switched(world, netns, &master),
        None => route(world, netns, tap),
    }
}

/// A macvtap hands its frames to its lower device, which may be in another namespace.
fn macvtap(world: &mut World, netns: u32, tap: &Link) -> Result<Behind> {
    let Some((Some(lower_netns), index)) = world.linked(netns, tap)? else { return Ok(Behind::default()) };
    let Some(lower) = world.links(lower_netns)?.get(&index).cloned() else { return Ok(Behind::default()) };
    let device = world.device(lower_netns, &lower)?;
    let switch = Switch { kind: SwitchKind::Macvtap, device: device.clone() };
    Ok(Behind { switch: Some(switch), routed: false, nics: vec![device] })
}

/// A bridge's or datapath's other ports; if all of them are taps, its frames can only be routed on.
fn switched(world: &mut World, netns: u32, master: &Link) -> Result<Behind> {
    let device = world.device(netns, master)?;
    let switch_kind = match device.kind {
        DeviceKind::Ovs => SwitchKind::Ovs,
        // A tap in a VRF is routed in that table; its default route is not looked up.
        DeviceKind::Other(ref kind) if kind == "vrf" => SwitchKind::Route,
        _ => SwitchKind::Bridge,
    };
    let ports: Vec<Link> = world
        .links(netns)?
        .values()
        .filter(|link| link.master == Some(master.index) && switch_kind != SwitchKind::Route && leaves(link))
        .cloned()
        .collect();
    let nics = lower::nics(world, netns, &ports)?;
    let switch = Some(Switch { kind: switch_kind, device });
    if !nics.is_empty() {
        return Ok(Behind { switch, routed: false, nics });
    }
    let nics = default_devices(world, netns, master.index)?;
    Ok(Behind { switch, routed: !nics.is_empty(), nics })
}

/// A tap with no master: the host routes its frames, if it has somewhere to.
fn route(world: &mut World, netns: u32, tap: &Link) -> Result<Behind> {
    let nics = default_devices(world, netns, tap.index)?;
    if nics.is_empty() {
        return Ok(Behind::default());
    }
    let switch = Switch { kind: SwitchKind::Route, device: world.device(netns, tap)? };
    Ok(Behind { switch: Some(switch), routed: true, nics })
}

/// Whether a port leads off the host, or may: a tap leads to a VM, an internal port of OVS to the host.
pub(super) fn leaves(port: &Link) -> bool {
    !matches!(kind(port), DeviceKind::Tap | DeviceKind::Macvtap | DeviceKind::Ovs)
}

/// The NICs of the default routes' devices, other than where the frames come from.
fn default_devices(world: &mut World, netns: u32, from: u32) -> Result<Vec<Device>> {
    let indexes = world.default_devices(netns)?;
    let links = world.links(netns)?;
    let others = indexes.into_iter().filter(|index| *index != from);
    let links: Vec<Link> = others.filter_map(|index| links.get(&index).cloned()).collect();
    lower::nics(world, netns, &links)
}
