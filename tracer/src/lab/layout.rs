//! The names, paths and addresses of a lab: everything that follows from its name alone.
//! Nothing here looks at the machine.

use std::path::PathBuf;

use anyhow::bail;

/// Where labs keep their state; emptied by a reboot, as the labs are.
pub(crate) const RUN_DIR: &str = "/run/vmhop";

/// How many commands can run in the guest at once; each has a virtio-serial port of its own.
pub(crate) const GUEST_PORTS: usize = 2;

/// Devices of the host side.
pub(crate) const BRIDGE: &str = "br0";
pub(crate) const TAP: &str = "tap0";
pub(crate) const NIC: &str = "nic0";
/// The peer's end of the wire.
pub(crate) const PEER_NIC: &str = "eth0";

/// Size of the large file that guest and peer serve: the study that vmhop follows up downloaded 40 MB.
pub(crate) const LARGE_FILE: (&str, u64) = ("40MB", 40_000_000);
pub(crate) const SMALL_FILE: (&str, &str) = ("hello", "hello from the vmhop lab\n");

/// Addresses of one station of the lab, from the ranges reserved for documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Station {
    pub(crate) ipv4: &'static str,
    pub(crate) ipv6: &'static str,
    pub(crate) mac: &'static str,
}

pub(crate) const HOST: Station = Station { ipv4: "192.0.2.1", ipv6: "2001:db8::1", mac: "52:54:00:db:80:01" };
pub(crate) const GUEST: Station =
    Station { ipv4: "192.0.2.2", ipv6: "2001:db8::2", mac: "52:54:00:db:80:02" };
pub(crate) const PEER: Station = Station { ipv4: "192.0.2.3", ipv6: "2001:db8::3", mac: "52:54:00:db:80:03" };

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

    /// The VM's name as QEMU gets it, and as `vmhop record --vm` takes it.
    pub(crate) fn vm(&self) -> String {
        format!("vmhop-{}", self.name)
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

    pub(crate) fn console_log(&self) -> PathBuf {
        self.dir().join("console.log")
    }

    pub(crate) fn qemu_log(&self) -> PathBuf {
        self.dir().join("qemu.log")
    }

    pub(crate) fn initramfs(&self) -> PathBuf {
        self.dir().join("initramfs.cpio")
    }

    /// The files that the peer serves.
    pub(crate) fn www(&self) -> PathBuf {
        self.dir().join("www")
    }

    /// The socket of a guest port; a client takes the lock of the same port first.
    pub(crate) fn port_socket(&self, port: usize) -> PathBuf {
        self.dir().join(format!("port{port}.sock"))
    }

    pub(crate) fn port_lock(&self, port: usize) -> PathBuf {
        self.dir().join(format!("port{port}.lock"))
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
        assert!(lab.port_socket(GUEST_PORTS).as_os_str().len() < 108);
    }
}
