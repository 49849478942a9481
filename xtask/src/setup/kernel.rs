//! The guest's kernel: Debian's small kernel for clouds, fetched as a package and only unpacked, into a cache
//! that `vmhop lab` looks at. No kernel is ever installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::shell::{cache, command, output};

use super::{
    Outcome,
    system::{Distribution, System},
};

/// Depends on the newest kernel of its kind.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// The modules of a guest; those they depend on come with them.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_net", "virtio_console", "af_packet"];

pub fn ensure(system: &System) -> anyhow::Result<Outcome> {
    let cache = cache()?.join("lab");
    if let Ok(release) = fs::read_to_string(cache.join("release"))
        && cache.join("vmlinuz").is_file()
    {
        return Ok(Outcome::Found(format!("{} in {}", release.trim(), cache.display())));
    }
    if let Some(named) = env::var_os("VMHOP_LAB_KERNEL") {
        return Ok(Outcome::Found(format!("{}, from VMHOP_LAB_KERNEL", named.to_string_lossy())));
    }
    let fetchable =
        system.distribution == Distribution::Debian && (system.check_only || system.apt_has(META_PACKAGE));
    if !fetchable || system.check_only {
        return Ok(hosts_own().unwrap_or_else(|| missing(fetchable)));
    }
    let release = fetch(system, &cache)?;
    Ok(Outcome::Installed(format!("{release} in {}", cache.display())))
}

fn missing(fetchable: bool) -> Outcome {
    let remedy = if fetchable {
        "cargo xtask setup"
    } else {
        "name a kernel in VMHOP_LAB_KERNEL, and the folder with its modules.dep in VMHOP_LAB_MODULES"
    };
    Outcome::Missing(
        "none is in the cache, and the host's own is not in /boot".to_owned(),
        vec![remedy.to_owned()],
    )
}

/// The kernel that runs this machine, which `vmhop lab` takes when there is no other.
fn hosts_own() -> Option<Outcome> {
    let release = output(&mut command(&["uname", "-r"]))?;
    let release = release.trim();
    let modules = PathBuf::from(format!("/lib/modules/{release}"));
    let images = [PathBuf::from(format!("/boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = images.into_iter().find(|image| image.is_file() && modules.is_dir())?;
    Some(Outcome::Found(format!("the host's own, {}", image.display())))
}

/// Fetches the kernel into a folder beside the cache, and moves it there when it is whole.
fn fetch(system: &System, cache: &Path) -> anyhow::Result<String> {
    let work = cache.with_extension("partial");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("failed to make {}", work.display()))?;
    let package = image_package()?;
    let mut download = command(&["apt-get", "download", &package]);
    system.log.run(download.current_dir(&work))?;
    let archive = entries(&work)?.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.with_context(|| format!("apt-get has left no package {package}"))?;
    let root = work.join("root");
    system.log.run(command(&["dpkg", "-x"]).arg(&archive).arg(&root))?;
    let new = work.join("new");
    let release = pick(system, &root, &new)?;
    let _ = fs::remove_dir_all(cache);
    fs::rename(&new, cache).with_context(|| format!("failed to make {}", cache.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))?;
    Ok(release)
}

/// The package with the kernel that the meta package stands for.
fn image_package() -> anyhow::Result<String> {
    let depends = output(&mut command(&["apt-cache", "depends", META_PACKAGE])).unwrap_or_default();
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let image = names.into_iter().find(|name| name.starts_with("linux-image-"));
    Ok(image.with_context(|| format!("package {META_PACKAGE} names no kernel"))?.to_owned())
}

/// Moves the kernel and the modules a guest needs from the unpacked package to `new`.
fn pick(system: &System, root: &Path, new: &Path) -> anyhow::Result<String> {
    let lib = root.join("lib/modules");
    let lib = if lib.is_dir() { lib } else { root.join("usr/lib/modules") };
    let tree = entries(&lib)?.into_iter().next().with_context(|| format!("{} is empty", lib.display()))?;
    let release = tree.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The package brings no modules.dep: it is made when it is installed. Needs no root, and busybox is here.
    let base = lib.ancestors().nth(2).unwrap_or(root);
    system.log.run(command(&["busybox", "depmod", "-b"]).arg(base).arg(&release))?;
    let list = tree.join("modules.dep");
    let list = fs::read_to_string(&list).with_context(|| format!("failed to read {}", list.display()))?;
    let (files, lines) = needed(&list);
    if files.is_empty() {
        bail!("kernel {release} has no virtio modules, which a guest needs");
    }
    for file in files {
        let target = new.join("modules").join(file);
        fs::create_dir_all(target.parent().unwrap_or(new))?;
        fs::copy(tree.join(file), &target).with_context(|| format!("failed to copy module {file}"))?;
    }
    fs::write(new.join("modules/modules.dep"), lines)?;
    let image = root.join(format!("boot/vmlinuz-{release}"));
    fs::copy(&image, new.join("vmlinuz")).with_context(|| format!("failed to copy {}", image.display()))?;
    fs::write(new.join("release"), format!("{release}\n"))?;
    Ok(release)
}

/// The files that [`MODULES`] need, and their lines of modules.dep.
fn needed(modules_dep: &str) -> (Vec<&str>, String) {
    let name = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        name.split('.').next().unwrap_or(name).replace('-', "_")
    };
    let lines = || modules_dep.lines().filter_map(|line| Some((line, line.split_once(':')?)));
    let wanted = lines().filter(|(_, (file, _))| MODULES.contains(&name(file).as_str()));
    let files = wanted.flat_map(|(_, (file, needs))| std::iter::once(file).chain(needs.split_whitespace()));
    let mut files: Vec<&str> = files.collect();
    files.sort_unstable();
    files.dedup();
    let kept = lines().filter(|(_, (file, _))| files.contains(file)).map(|(line, _)| format!("{line}\n"));
    let kept = kept.collect();
    (files, kept)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_with_those_it_depends_on_and_without_others() {
        let list = "k/virtio.ko:\nk/virtio-net.ko: k/virtio.ko k/failover.ko\nk/failover.ko:\nk/ext4.ko: k/jbd2.ko\n";
        let (files, lines) = needed(list);
        assert_eq!(files, ["k/failover.ko", "k/virtio-net.ko", "k/virtio.ko"]);
        assert_eq!(lines, "k/virtio.ko:\nk/virtio-net.ko: k/virtio.ko k/failover.ko\nk/failover.ko:\n");
    }
}
