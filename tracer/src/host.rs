//! The machine that vmhop runs on, as recordings and `doctor` name it.

use std::{env::consts, fs};

use crate::recording::Host;

impl Host {
    /// This machine; what cannot be read is empty.
    pub fn here() -> Host {
        let word = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Host {
            name: word("/proc/sys/kernel/hostname"),
            kernel: word("/proc/sys/kernel/osrelease"),
            arch: consts::ARCH.to_owned(),
            cpus: count(&word("/sys/devices/system/cpu/online")),
            vmhop: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// How many numbers there are in a list like `0-3,5`.
fn count(list: &str) -> u32 {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)? + 1)
    };
    list.split(',').filter_map(range).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_counted() {
        for (list, cpus) in [("0", 1), ("0-3", 4), ("0-3,5,8-9", 7), ("", 0), ("x", 0)] {
            assert_eq!(count(list), cpus, "{list}");
        }
    }

    #[test]
    fn this_host_has_a_kernel_and_a_cpu() {
        let host = Host::here();
        assert!(!host.kernel.is_empty() && host.cpus > 0, "{host:?}");
    }
}
