//! Reads from /proc, /sys and /dev what the checks judge. Works for any user; judges nothing.

use std::{
    fs::{self, File},
    path::Path,
};

use crate::plan::btf::VMLINUX;

/// What /proc, /sys and /dev say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Effective capabilities of this process, a bit each.
    pub capabilities: u64,
    /// Whether this process is in a user namespace of its own, where capabilities count for less.
    pub user_namespace: bool,
    /// Kernel release, such as `6.1.0-13-amd64`.
    pub release: String,
    /// Why the kernel's BTF cannot be opened; none where it can.
    pub btf_error: Option<String>,
    /// Lockdown modes with the one in force in brackets; none where this kernel has no lockdown.
    pub lockdown: Option<String>,
    /// `net.core.bpf_jit_enable`; none where this user may not read it.
    pub jit: Option<String>,
    /// Whether /dev/net/tun exists.
    pub tun: bool,
    /// Whether /dev/kvm exists.
    pub kvm: bool,
}

impl System {
    /// Reads all of it; what cannot be read counts as absent.
    pub fn read() -> System {
        let word = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        System {
            capabilities: capabilities(&word("/proc/self/status").unwrap_or_default()),
            user_namespace: word("/proc/self/uid_map").is_some_and(|map| is_nested(&map)),
            release: word("/proc/sys/kernel/osrelease").unwrap_or_default(),
            btf_error: File::open(VMLINUX).err().map(|error| error.to_string()),
            lockdown: word("/sys/kernel/security/lockdown"),
            jit: word("/proc/sys/net/core/bpf_jit_enable"),
            tun: Path::new("/dev/net/tun").exists(),
            kvm: Path::new("/dev/kvm").exists(),
        }
    }
}

fn capabilities(status: &str) -> u64 {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// The initial user namespace maps all 32-bit ids onto themselves.
fn is_nested(uid_map: &str) -> bool {
    uid_map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_uid_map_are_read() {
        assert_eq!(capabilities("Name:\tx\nCapPrm:\t0\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
        assert_eq!(capabilities("Name:\tx\n"), 0);
        assert!(!is_nested("         0          0 4294967295\n"));
        assert!(is_nested("0 100000 65536"));
    }

    #[test]
    fn this_system_can_be_read() {
        let system = System::read();
        assert!(system.release.contains('.'), "{system:?}");
    }
}
