//! Brings a kernel into the cache: its packages are downloaded and unpacked, never installed, and what a VM
//! has no use for is left out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::shell::{Log, command, note, seconds};

use super::{
    apt::Apt,
    cache::{self, Cached},
    image,
    kernels::Kernel,
};

/// Modules for devices that the VM has not; they are more than half of all.
const LEFT_OUT: [&str; 13] = [
    "sound",
    "drivers/gpu",
    "drivers/hid",
    "drivers/hwmon",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/input",
    "drivers/media",
    "drivers/net/wireless",
    "drivers/platform",
    "drivers/scsi",
    "drivers/staging",
    "drivers/usb",
];

/// The kernel in the cache, fetched when it is not there.
pub fn ensure(kernel: &Kernel) -> anyhow::Result<Cached> {
    if let Some(cached) = Cached::find(kernel)? {
        return Ok(cached);
    }
    let _lock = cache::lock(kernel.name)?;
    if let Some(cached) = Cached::find(kernel)? {
        return Ok(cached);
    }
    let started = Instant::now();
    note(&format!("vm: fetching kernel {} from {}", kernel.name, kernel.suite.name));
    fetch(kernel).with_context(|| format!("failed to fetch kernel {}", kernel.name))?;
    let cached = Cached::find(kernel)?.context("the cache has lost the kernel")?;
    let (release, folder) = (&cached.release, cached.folder.display());
    note(&format!("vm: {release} is in {folder} after {}", seconds(started.elapsed())));
    Ok(cached)
}

/// Makes the kernel's folder beside its place and moves it there when it is whole.
fn fetch(kernel: &Kernel) -> anyhow::Result<()> {
    let folder = cache::place(kernel.name)?;
    let work = folder.with_file_name(format!("{}.partial", kernel.name));
    let _ = fs::remove_dir_all(&work);
    let log = Log::create(&format!("vm-fetch-{}.log", kernel.name))?;
    let new = work.join("new");
    fs::create_dir_all(&new).with_context(|| format!("failed to make {}", new.display()))?;
    download(kernel, &work, &log)?;
    pick(&work, &new, &log)?;
    fs::rename(&new, &folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))
}

/// Downloads the packages into `work/packages` and unpacks them over each other into `work/root`.
fn download(kernel: &Kernel, work: &Path, log: &Log) -> anyhow::Result<()> {
    let apt = Apt::update(&kernel.suite, &work.join("apt"), log)?;
    let names = apt.names("linux-image-");
    let image = kernel.newest_image(names.iter().map(String::as_str));
    let image = image.with_context(|| format!("suite {} has no package of it", kernel.suite.name))?;
    let depends = apt.depends(image);
    let packages = kernel.packages(image, depends.iter().map(String::as_str));
    let names = apt.unpack(&packages, &work.join("packages"), &work.join("root"))?;
    fs::write(work.join("new/packages"), format!("{}\n", names.join(" ")))
        .context("failed to note the packages")
}

/// Moves what a VM needs of the unpacked packages to `new`.
fn pick(work: &Path, new: &Path, log: &Log) -> anyhow::Result<()> {
    let root = work.join("root");
    let trees = ["lib/modules", "usr/lib/modules"].map(|path| root.join(path));
    let trees = trees.iter().flat_map(|path| entries(path).unwrap_or_default());
    let tree = trees.into_iter().find(|path| path.join("kernel").is_dir());
    let tree = tree.context("the packages have no modules")?;
    let release = tree.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for folder in LEFT_OUT {
        // One that this kernel does not have is as good.
        let _ = fs::remove_dir_all(tree.join("kernel").join(folder));
    }
    decompress(&tree)?;
    // The package brings no modules.dep: it is made when it is installed. Needs no root, and busybox is here.
    let base = tree.ancestors().nth(3).unwrap_or(&root);
    log.run(command(&["busybox", "depmod", "-b"]).arg(base).arg(&release))?;
    let image = [root.join(format!("boot/vmlinuz-{release}")), tree.join("vmlinuz")];
    let image = image.iter().find(|path| path.is_file()).context("the packages have no kernel image")?;
    let config = [root.join(format!("boot/config-{release}")), tree.join("config")];
    let config = config.iter().find(|path| path.is_file()).context("the packages have no config")?;
    image::unpack(image, &new.join("vmlinux"))?;
    fs::rename(config, new.join("config")).context("failed to move the config")?;
    fs::rename(&tree, new.join("modules")).context("failed to move the modules")?;
    fs::write(new.join("release"), format!("{release}\n")).context("failed to note the release")
}

/// Decompresses all modules, since busybox's modprobe cannot be relied on to do it; on all cores.
fn decompress(tree: &Path) -> anyhow::Result<()> {
    for (end, words) in [("xz", &["xz", "-d"][..]), ("zst", &["zstd", "-d", "-q", "--rm"])] {
        let mut files = Vec::new();
        collect(tree, end, &mut files)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = files.len().div_ceil(cores).max(1);
        let started =
            files.chunks(share).map(|files| command(words).args(files).stdin(Stdio::null()).spawn());
        let started: Vec<_> = started.collect();
        for child in started {
            let status = child.and_then(|mut child| child.wait());
            let status = status.with_context(|| format!("failed to run {}", words[0]))?;
            if !status.success() {
                bail!("{} failed to decompress the modules ({status})", words[0]);
            }
        }
    }
    Ok(())
}

/// Adds all files below `folder` that end in `end`.
fn collect(folder: &Path, end: &str, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in entries(folder)? {
        if entry.is_dir() && !entry.is_symlink() {
            collect(&entry, end, files)?;
        } else if entry.extension().is_some_and(|found| found == end) {
            files.push(entry);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
