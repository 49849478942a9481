//! What sysfs and /proc/interrupts say about hardware: its driver and its interrupts.
//!
//! Devices are reached by their bus, which every network namespace shows alike; /sys/class/net shows only the
//! devices of the namespace that sysfs was mounted in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::netlink::Link;

/// Driver and interrupts of a physical device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hardware {
    pub(super) driver: Option<String>,
    pub(super) irqs: Vec<u32>,
}

/// Looks a device up; `own` if it is in the namespace of /sys/class/net.
pub(super) fn hardware(link: &Link, own: bool) -> Hardware {
    let Some(dir) = device_dir(link, own) else { return Hardware::default() };
    let driver = fs::read_link(dir.join("driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let mut irqs = irqs_of(&dir);
    // A virtio device has none of its own: they are its transport's.
    if irqs.is_empty() && dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"virtio")) {
        irqs = dir.parent().map(irqs_of).unwrap_or_default();
    }
    if irqs.is_empty() {
        let table = fs::read_to_string("/proc/interrupts").unwrap_or_default();
        let parent = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        irqs = named_irqs(&table, &[&parent, &link.name]);
    }
    Hardware { driver, irqs }
}

/// The device's folder below /sys/devices.
fn device_dir(link: &Link, own: bool) -> Option<PathBuf> {
    let by_bus = link.parent.as_ref().map(|(bus, name)| format!("/sys/bus/{bus}/devices/{name}"));
    // Before 5.14 netlink does not name the parent.
    let path = by_bus.or_else(|| own.then(|| format!("/sys/class/net/{}/device", link.name)))?;
    fs::canonicalize(path).ok()
}

fn irqs_of(dir: &Path) -> Vec<u32> {
    let mut irqs: Vec<u32> = match fs::read_dir(dir.join("msi_irqs")) {
        Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect(),
        Err(_) => Vec::new(),
    };
    if irqs.is_empty()
        && let Ok(text) = fs::read_to_string(dir.join("irq"))
        // 0 stands for no interrupt.
        && let Some(irq) = text.trim().parse().ok().filter(|irq| *irq != 0)
    {
        irqs.push(irq);
    }
    irqs.sort_unstable();
    irqs
}

/// The interrupts of /proc/interrupts whose action is one of these names or begins with it: `virtio2-input.0`,
/// `eth0-rx-1`.
fn named_irqs(table: &str, names: &[&str]) -> Vec<u32> {
    let ours = |action: &str| {
        names.iter().filter(|name| !name.is_empty()).any(|name| {
            action.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', ':']))
        })
    };
    table
        .lines()
        .filter_map(|line| {
            let (irq, rest) = line.split_once(':')?;
            let irq = irq.trim().parse().ok()?;
            rest.split([' ', ',']).any(ours).then_some(irq)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_names_its_device() {
        let table = "           CPU0       CPU1
 38:          0       6562 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
 39:       4194          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0
 40:          0          0 PCI-MSIX-0000:00:04.0   0-edge      virtio20-config
 41:          1          0 IO-APIC   5-edge      acpi, eth0
LOC:     198676     208032   Local timer interrupts
";
        for (names, expected) in [
            (["virtio2", "eth9"], vec![38, 39]),
            (["virtio20", ""], vec![40]),
            (["0000:00:09.0", "eth0"], vec![41]),
            (["", ""], vec![]),
        ] {
            assert_eq!(named_irqs(table, &names), expected, "{names:?}");
        }
    }
}
