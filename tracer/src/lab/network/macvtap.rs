//! Opening a macvtap's queues. Unlike a tap it has a character device of its own, and neither the number of that
//! nor its node can be relied on outside: sysfs shows the devices of one network namespace, and /dev/tapN is the
//! same name for devices of several.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
};

use anyhow::{Context as _, bail};
use nix::{
    libc::dev_t,
    sys::stat::{Mode, SFlag, makedev, mknod},
};

use super::super::netns;
use crate::detached::Mount;

/// Opens this many queues of a macvtap.
pub(crate) fn open(namespace: &str, device: &str, queues: u32) -> anyhow::Result<Vec<File>> {
    netns::inside(namespace, || open_here(device, queues))
        .with_context(|| format!("failed to open macvtap {device}"))
}

/// As [`open`], in the calling thread's namespace.
pub(crate) fn open_here(device: &str, queues: u32) -> anyhow::Result<Vec<File>> {
    let sysfs = Mount::new(c"sysfs").context("failed to mount sysfs")?;
    let folder = sysfs.path(&format!("class/net/{device}"));
    let index = read(&folder.join("ifindex"))?;
    // The name by which whoever looks at QEMU's descriptors knows it for a macvtap.
    let name = format!("tap{index}");
    let number = number(&folder, &name)?;
    let nodes = Mount::new(c"tmpfs").context("failed to mount a tmpfs")?;
    let node = nodes.path(&name);
    mknod(&node, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, number).context("failed to make its node")?;
    let open = |_| OpenOptions::new().read(true).write(true).open(&node).context("failed to open its node");
    (0..queues).map(open).collect()
}

/// The number of the character device.
fn number(folder: &Path, name: &str) -> anyhow::Result<dev_t> {
    // In a folder of its class or not: that depends on the kernel.
    let files = [folder.join("macvtap").join(name).join("dev"), folder.join(name).join("dev")];
    let Some(text) = files.iter().find_map(|file| read(file).ok()) else {
        bail!("sysfs does not show its character device");
    };
    let (major, minor) = text.split_once(':').context("its device number is none")?;
    Ok(makedev(major.parse()?, minor.parse()?))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(text.trim().to_owned())
}
