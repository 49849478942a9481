//! The QEMU that VMs run in: this machine's, or a newer one of Debian's in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::shell::{Log, command, note, output, seconds};

use super::{
    apt::{Apt, Archive, Suite},
    cache,
};

const PROGRAM: &str = "qemu-system-x86_64";

/// Older ones translate a processor's instructions before they watch the page for writes (8.1: "accel/tcg: Always lock
/// pages before translation"). What another processor writes meanwhile is never executed. Kernels write instructions
/// whenever a tracepoint is taken or left: one in eight VMs of 6.1 hung in it, at a breakpoint that was there no more.
const SOUND: [u32; 2] = [8, 1];

/// Has 10.0, for the libraries of Debian 12.
const SUITE: Suite = Suite { archive: Archive::Main, name: "bookworm-backports" };
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-data", "seabios"];

/// Its folder in the cache.
const NAME: &str = "qemu";

/// A QEMU.
pub struct Emulator {
    /// Where its packages are unpacked; none for the machine's own.
    root: Option<PathBuf>,
}

impl Emulator {
    /// The machine's own.
    pub fn own() -> Self {
        Self { root: None }
    }

    /// The machine's own if it is new enough, else the one in the cache, fetched when it is not there. Where that
    /// fails or does not run, the machine's own all the same, and it says so.
    pub fn ensure() -> anyhow::Result<Self> {
        let own = Self::own();
        let Some(version) = own.version() else {
            bail!("failed to run {PROGRAM}: `cargo xtask setup`");
        };
        if version >= SOUND {
            return Ok(own);
        }
        Self::cached().or_else(|error| {
            let [major, minor] = version;
            note(&format!(
                "xtask: {error:#}; emulated VMs of this machine's QEMU {major}.{minor} hang now and then"
            ));
            Ok(own)
        })
    }

    /// The one in the cache.
    fn cached() -> anyhow::Result<Self> {
        let root = cache::place(NAME)?;
        if !root.is_dir() {
            let _lock = cache::lock(NAME)?;
            if !root.is_dir() {
                fetch(&root).with_context(|| format!("failed to fetch QEMU from {}", SUITE.name))?;
            }
        }
        let cached = Self { root: Some(root) };
        cached.version().with_context(|| format!("the QEMU of {} does not run here", SUITE.name))?;
        Ok(cached)
    }

    /// What to start it with.
    pub fn command(&self) -> Command {
        let Some(root) = &self.root else { return command(&[PROGRAM]) };
        let mut command = command(&[root.join("usr/bin").join(PROGRAM)]);
        command.env("QEMU_MODULE_DIR", root.join("usr/lib/x86_64-linux-gnu/qemu"));
        for folder in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(root.join(folder));
        }
        command
    }

    /// Whether it has a device of this name.
    pub fn has(&self, device: &str) -> bool {
        output(self.command().args(["-device", &format!("{device},help")])).is_some()
    }

    /// Major and minor; none if it does not run.
    fn version(&self) -> Option<[u32; 2]> {
        parse(&output(self.command().arg("--version"))?)
    }

    /// Its version and where it is, for people.
    pub fn describe(&self) -> String {
        let [major, minor] = self.version().unwrap_or_default();
        let place = self.root.as_ref().map_or("this machine's".into(), |root| root.display().to_string());
        format!("{major}.{minor} ({place})")
    }
}

/// The version in what QEMU says of itself.
fn parse(said: &str) -> Option<[u32; 2]> {
    let mut numbers = said.strip_prefix("QEMU emulator version ")?.split(['.', ' ']).map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?])
}

/// Unpacks the packages beside their place and moves them there when they are whole.
fn fetch(root: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    note(&format!("vm: fetching QEMU from {}", SUITE.name));
    let work = root.with_file_name(format!("{NAME}.partial"));
    let _ = fs::remove_dir_all(&work);
    let log = Log::create("vm-fetch-qemu.log")?;
    let apt = Apt::update(&SUITE, &work.join("apt"), &log)?;
    let new = work.join("root");
    apt.unpack(&PACKAGES, &work.join("packages"), &new)?;
    fs::rename(&new, root).with_context(|| format!("failed to make {}", root.display()))?;
    note(&format!("vm: QEMU is in {} after {}", root.display(), seconds(started.elapsed())));
    fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_qemu_says() {
        for (said, version) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright", Some([7, 2])),
            ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)", Some([10, 0])),
            ("QEMU emulator version 9.1\n", None),
            ("something else", None),
        ] {
            assert_eq!(parse(said), version, "{said}");
        }
        assert!([10, 0] >= SOUND && [7, 2] < SOUND);
    }
}
