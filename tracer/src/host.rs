//! The machine that vmhop runs on, as recordings and `doctor` name it.

use std::{env::consts, fs};

use anyhow::{Context as _, Result};
use nix::time::ClockId;

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

/// `CLOCK_MONOTONIC`, which events are stamped by, ns.
///
/// # Errors
/// This kernel has no such clock.
pub fn monotonic_ns() -> Result<u64> {
    let now = ClockId::CLOCK_MONOTONIC.now().context("failed to read CLOCK_MONOTONIC")?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// Gives memory that is free back to the kernel. The hundreds of thousands of small pieces that a kernel's BTF was in are else
/// put together in the midst of the next large allocation, which takes the reader longer than a hundred thousand records.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes locks of the allocator's own, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Major and minor version of a kernel's release, such as `6.1.0-13-amd64`.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

/// One more than the highest number of a CPU that is online, by a list like `0-3,5`; at least 1.
pub fn cpu_slots(list: &str) -> u32 {
    let highest = list.trim().rsplit([',', '-']).next().and_then(|number| number.parse().ok());
    highest.unwrap_or(0u32) + 1
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
    fn the_highest_cpu_decides_how_many_have_room() {
        for (list, slots) in [("0", 1), ("0-3\n", 4), ("0-3,5", 6), ("0,8-9", 10), ("", 1)] {
            assert_eq!(cpu_slots(list), slots, "{list}");
        }
    }

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("5.10.262"), Some((5, 10)));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn this_host_has_a_kernel_and_a_cpu() {
        let host = Host::here();
        assert!(!host.kernel.is_empty() && host.cpus > 0, "{host:?}");
    }
}
