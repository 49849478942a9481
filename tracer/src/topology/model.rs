//! The data of a topology, as it is stored in recordings and reports. No discovery, no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The VMs of a host, each with its taps and the paths behind them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// One entry a process that holds a tap, in the order of their PIDs.
    pub vms: Vec<Vm>,
}

/// A process that holds at least one tap: a virtual machine monitor, or anything that behaves like one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// The name given on the VMM's command line, else its executable and PID.
    pub name: String,
    /// Which VMM it is.
    pub vmm: Vmm,
    /// Process ID, as seen from vmhop's PID namespace.
    pub pid: i32,
    /// When the process started, in clock ticks since boot: tells it from a later process of the same PID.
    pub start_time: u64,
    /// Its threads and the vhost threads that work for it.
    pub threads: Vec<Thread>,
    /// The taps it holds.
    pub taps: Vec<Tap>,
    /// Whether it holds /dev/kvm or a VM made from it; without, the guest's CPU is emulated.
    pub kvm: bool,
}

/// A virtual machine monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vmm {
    /// QEMU, under any of its executable names.
    Qemu,
    /// Firecracker.
    Firecracker,
    /// Cloud Hypervisor.
    CloudHypervisor,
    /// Another holder of a tap, by the name of its executable.
    Other(String),
}

/// A thread that may carry a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Thread ID.
    pub tid: i32,
    /// The kernel's name of it (`comm`, at most 15 bytes).
    pub name: String,
    /// What it does for the VM.
    pub role: ThreadRole,
}

/// What a thread does for its VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThreadRole {
    /// Runs the guest's CPU of this number.
    Vcpu(u32),
    /// Serves devices in the VMM: its main loop or an I/O thread.
    Io,
    /// Serves virtqueues in the kernel.
    Vhost,
    /// None of these, or not to be told by its name.
    Other,
}

/// A tap of a VM and what lies behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// The tap itself.
    pub device: Device,
    /// The VMM's file descriptors of it, one a queue.
    pub fds: Vec<i32>,
    /// What forwards its frames; none where nothing does.
    pub switch: Option<Switch>,
    /// Whether frames reach `nics` by the default route and not as ports of `switch`.
    pub routed: bool,
    /// Where frames leave the host: the switch's other ports that are no taps, or the default route's devices; where
    /// such a device sits on others, as a VLAN or a tunnel does, those below.
    pub nics: Vec<Device>,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its index, unique within its namespace.
    pub ifindex: u32,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// The namespace's name under /run/netns, where it has one.
    pub netns_name: Option<String>,
    /// What it is.
    pub kind: DeviceKind,
    /// Its driver: of hardware the bus driver, of a virtual device its rtnetlink kind.
    pub driver: Option<String>,
    /// Hardware address, `02:00:00:00:00:01`.
    pub mac: Option<String>,
    /// Largest payload of a frame, in bytes.
    pub mtu: u32,
    /// Whether it is set up (`IFF_UP`), which says nothing about its carrier.
    pub up: bool,
    /// Of a veth: its other end.
    pub far_end: Option<Box<DeviceRef>>,
    /// Of hardware: its interrupts.
    pub irqs: Vec<u32>,
    /// Queues: of a VM's tap those it has open, of any other device those that the driver allocated.
    pub queues: u32,
    /// Of a NIC: the devices on top of it that a tap's frames pass on their way to it, the nearest to the tap first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<Device>,
}

/// A device known by reference only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRef {
    /// Its name; none where its namespace could not be entered.
    pub name: Option<String>,
    /// Its index within its namespace.
    pub ifindex: u32,
    /// Inode number of its network namespace; none where no known namespace is it.
    pub netns: Option<u32>,
    /// The namespace's name under /run/netns, where it has one.
    pub netns_name: Option<String>,
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A tap of the tun driver.
    Tap,
    /// A macvlan with a tap's file descriptor.
    Macvtap,
    /// A Linux bridge.
    Bridge,
    /// One end of a pair of virtual Ethernet devices.
    Veth,
    /// Hardware, or what the hypervisor below shows as such.
    Physical,
    /// An 802.1Q or 802.1ad device on another device.
    Vlan,
    /// Several devices as one.
    Bond,
    /// A VXLAN tunnel.
    Vxlan,
    /// The Open vSwitch datapath or an internal port of it.
    Ovs,
    /// Another kind, by rtnetlink's name of it.
    Other(String),
}

/// What forwards a tap's frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// How it forwards.
    pub kind: SwitchKind,
    /// The bridge, the datapath, or the macvtap's lower device; with [`SwitchKind::Route`] the device on which
    /// frames enter IP: the tap itself, or the VRF it is in.
    pub device: Device,
}

/// How a switch forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchKind {
    /// A Linux bridge.
    Bridge,
    /// Open vSwitch.
    Ovs,
    /// A macvtap on its lower device.
    Macvtap,
    /// IP routing, without a switch in between.
    Route,
}

impl Device {
    /// Whether a VMM may hold it: frames written to its file descriptor enter the host here.
    pub fn is_tap(&self) -> bool {
        matches!(self.kind, DeviceKind::Tap | DeviceKind::Macvtap)
    }

    /// The words a person would find its namespace by: its name, else its inode.
    pub fn netns_label(&self) -> String {
        self.netns_name.clone().unwrap_or_else(|| format!("net:[{}]", self.netns))
    }
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu",
            Self::Firecracker => "firecracker",
            Self::CloudHypervisor => "cloud-hypervisor",
            Self::Other(exe) => exe,
        })
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tap => "tap",
            Self::Macvtap => "macvtap",
            Self::Bridge => "bridge",
            Self::Veth => "veth",
            Self::Physical => "physical",
            Self::Vlan => "vlan",
            Self::Bond => "bond",
            Self::Vxlan => "vxlan",
            Self::Ovs => "ovs",
            Self::Other(kind) => kind,
        })
    }
}

impl fmt::Display for SwitchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Ovs => "ovs",
            Self::Macvtap => "macvtap",
            Self::Route => "route",
        })
    }
}
