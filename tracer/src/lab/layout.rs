//! The names, paths and devices of a lab: what follows from its name alone.
//! Nothing here looks at the machine.

use std::path::PathBuf;

use anyhow::bail;

/// Where labs keep their state; emptied by a reboot, as the labs are.
pub(crate) const RUN_DIR: &str = "/run/vmhop";

/// How many commands can run in the guest at once; each has a virtio-serial port of its own.
pub(crate) const GUEST_PORTS: usize = 2;

/// How many guests a lab can have.
pub(crate) const MAX_GUESTS: u8 = 4;

/// Devices of the host side.
pub(crate) const BRIDGE: &str = "br0";
pub(crate) const NIC: &str = "nic0";
/// The peer's end of the wire.
pub(crate) const PEER_NIC: &str = "eth0";
/// The tunnel of `--network vxlan`, on both sides.
pub(crate) const TUNNEL: &str = "vx0";
/// Number of the VLAN, and of the tunnel's network.
pub(crate) const TAG: u32 = 100;

/// What the names of the taps begin with.
pub(crate) const TAP_PREFIX: &str = "tap";

/// The tap of a guest, counted from 1.
pub(crate) fn tap(guest: u8) -> String {
    format!("{TAP_PREFIX}{}", guest.saturating_sub(1))
}

/// Size of the large file that guest and peer serve: the study that vmhop follows up downloaded 40 MB.
pub(crate) const LARGE_FILE: (&str, u64) = ("40MB", 40_000_000);
pub(crate) const SMALL_FILE: (&str, &str) = ("hello", "hello from the vmhop lab\n");

/// A lab by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lab {
    name: String,
}

impl Lab {
    /// Longest name: the paths of the lab's sockets must fit `sun_path`, which has 108 bytes.
    const MAX_NAME: usize = 40;

    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || !name.chars().all(plain) || name.len() > Self::MAX_NAME {
            bail!(
                "lab name {name:?} is not usable: take letters, digits, '-' and '_', at most {} of them, \
                 starting with a letter or digit",
                Self::MAX_NAME
            );
        }
        Ok(Self { name: name.to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A guest of this lab, counted from 1.
    pub(crate) fn guest(&self, number: u8) -> Guest<'_> {
        Guest { lab: self, number }
    }

    pub(crate) fn host_ns(&self) -> String {
        format!("vmhop-{}-host", self.name)
    }

    pub(crate) fn peer_ns(&self) -> String {
        format!("vmhop-{}-peer", self.name)
    }

    /// Both namespaces, in the order they are made.
    pub(crate) fn namespaces(&self) -> [String; 2] {
        [self.host_ns(), self.peer_ns()]
    }

    pub(crate) fn dir(&self) -> PathBuf {
        PathBuf::from(RUN_DIR).join(format!("lab-{}", self.name))
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.dir().join("state.json")
    }

    pub(crate) fn initramfs(&self) -> PathBuf {
        self.dir().join("initramfs.cpio")
    }

    /// The files that peer and host serve.
    pub(crate) fn www(&self) -> PathBuf {
        self.dir().join("www")
    }

    /// The database, logs and control sockets of the lab's own Open vSwitch.
    pub(crate) fn ovs(&self) -> PathBuf {
        self.dir().join("ovs")
    }
}

/// A guest of a lab.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest<'a> {
    pub(crate) lab: &'a Lab,
    /// Counted from 1.
    pub(crate) number: u8,
}

impl Guest<'_> {
    /// What `lab exec` calls it.
    pub(crate) fn place(self) -> String {
        if self.number == 1 { "guest".to_owned() } else { format!("guest{}", self.number) }
    }

    /// The VM's name as QEMU gets it, and as `vmhop record --vm` takes it.
    pub(crate) fn vm(self) -> String {
        format!("vmhop-{}{}", self.lab.name, self.suffix())
    }

    pub(crate) fn console_log(self) -> PathBuf {
        self.lab.dir().join(format!("console{}.log", self.suffix()))
    }

    pub(crate) fn qemu_log(self) -> PathBuf {
        self.lab.dir().join(format!("qemu{}.log", self.suffix()))
    }

    /// The socket of a guest port; a client takes the lock of the same port first.
    pub(crate) fn port_socket(self, port: usize) -> PathBuf {
        self.lab.dir().join(format!("port{port}{}.sock", self.suffix()))
    }

    pub(crate) fn port_lock(self, port: usize) -> PathBuf {
        self.lab.dir().join(format!("port{port}{}.lock", self.suffix()))
    }

    /// The first guest's names have none: most labs have one guest.
    fn suffix(self) -> String {
        if self.number == 1 { String::new() } else { format!("-{}", self.number) }
    }
}

/// The name of a guest port inside the guest.
pub(crate) fn port_name(port: usize) -> String {
    format!("vmhop.{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_run_directory_are_refused() {
        for bad in ["", "a/b", "../x", ".", "-x", "a b", "ä", &"x".repeat(41)] {
            assert!(Lab::new(bad).is_err(), "{bad:?}");
        }
        for good in ["lab", "demo-1234", "A_1", &"x".repeat(40)] {
            assert!(Lab::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn socket_paths_of_the_longest_name_fit_a_socket_address() {
        let lab = Lab::new(&"x".repeat(Lab::MAX_NAME)).unwrap();
        assert!(lab.guest(MAX_GUESTS).port_socket(GUEST_PORTS).as_os_str().len() < 108);
    }
}
