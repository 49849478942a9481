//! Puts the topology together: holders of taps, their namespaces, the paths behind.
//!
//! The host changes while it is read. What goes away meanwhile is left out; only what would make the whole
//! picture wrong, such as a missing privilege, is an error.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    behind::behind,
    model::{Tap, ThreadRole, Topology, Vm, Vmm},
    netlink::Link,
    netns,
    process::{self, Holder, Processes, TapFd},
    tunfd, vmm,
    world::{World, kind},
};

/// A tap on the host: its namespace and its index there.
type Place = (u32, u32);

/// A process with the taps it holds, before it is known which of them are its own.
struct Candidate {
    vm: Vm,
    taps: BTreeMap<Place, Vec<i32>>,
}

impl Topology {
    /// Finds the VMs of this host and the paths behind their taps. Needs root.
    pub fn discover() -> Result<Self> {
        process::check_permission()?;
        let processes = process::scan()?;
        let mut world = World::new()?;
        let mut candidates: Vec<Candidate> =
            processes.holders.iter().filter_map(|holder| candidate(&mut world, holder, &processes)).collect();
        settle(&mut candidates);
        let vms = candidates.into_iter().map(|candidate| finish(&mut world, candidate));
        Ok(Self { vms: vms.filter(|vm| !vm.taps.is_empty()).collect() })
    }
}

/// Reads a holder; none if it holds no tap after all or is gone.
fn candidate(world: &mut World, holder: &Holder, processes: &Processes) -> Option<Candidate> {
    let pid = holder.pid;
    let start_time = process::start_time(pid)?;
    let mut taps: BTreeMap<Place, Vec<i32>> = BTreeMap::new();
    for tap in &holder.fds {
        if let Some(place) = place(world, pid, *tap) {
            taps.entry(place).or_default().push(tap.fd);
        }
    }
    if taps.is_empty() {
        return None;
    }
    let exe = process::executable(pid)?;
    let vmm = vmm::vmm(&exe);
    let name = vmm::name(&vmm, &exe, pid, &process::cmdline(pid));
    let threads = process::threads(pid, &vmm, &processes.vhost);
    // Another process may have taken over the PID while it was read.
    if process::start_time(pid) != Some(start_time) {
        return None;
    }
    let vm = Vm { name, vmm, pid, start_time, threads, taps: Vec::new(), kvm: holder.kvm };
    Some(Candidate { vm, taps })
}

/// Where the device of a descriptor is; none if it is no tap or went away.
fn place(world: &mut World, pid: i32, tap: TapFd) -> Option<Place> {
    let inspected = tunfd::inspect(pid, tap.fd);
    match (tap.macvtap, inspected) {
        (Some(index), inspected) => macvtap_place(world, pid, index, inspected.ok().map(|fd| fd.name)),
        (None, Ok(fd)) if fd.tap => {
            let netns = match fd.netns {
                Some(file) => world.namespaces.add_file(file).ok()?,
                None => netns::of_process(pid)?,
            };
            Some((netns, world.by_name(netns, &fd.name).ok()??.index))
        }
        // IFF_TUN: bare IP packets, as VPN daemons use it.
        (None, Ok(_)) => None,
        // Open and not yet attached to a device, or closed since.
        (None, Err(error))
            if matches!(error.raw_os_error(), Some(libc::EBADFD | libc::EBADF | libc::ESRCH)) =>
        {
            None
        }
        // The descriptor cannot be duplicated (before 5.6, or a security module objects): the name is in its
        // fdinfo, the namespace most likely the process's.
        (None, Err(error)) => {
            log::debug!("descriptor {} of process {pid} is read by its fdinfo: {error}", tap.fd);
            let netns = netns::of_process(pid)?;
            let link = world.by_name(netns, &process::fdinfo_name(pid, tap.fd)?).ok()??;
            (link.kind.as_deref() == Some("tun") && link.ether).then_some((netns, link.index))
        }
    }
}

/// A macvtap's driver does not tell its namespace: it is the one that has a macvtap of this index and name,
/// the process's own before any other.
fn macvtap_place(world: &mut World, pid: i32, index: u32, name: Option<String>) -> Option<Place> {
    let matches = |link: &Link| {
        matches!(link.kind.as_deref(), Some("macvtap" | "ipvtap"))
            && name.as_ref().is_none_or(|name| *name == link.name)
    };
    let process = netns::of_process(pid);
    process.into_iter().chain(world.namespaces.inodes()).find_map(|netns| {
        let link = world.links(netns).ok()?.get(&index)?;
        matches(link).then_some((netns, index))
    })
}

/// Leaves each tap to one process. A helper that inherited or passes on the descriptor holds it too; the VM is
/// the known VMM, else the one with vCPUs, else the oldest PID.
fn settle(candidates: &mut Vec<Candidate>) {
    let mut owners: BTreeMap<Place, (Rank, i32)> = BTreeMap::new();
    for candidate in candidates.iter() {
        for place in candidate.taps.keys() {
            let claim = (rank(&candidate.vm), candidate.vm.pid);
            let owner = owners.entry(*place).or_insert(claim);
            if claim.0 > owner.0 {
                *owner = claim;
            }
        }
    }
    for Candidate { vm, taps } in candidates.iter_mut() {
        taps.retain(|place, _| owners.get(place).is_some_and(|(_, pid)| *pid == vm.pid));
    }
    candidates.retain(|candidate| !candidate.taps.is_empty());
}

/// How much a process looks like a VMM: known by name, has vCPUs.
type Rank = (bool, bool);

fn rank(vm: &Vm) -> Rank {
    let vcpus = vm.threads.iter().any(|thread| matches!(thread.role, ThreadRole::Vcpu(_)));
    (!matches!(vm.vmm, Vmm::Other(_)), vcpus)
}

/// Describes a VM's taps and what is behind them.
fn finish(world: &mut World, candidate: Candidate) -> Vm {
    let Candidate { mut vm, taps } = candidate;
    for ((netns, index), fds) in taps {
        match tap(world, netns, index, fds) {
            Ok(tap) => vm.taps.extend(tap),
            // Its namespace was removed between two questions.
            Err(error) => log::debug!("a tap of {} is left out: {error:#}", vm.name),
        }
    }
    vm
}

fn tap(world: &mut World, netns: u32, index: u32, fds: Vec<i32>) -> Result<Option<Tap>> {
    let Some(link) = world.links(netns)?.get(&index).cloned() else { return Ok(None) };
    let mut device = world.device(netns, &link)?;
    debug_assert_eq!(device.kind, kind(&link));
    device.queues = u32::try_from(fds.len())?;
    let behind = behind(world, netns, &link)?;
    Ok(Some(Tap { device, fds, switch: behind.switch, routed: behind.routed, nics: behind.nics }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Thread;

    fn holder(pid: i32, vmm: Vmm, vcpu: bool, places: &[Place]) -> Candidate {
        let role = if vcpu { ThreadRole::Vcpu(0) } else { ThreadRole::Io };
        let threads = vec![Thread { tid: pid, name: "x".into(), role }];
        let vm = Vm { name: "x".into(), vmm, pid, start_time: 1, threads, taps: Vec::new(), kvm: false };
        Candidate { vm, taps: places.iter().map(|place| (*place, vec![3])).collect() }
    }

    #[test]
    fn a_shared_tap_belongs_to_the_vmm() {
        let other = || Vmm::Other("helper".into());
        for (candidates, owner) in [
            (vec![holder(1, other(), true, &[(1, 1)]), holder(2, Vmm::Qemu, false, &[(1, 1)])], 2),
            (vec![holder(1, other(), false, &[(1, 1)]), holder(2, other(), true, &[(1, 1)])], 2),
            (vec![holder(1, other(), false, &[(1, 1)]), holder(2, other(), false, &[(1, 1)])], 1),
        ] {
            let mut candidates = candidates;
            settle(&mut candidates);
            assert_eq!(candidates.iter().map(|c| c.vm.pid).collect::<Vec<_>>(), [owner]);
        }
    }

    #[test]
    fn a_helper_keeps_the_taps_that_are_its_alone() {
        let helper = holder(1, Vmm::Other("helper".into()), false, &[(1, 1), (1, 2)]);
        let mut candidates = vec![helper, holder(2, Vmm::Qemu, true, &[(1, 1), (2, 1)])];
        settle(&mut candidates);
        let taps: Vec<Vec<Place>> = candidates.iter().map(|c| c.taps.keys().copied().collect()).collect();
        assert_eq!(taps, [vec![(1, 2)], vec![(1, 1), (2, 1)]]);
    }
}
