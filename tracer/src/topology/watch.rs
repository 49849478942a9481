//! Whether a VM and the devices on its path are still there, asked a few times a second during a recording.
//!
//! Nothing is kept open between two checks: a descriptor of a namespace would keep it and its devices alive.

use std::fmt;

use super::{
    model::{Device, Vm},
    netlink::Rtnl,
    netns::Namespaces,
    process,
    text::printable,
    tunfd,
};

/// Looks after a VM and devices. Each loss is told once.
#[derive(Debug)]
pub struct Watch {
    vm: String,
    process: Option<(i32, u64)>,
    devices: Vec<Device>,
    namespaces: Namespaces,
}

/// What went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// The VMM's process ended.
    Vmm {
        /// The VM's name.
        vm: String,
        /// The process it had.
        pid: i32,
    },
    /// A device was removed or moved to another namespace.
    Device {
        /// The VM's name.
        vm: String,
        /// The device as it was.
        device: Box<Device>,
    },
    /// A device was removed and another one has its name.
    Replaced {
        /// The VM's name.
        vm: String,
        /// The device as it was.
        device: Box<Device>,
    },
}

impl Watch {
    /// Watches the VM's process and these devices, which may be of any namespace.
    pub fn new(vm: &Vm, devices: &[Device]) -> anyhow::Result<Self> {
        let mut namespaces = Namespaces::scan()?;
        for tap in &vm.taps {
            // A tap's namespace may have neither name nor process; then only its descriptor leads there.
            let fd = tap.fds.first().and_then(|fd| tunfd::inspect(vm.pid, *fd).ok());
            if let Some(netns) = fd.and_then(|fd| fd.netns) {
                namespaces.add_file(netns)?;
            }
        }
        let mut watched: Vec<Device> = Vec::new();
        for device in devices {
            if !watched.iter().any(|other| (other.netns, other.ifindex) == (device.netns, device.ifindex)) {
                watched.push(device.clone());
            }
        }
        let process = Some((vm.pid, vm.start_time));
        Ok(Self { vm: vm.name.clone(), process, devices: watched, namespaces })
    }

    /// What went away since the last call. A check that fails for another reason says nothing.
    pub fn gone(&mut self) -> Vec<Gone> {
        let mut gone = Vec::new();
        if let Some((pid, start_time)) = self.process
            && process::start_time(pid) != Some(start_time)
        {
            self.process = None;
            self.namespaces.release();
            gone.push(Gone::Vmm { vm: self.vm.clone(), pid });
        }
        let mut netns: Vec<u32> = self.devices.iter().map(|device| device.netns).collect();
        netns.sort_unstable();
        netns.dedup();
        for inode in netns {
            gone.extend(self.gone_of(inode));
        }
        gone
    }

    /// Checks the devices of one namespace, and forgets those that are gone.
    fn gone_of(&mut self, netns: u32) -> Vec<Gone> {
        let mut rtnl = match self.rtnl(netns) {
            Ok(rtnl) => rtnl,
            Err(error) => {
                log::debug!("the devices of VM {} are not checked: {error:#}", self.vm);
                return Vec::new();
            }
        };
        let mut gone = Vec::new();
        let Self { vm, devices, .. } = self;
        devices.retain(|device| {
            let lost = if device.netns == netns { lost(rtnl.as_mut(), vm, device) } else { None };
            let kept = lost.is_none();
            gone.extend(lost);
            kept
        });
        gone
    }

    /// A way into the namespace; none if it went away.
    fn rtnl(&mut self, netns: u32) -> anyhow::Result<Option<Rtnl>> {
        if self.namespaces.open(netns).is_none() {
            // The process that led there ended; another one, or a name, may still lead there.
            self.namespaces.rescan()?;
            if self.namespaces.open(netns).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Rtnl::new(self.namespaces.socket(netns)?)))
    }
}

/// Whether the device is no longer in its namespace, which may be gone itself.
fn lost(rtnl: Option<&mut Rtnl>, vm: &str, device: &Device) -> Option<Gone> {
    let (vm, boxed) = (vm.to_owned(), Box::new(device.clone()));
    let Some(rtnl) = rtnl else { return Some(Gone::Device { vm, device: boxed }) };
    match rtnl.link(device.ifindex) {
        Ok(Some(_)) | Err(_) => None,
        Ok(None) => {
            let links = rtnl.links().unwrap_or_default();
            let replaced = links.iter().any(|link| link.name == device.name);
            Some(if replaced {
                Gone::Replaced { vm, device: boxed }
            } else {
                Gone::Device { vm, device: boxed }
            })
        }
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Vmm { vm, pid } => format!("the VMM of VM {vm} (PID {pid}) ended"),
            Self::Device { vm, device } => {
                format!("{} {} of VM {vm} went away", device.kind, device.name)
            }
            Self::Replaced { vm, device } => {
                format!("{} {} of VM {vm} was replaced by another device", device.kind, device.name)
            }
        };
        f.write_str(&printable(&text))
    }
}
