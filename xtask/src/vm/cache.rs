//! What has been fetched: a folder for each kernel and one for QEMU, made whole or not at all.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::Context as _;

use crate::shell;

use super::kernels::Kernel;

/// A kernel in the cache.
pub struct Cached {
    /// Its folder.
    pub folder: PathBuf,
    /// What `uname -r` says.
    pub release: String,
    /// The files of the packages that it came in, by their names and versions.
    pub packages: String,
}

impl Cached {
    /// Looks for a kernel.
    pub fn find(kernel: &Kernel) -> anyhow::Result<Option<Self>> {
        let folder = place(kernel.name)?;
        let line = |name: &str| fs::read_to_string(folder.join(name)).map(|text| text.trim().to_owned());
        match (line("release"), line("packages")) {
            (Ok(release), Ok(packages)) => Ok(Some(Self { folder, release, packages })),
            _ => Ok(None),
        }
    }

    /// The kernel, unpacked.
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// The folder that is `/lib/modules/RELEASE` in the VM.
    pub fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }
}

/// Where what has this name is or will be.
pub fn place(name: &str) -> anyhow::Result<PathBuf> {
    Ok(shell::cache()?.join("vm").join(name))
}

/// Keeps others from fetching the same at the same time, as long as it is open.
pub fn lock(name: &str) -> anyhow::Result<File> {
    let folder = place(name)?;
    let beside = folder.parent().context("the cache has no folder")?;
    fs::create_dir_all(beside).with_context(|| format!("failed to make {}", beside.display()))?;
    let path = beside.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}
