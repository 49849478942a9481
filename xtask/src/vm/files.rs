//! The files of a run: a folder in the build folder, whose logs stay for a while, and the folder for results.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;

use crate::shell::target;

/// So many runs keep their logs.
const KEPT: usize = 20;

const INITRAMFS: &str = "initramfs";

/// The files of one run; dropping it removes what nobody will look at.
pub struct Files {
    /// What the run is made of, and its logs.
    pub folder: PathBuf,
    /// Results of the command.
    pub out: PathBuf,
}

impl Files {
    /// Makes the folders; `out` is where results go when the user has said so.
    pub fn make(kernel: &str, out: Option<&Path>) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{kernel}-{number}-{}", std::process::id());
        let target = absolute(target()).context("the build folder is not known")?.join("xtask");
        let runs = target.join("vm");
        let outs = target.join("vm-out");
        prune(&runs, &outs);
        let out = out.map_or_else(|| Ok(outs.join(&name)), absolute);
        let files =
            Self { folder: runs.join(name), out: out.context("the folder for results is not known")? };
        for folder in [&files.folder, &files.out] {
            fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        }
        Ok(files)
    }

    /// What the kernel says.
    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// What QEMU says.
    pub fn qemu(&self) -> PathBuf {
        self.folder.join("qemu.log")
    }

    /// What the VM starts from.
    pub fn initramfs(&self) -> PathBuf {
        self.folder.join(INITRAMFS)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.initramfs());
        // Fails when there are results, as it should.
        let _ = fs::remove_dir(&self.out);
    }
}

/// Removes the oldest runs that are over, and what killed runs have left.
fn prune(runs: &Path, outs: &Path) {
    let over = |folder| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|folder| !is_running(folder)).collect::<Vec<_>>()
    };
    let mut old = over(runs);
    old.sort_by_key(|folder| fs::metadata(folder).and_then(|found| found.modified()).ok());
    // It may be another run that removes the same.
    for folder in &old {
        let _ = fs::remove_file(folder.join(INITRAMFS));
    }
    for folder in old.iter().rev().skip(KEPT) {
        let _ = fs::remove_dir_all(folder);
    }
    for folder in over(outs) {
        // Fails when there are results, as it should.
        let _ = fs::remove_dir(folder);
    }
}

/// Whether the process that a run's folder names is there.
fn is_running(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit('-').next().is_some_and(|process| Path::new("/proc").join(process).is_dir())
}
