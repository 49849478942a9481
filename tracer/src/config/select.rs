//! From `--vm` and `--nic` to VMs and devices.

use anyhow::{Result, anyhow, bail, ensure};

use crate::topology::{Device, DeviceKind, Namespace, Topology, Vm, device, printable};

/// The VMs that the selectors stand for, each once; all VMs where there is no selector.
pub(super) fn vms(topology: &Topology, selectors: &[String]) -> Result<Vec<Vm>> {
    if selectors.is_empty() {
        ensure!(
            !topology.vms.is_empty(),
            "no VM found, no process holds a tap: start a VM with one, or the lab with `vmhop lab up`"
        );
        return Ok(topology.vms.clone());
    }
    let mut chosen: Vec<Vm> = Vec::new();
    for selector in selectors {
        let vm = topology.find(selector)?;
        if chosen.iter().all(|known| known.pid != vm.pid) {
            chosen.push(vm.clone());
        }
    }
    Ok(chosen)
}

/// The VMs there are of those that the selectors stand for, all where there is none: for a watch, for which neither a VM that
/// is not there yet nor two of one name are wrong.
pub(super) fn present(topology: &Topology, selectors: &[String]) -> Vec<Vm> {
    let is = |vm: &&Vm| selectors.is_empty() || selectors.iter().any(|selector| vm.answers_to(selector));
    topology.vms.iter().filter(is).cloned().collect()
}

/// Puts the named devices in the place of the NICs found, each tap's by those that its namespace has.
pub(super) fn use_nics(vms: &mut [Vm], names: &[String]) -> Result<()> {
    use_nics_by(vms, names, |netns, name| device(Namespace::Inode(netns), name))
}

fn use_nics_by(
    vms: &mut [Vm],
    names: &[String],
    look_up: impl Fn(u32, &str) -> Result<Device>,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    for tap in vms.iter_mut().flat_map(|vm| &mut vm.taps) {
        tap.nics.clear();
    }
    for name in names {
        let mut refused = None;
        let mut found = false;
        for tap in vms.iter_mut().flat_map(|vm| &mut vm.taps) {
            match look_up(tap.device.netns, name) {
                Ok(nic) => {
                    check_nic(&nic)?;
                    found = true;
                    if tap.nics.iter().all(|known| known.ifindex != nic.ifindex) {
                        tap.nics.push(nic);
                    }
                }
                Err(error) => refused = Some(error),
            }
        }
        if !found {
            return Err(refused.unwrap_or_else(|| anyhow!("no tap has a device `{name}` behind it")));
        }
    }
    for (vm, tap) in vms.iter().flat_map(|vm| vm.taps.iter().map(move |tap| (vm, tap))) {
        if tap.nics.is_empty() {
            let (tap, vm) = (printable(&tap.device.name), printable(&vm.name));
            log::warn!(
                "tap {tap} of VM {vm} has none of the devices of --nic in its namespace: its NIC is not traced"
            );
        }
    }
    Ok(())
}

/// Some devices can never be what a frame leaves the host by.
fn check_nic(nic: &Device) -> Result<()> {
    let name = printable(&nic.name);
    if nic.is_tap() {
        bail!("--nic `{name}` is a tap: name the device where frames leave the host");
    }
    ensure!(nic.kind != DeviceKind::Bridge, "--nic `{name}` is a bridge: name its port towards the wire");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Tap, Vmm};

    fn a_device(name: &str, ifindex: u32, netns: u32, kind: DeviceKind) -> Device {
        Device {
            name: name.to_owned(),
            ifindex,
            netns,
            netns_name: None,
            kind,
            driver: None,
            mac: None,
            mtu: 1500,
            up: true,
            far_end: None,
            irqs: Vec::new(),
            queues: 1,
            via: Vec::new(),
        }
    }

    fn a_vm(name: &str, pid: i32, netns: u32) -> Vm {
        let device = a_device(&format!("tap{pid}"), 9, netns, DeviceKind::Tap);
        let nics = vec![a_device("found0", 8, netns, DeviceKind::Physical)];
        let tap = Tap { device, fds: vec![3], switch: None, routed: false, nics };
        let (vmm, threads, taps) = (Vmm::Qemu, Vec::new(), vec![tap]);
        Vm { name: name.to_owned(), vmm, pid, start_time: 1, threads, taps, kvm: true }
    }

    /// Namespace 1 has eth0, br0 and tap7; namespace 2 has eth2.
    fn look_up(netns: u32, name: &str) -> Result<Device> {
        match (netns, name) {
            (1, "eth0") | (2, "eth2") => Ok(a_device(name, 2, netns, DeviceKind::Physical)),
            (1, "br0") => Ok(a_device(name, 3, netns, DeviceKind::Bridge)),
            (1, "tap7") => Ok(a_device(name, 4, netns, DeviceKind::Tap)),
            _ => bail!("no device `{name}` in network namespace net:[{netns}]: there is eth0"),
        }
    }

    fn topology() -> Topology {
        Topology { vms: vec![a_vm("web", 10, 1), a_vm("db", 20, 2)] }
    }

    fn nics(vms: &[Vm]) -> Vec<Vec<&str>> {
        vms.iter().map(|vm| vm.taps[0].nics.iter().map(|nic| nic.name.as_str()).collect()).collect()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn without_a_selector_all_vms_are_traced_and_none_is_an_error() {
        assert_eq!(vms(&topology(), &[]).unwrap(), topology().vms);
        let error = vms(&Topology::default(), &[]).unwrap_err().to_string();
        assert!(error.contains("no VM found") && error.contains("vmhop lab up"), "{error}");
    }

    #[test]
    fn a_vm_named_twice_is_traced_once() {
        let chosen = vms(&topology(), &words(&["db", "20", "tap20", "web"])).unwrap();
        assert_eq!(chosen.iter().map(|vm| vm.pid).collect::<Vec<_>>(), [20, 10]);
        let error = vms(&topology(), &words(&["db", "no"])).unwrap_err().to_string();
        assert!(error.contains("`no`") && error.contains("web (PID 10"), "{error}");
    }

    #[test]
    fn named_nics_replace_those_found_where_their_namespace_has_them() {
        let mut vms = topology().vms;
        use_nics_by(&mut vms, &[], look_up).unwrap();
        assert_eq!(nics(&vms), [["found0"], ["found0"]]);
        use_nics_by(&mut vms, &words(&["eth0", "eth2", "eth0"]), look_up).unwrap();
        assert_eq!(nics(&vms), [["eth0"], ["eth2"]]);
        use_nics_by(&mut vms, &words(&["eth0"]), look_up).unwrap();
        assert_eq!(nics(&vms), [vec!["eth0"], vec![]]);
    }

    #[test]
    fn what_cannot_be_a_nic_is_refused() {
        for (name, part) in [("br0", "is a bridge"), ("tap7", "is a tap"), ("no0", "no device `no0`")] {
            let error = use_nics_by(&mut topology().vms, &words(&[name]), look_up).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
