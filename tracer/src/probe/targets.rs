//! What the programs watch: devices, threads, descriptors and interrupts, as the maps' contents.
//!
//! Numbers are stable while VMs come and go: [`Targets::next`] leaves each device its slot and each VM its number, and a
//! device that is gone keeps its slot until [`Targets::forget`], since events and figures name it by that.

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{Ebpf, Pod, maps::HashMap};
use tracer_common::{
    config::{Bucket, Role, ThreadRole, device_key, device_value, fd_key, thread_value},
    event::NO_DEVICE,
};

use super::change::{Change, MapChange, apply};
use crate::{
    recording::DeviceSlot,
    topology::{Device, DeviceKind, Tap, ThreadRole as VmThreadRole, Vm},
};

/// Slots that the records have room for; 255 stands for none.
const MAX_DEVICES: u8 = NO_DEVICE;

/// One traced device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Number in the events.
    pub slot: u8,
    /// What it is to the path.
    pub role: Role,
    /// Name of the VM.
    pub vm: String,
    /// The device.
    pub device: Device,
}

impl Target {
    /// Whether it stands for this device. A NIC may serve several VMs; a tap that another VM has got is another target,
    /// since its slot tells the VM.
    fn is(&self, role: Role, vm: &Vm, device: &Device) -> bool {
        (self.device.netns, self.device.ifindex) == (device.netns, device.ifindex)
            && self.role == role
            && (role == Role::Nic || self.vm == vm.name)
    }
}

/// What the programs watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Devices in the order in which they were found.
    pub devices: Vec<Target>,
    /// What could not be watched, a sentence each.
    pub left_out: Vec<String>,
    /// Devices that are gone, and whose slots are not free yet.
    gone: Vec<Target>,
    /// Numbers of VMs, by process and its start.
    numbers: Vec<(u8, (i32, u64))>,
    far_ends: Vec<(u64, u32)>,
    transits: Vec<(u64, u32)>,
    processes: Vec<(u32, u32)>,
    threads: Vec<(u32, u32)>,
    tap_fds: Vec<(u64, u32)>,
    irqs: Vec<(u32, u32)>,
}

impl Targets {
    /// Everything to watch for `vms`, each with its taps and their NICs. A NIC of several VMs has one slot.
    ///
    /// # Errors
    /// More devices than an event can name, more VMs than there are numbers.
    pub fn of(vms: &[Vm]) -> Result<Targets> {
        let targets = Targets::default().next(vms);
        match targets.left_out.first() {
            None => Ok(targets),
            Some(why) => bail!("{why}: name fewer with --vm or --nic"),
        }
    }

    /// Everything to watch for `vms` after this. What there is no number for is left out, and said so.
    pub fn next(&self, vms: &[Vm]) -> Targets {
        let mut next = Targets::default();
        for vm in vms {
            let Some(number) = self.number(&next, vm) else {
                next.left_out.push(format!("VM {} is not traced: there are more than 256 VMs", vm.name));
                continue;
            };
            next.numbers.push((number, (vm.pid, vm.start_time)));
            next.add_threads(vm, number);
            next.processes.push((vm.pid as u32, 1));
            for tap in &vm.taps {
                if let Err(why) = next.add_tap(self, vm, tap) {
                    next.left_out.push(format!("{why:#}"));
                }
            }
        }
        let still = |target: &&Target| next.devices.iter().all(|device| device.slot != target.slot);
        next.gone = self.devices.iter().chain(&self.gone).filter(still).cloned().collect();
        next
    }

    /// Frees the slots of devices that are gone: nothing names them any more.
    pub fn forget(&mut self) {
        self.gone.clear();
    }

    /// What the maps need in order to hold `next` in the place of this.
    pub fn difference(&self, next: &Targets) -> Change {
        Change {
            devices: MapChange::between(&self.device_entries(), &next.device_entries()),
            threads: MapChange::between(&self.threads, &next.threads),
            processes: MapChange::between(&self.processes, &next.processes),
            tap_fds: MapChange::between(&self.tap_fds, &next.tap_fds),
            irqs: MapChange::between(&self.irqs, &next.irqs),
        }
    }

    /// The VM's number, as it was or the lowest that no VM has, nor had a moment ago.
    fn number(&self, next: &Targets, vm: &Vm) -> Option<u8> {
        let process = (vm.pid, vm.start_time);
        let known = self.numbers.iter().find(|(_, known)| *known == process).map(|(number, _)| *number);
        let taken =
            |number: &u8| [self, next].iter().any(|of| of.numbers.iter().any(|(other, _)| other == number));
        known.or_else(|| (0..=u8::MAX).find(|number| !taken(number)))
    }

    fn add_tap(&mut self, before: &Targets, vm: &Vm, tap: &Tap) -> Result<()> {
        let role = if tap.device.kind == DeviceKind::Macvtap { Role::Macvtap } else { Role::Tap };
        let slot = self.add_device(before, role, vm, &tap.device)?;
        self.add_transit(tap);
        for &fd in &tap.fds {
            self.tap_fds.push((fd_key(vm.pid as u32, fd as u32), slot.into()));
        }
        for nic in &tap.nics {
            self.add_nic(before, vm, nic)?;
            nic.via.iter().for_each(|upper| self.add_upper(upper));
        }
        Ok(())
    }

    fn add_threads(&mut self, vm: &Vm, number: u8) {
        for thread in &vm.threads {
            let (role, vcpu) = match thread.role {
                VmThreadRole::Io | VmThreadRole::Vhost => (ThreadRole::Io, 0),
                VmThreadRole::Vcpu(vcpu) if vm.kvm => (ThreadRole::Vcpu, vcpu),
                VmThreadRole::Vcpu(vcpu) => (ThreadRole::EmulatedVcpu, vcpu),
                VmThreadRole::Other => continue,
            };
            self.threads.push((thread.tid as u32, thread_value(role, number, vcpu as u16)));
        }
    }

    /// A routed frame enters IP on the bridge itself, and leaves it there on its way back.
    fn add_transit(&mut self, tap: &Tap) {
        if let Some(switch) = tap.switch.as_ref().filter(|_| tap.routed) {
            self.add_upper(&switch.device);
        }
    }

    /// A device on the way: as a port of the bridge or behind IP a frame is on it, and not yet, or no more, on the NIC.
    fn add_upper(&mut self, device: &Device) {
        self.transits
            .push((device_key(device.netns, device.ifindex), device_value(NO_DEVICE, Role::Transit)));
    }

    fn add_nic(&mut self, before: &Targets, vm: &Vm, nic: &Device) -> Result<()> {
        let slot = self.add_device(before, Role::Nic, vm, nic)?;
        self.irqs.extend(nic.irqs.iter().map(|&irq| (irq, u32::from(slot))));
        if let Some(far) = &nic.far_end
            && let Some(netns) = far.netns
        {
            self.far_ends.push((device_key(netns, far.ifindex), device_value(slot, Role::FarEnd)));
        }
        Ok(())
    }

    fn add_device(&mut self, before: &Targets, role: Role, vm: &Vm, device: &Device) -> Result<u8> {
        let same =
            |target: &&Target| target.device.netns == device.netns && target.device.ifindex == device.ifindex;
        if let Some(known) = self.devices.iter().find(same) {
            return Ok(known.slot);
        }
        let named = || before.devices.iter().chain(&before.gone);
        let slot = match named().find(|target| target.is(role, vm, device)) {
            Some(known) => known.slot,
            None => {
                let taken = |slot: &u8| named().chain(&self.devices).any(|target| target.slot == *slot);
                (0..MAX_DEVICES).find(|slot| !taken(slot)).with_context(|| {
                    format!(
                        "device {} of VM {} is not traced: more than {MAX_DEVICES} devices to trace",
                        device.name, vm.name
                    )
                })?
            }
        };
        self.devices.push(Target { slot, role, vm: vm.name.clone(), device: device.clone() });
        Ok(slot)
    }

    /// Threads of vCPUs on KVM.
    pub fn vcpus(&self) -> Vec<u32> {
        let is_vcpu = |(_, value): &&(u32, u32)| *value as u8 == ThreadRole::Vcpu as u8;
        self.threads.iter().filter(is_vcpu).map(|(tid, _)| *tid).collect()
    }

    /// The devices as a recording names them.
    pub fn slots(&self) -> Vec<DeviceSlot> {
        let describe = |target: &Target| DeviceSlot {
            slot: target.slot,
            role: if target.role == Role::Nic { "nic" } else { "tap" }.to_owned(),
            vm: target.vm.clone(),
            device: target.device.clone(),
        };
        self.devices.iter().map(describe).collect()
    }

    /// The VM that a slot's device belongs to, or did.
    pub fn vm_of(&self, slot: u8) -> Option<&str> {
        let named = self.devices.iter().chain(&self.gone);
        named.into_iter().find(|target| target.slot == slot).map(|target| target.vm.as_str())
    }

    /// How many slots are free.
    pub fn free_slots(&self) -> usize {
        usize::from(MAX_DEVICES).saturating_sub(self.devices.len() + self.gone.len())
    }

    /// Entries of the map of devices. The traced ones last, so that a veth whose both ends are traced keeps its own role.
    fn device_entries(&self) -> Vec<(u64, u32)> {
        let device = |target: &Target| {
            (device_key(target.device.netns, target.device.ifindex), device_value(target.slot, target.role))
        };
        let mut devices = [self.transits.as_slice(), &self.far_ends].concat();
        devices.extend(self.devices.iter().map(device));
        devices
    }

    /// How many buckets the tables of devices and of threads need for what is there now.
    pub(super) fn buckets(&self) -> (u32, u32) {
        let devices = self.device_entries();
        let devices = devices.iter().map(|(key, _)| *key);
        let threads = self.threads.iter().map(|(tid, _)| u64::from(*tid));
        (Bucket::wanted(devices), Bucket::wanted(threads))
    }

    /// Fills the maps, which are empty.
    pub(super) fn write(&self, ebpf: &mut Ebpf) -> Result<()> {
        match apply(ebpf, &Targets::default().difference(self)).first() {
            None => Ok(()),
            Some(why) => Err(anyhow!("{why}")),
        }
    }
}

/// Writes `entries` into the hash map `name`.
pub(super) fn fill<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &str, entries: &[(K, V)]) -> Result<()> {
    let map = ebpf.map_mut(name).ok_or_else(|| anyhow!("the BPF object has no map {name}"))?;
    let mut map: HashMap<_, K, V> = HashMap::try_from(map)?;
    for (key, value) in entries {
        map.insert(key, value, 0).with_context(|| format!("failed to write the BPF map {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
