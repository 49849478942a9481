//! What sysfs and /proc/interrupts say about hardware: its driver and its interrupts.
//!
//! Devices are reached by their bus, which every network namespace shows alike; /sys/class/net shows only the
//! devices of the namespace that sysfs was mounted in, so for others one is mounted from inside.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{netlink::Link, netns::Namespaces};

/// Driver and interrupts of a physical device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hardware {
    pub(super) driver: Option<String>,
    pub(super) irqs: Vec<u32>,
}

/// Looks a device of this namespace up.
pub(super) fn hardware(link: &Link, netns: u32, namespaces: &Namespaces) -> Hardware {
    let Some(dir) = device_dir(link, netns, namespaces) else { return Hardware::default() };
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
fn device_dir(link: &Link, netns: u32, namespaces: &Namespaces) -> Option<PathBuf> {
    if let Some((bus, name)) = &link.parent {
        return fs::canonicalize(format!("/sys/bus/{bus}/devices/{name}")).ok();
    }
    // Before 5.14 netlink does not name the parent; the link to the network device says whose child it is.
    let sysfs = namespaces.sysfs(netns).ok()?;
    let target = fs::read_link(sysfs.path(&format!("class/net/{}", link.name))).ok()?;
    fs::canonicalize(parent_of(&target)?).ok()
}

/// The parent's folder, from the target of a link in /sys/class/net: the device is in a folder `net` of it.
pub(super) fn parent_of(target: &Path) -> Option<PathBuf> {
    let below = target.strip_prefix("../../devices").ok()?;
    let parent = below.parent().filter(|folder| folder.ends_with("net"))?.parent()?;
    // All that has no hardware is below one folder of this name.
    (parent != Path::new("virtual")).then(|| Path::new("/sys/devices").join(parent))
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
pub(super) fn named_irqs(table: &str, names: &[&str]) -> Vec<u32> {
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
    fn a_network_device_is_in_the_folder_of_its_hardware() {
        for (target, expected) in [
            ("../../devices/pci0000:00/0000:00:03.0/net/eth0", Some("/sys/devices/pci0000:00/0000:00:03.0")),
            (
                "../../devices/pci0000:00/0000:00:04.0/virtio2/net/ens4",
                Some("/sys/devices/pci0000:00/0000:00:04.0/virtio2"),
            ),
            ("../../devices/virtual/net/lo", None),
            ("../../bus/pci", None),
        ] {
            assert_eq!(parent_of(Path::new(target)), expected.map(PathBuf::from), "{target}");
        }
    }

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
