//! What the programs watch: devices, threads, descriptors and interrupts, as the maps' contents.

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap},
};
use tracer_common::{
    config::{DeviceBucket, Role, ThreadRole, device_key, device_value, fd_key, thread_value},
    event::NO_DEVICE,
};

use crate::{
    recording::DeviceSlot,
    topology::{Device, DeviceKind, Tap, ThreadRole as VmThreadRole, Vm},
};

/// Slots that the records have room for; 255 stands for none.
const MAX_DEVICES: usize = 255;

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

/// What the programs watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Devices by slot.
    pub devices: Vec<Target>,
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
    /// More devices than an event can name.
    pub fn of(vms: &[Vm]) -> Result<Targets> {
        let mut targets = Targets::default();
        for (number, vm) in vms.iter().enumerate() {
            targets.add_threads(
                vm,
                u8::try_from(number).context("more than 256 VMs to trace: name fewer with --vm")?,
            );
            targets.processes.push((vm.pid as u32, 1));
            for tap in &vm.taps {
                let role = if tap.device.kind == DeviceKind::Macvtap { Role::Macvtap } else { Role::Tap };
                let slot = targets.add_device(role, vm, &tap.device)?;
                targets.add_transit(tap);
                for &fd in &tap.fds {
                    targets.tap_fds.push((fd_key(vm.pid as u32, fd as u32), slot.into()));
                }
                for nic in &tap.nics {
                    targets.add_nic(vm, nic)?;
                    nic.via.iter().for_each(|upper| targets.add_upper(upper));
                }
            }
        }
        Ok(targets)
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

    fn add_nic(&mut self, vm: &Vm, nic: &Device) -> Result<()> {
        let slot = self.add_device(Role::Nic, vm, nic)?;
        self.irqs.extend(nic.irqs.iter().map(|&irq| (irq, u32::from(slot))));
        if let Some(far) = &nic.far_end
            && let Some(netns) = far.netns
        {
            self.far_ends.push((device_key(netns, far.ifindex), device_value(slot, Role::FarEnd)));
        }
        Ok(())
    }

    fn add_device(&mut self, role: Role, vm: &Vm, device: &Device) -> Result<u8> {
        let same =
            |target: &&Target| target.device.netns == device.netns && target.device.ifindex == device.ifindex;
        if let Some(known) = self.devices.iter().find(same) {
            return Ok(known.slot);
        }
        if self.devices.len() >= MAX_DEVICES {
            bail!("more than {MAX_DEVICES} devices to trace: name fewer with --vm or --nic");
        }
        let slot = self.devices.len() as u8;
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

    /// Fills the maps.
    pub(super) fn write(&self, ebpf: &mut Ebpf) -> Result<()> {
        let device = |target: &Target| {
            (device_key(target.device.netns, target.device.ifindex), device_value(target.slot, target.role))
        };
        let mut devices = [self.transits.as_slice(), &self.far_ends].concat();
        // After these, so that a veth whose both ends are traced keeps its own role.
        devices.extend(self.devices.iter().map(device));
        write_devices(ebpf, &devices)?;
        fill(ebpf, "THREADS", &self.threads)?;
        fill(ebpf, "PROCESSES", &self.processes)?;
        fill(ebpf, "TAP_FDS", &self.tap_fds)?;
        fill(ebpf, "IRQS", &self.irqs)
    }
}

/// Writes the device table.
fn write_devices(ebpf: &mut Ebpf, devices: &[(u64, u32)]) -> Result<()> {
    let map = ebpf.map_mut("DEVICES").ok_or_else(|| anyhow!("the BPF object has no map DEVICES"))?;
    let mut table: Array<_, DeviceBucket> = Array::try_from(map)?;
    for &(key, value) in devices {
        let index = DeviceBucket::of(key);
        let mut bucket = table.get(&index, 0).context("failed to read the device table")?;
        if !bucket.set(key, value) {
            bail!("the device table has no room for all devices: name fewer with --vm or --nic");
        }
        table.set(index, bucket, 0).context("failed to write the device table")?;
    }
    Ok(())
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
