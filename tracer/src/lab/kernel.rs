//! The guest's kernel: where it comes from, and which modules it needs in which order.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use nix::{sys::utsname::uname, unistd::Uid};

use super::tools;

/// What the guest cannot do without; a kernel that has one built in has no file for it, which is fine.
pub(super) const WANTED_MODULES: [&str; 4] = ["virtio_pci", "virtio_net", "virtio_console", "af_packet"];

/// A kernel and the folder of its modules, which has `modules.dep` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) modules: Option<PathBuf>,
}

/// Finds a kernel: the one the environment names, else the one that setup put into the cache, else the
/// host's own.
pub(crate) fn find() -> anyhow::Result<Kernel> {
    if let Some(image) = env::var_os("VMHOP_LAB_KERNEL").map(PathBuf::from) {
        if !image.is_file() {
            bail!("VMHOP_LAB_KERNEL names {}, which is not a file", image.display());
        }
        return Ok(Kernel { image, modules: env::var_os("VMHOP_LAB_MODULES").map(PathBuf::from) });
    }
    for cache in caches() {
        let kernel = Kernel { image: cache.join("vmlinuz"), modules: Some(cache.join("modules")) };
        if kernel.image.is_file() {
            return Ok(kernel);
        }
    }
    let name = uname().context("failed to ask for the kernel's name")?;
    let release = name.release().to_string_lossy();
    let modules = PathBuf::from(format!("/lib/modules/{release}"));
    let images = [PathBuf::from(format!("/boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let Some(image) = images.into_iter().find(|image| image.is_file()) else {
        bail!(
            "there is no kernel for the guest: {}, or name one in VMHOP_LAB_KERNEL and its modules in \
             VMHOP_LAB_MODULES",
            tools::SETUP
        );
    };
    Ok(Kernel { image, modules: modules.is_dir().then_some(modules) })
}

/// The folders where `cargo xtask setup` may have left a kernel: the caller's own, and under sudo also that
/// of the user who called.
fn caches() -> Vec<PathBuf> {
    let own = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let caller = env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).map(Uid::from_raw);
    let caller = caller.and_then(|uid| nix::unistd::User::from_uid(uid).ok().flatten());
    let callers = caller.map(|user| user.dir.join(".cache"));
    [own, home, callers].into_iter().flatten().map(|cache| cache.join("vmhop/lab")).collect()
}

impl Kernel {
    /// The modules for the guest, decompressed, each after those it depends on.
    pub(crate) fn load_modules(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let Some(folder) = &self.modules else { return Ok(Vec::new()) };
        let list = folder.join("modules.dep");
        let text = fs::read_to_string(&list)
            .with_context(|| format!("failed to read {}: {}", list.display(), tools::SETUP))?;
        load_order(&text, &WANTED_MODULES).iter().map(|path| read_module(&folder.join(path))).collect()
    }
}

/// The files of `wanted` and of all they depend on, each after its dependencies.
///
/// A line of modules.dep lists all that a module needs; kmod sorts that list and busybox does not, so each
/// dependency is looked up in its own line.
pub(super) fn load_order(modules_dep: &str, wanted: &[&str]) -> Vec<String> {
    let lines = modules_dep.lines().filter_map(|line| line.split_once(':'));
    let lines: Vec<(&str, &str)> = lines.collect();
    let mut order = Vec::new();
    for name in wanted {
        if let Some((file, _)) = lines.iter().find(|(file, _)| module_name(file) == *name) {
            visit(file, &lines, &mut Vec::new(), &mut order);
        }
    }
    order
}

/// Appends the dependencies of `file`, then `file`; `open` holds what is being visited, for a list with a loop.
fn visit<'a>(file: &'a str, lines: &[(&'a str, &'a str)], open: &mut Vec<&'a str>, order: &mut Vec<String>) {
    if open.contains(&file) || order.iter().any(|known| known == file) {
        return;
    }
    open.push(file);
    let line = lines.iter().find(|(name, _)| *name == file);
    for dependency in line.iter().flat_map(|(_, dependencies)| dependencies.split_whitespace()) {
        visit(dependency, lines, open, order);
    }
    open.pop();
    order.push(file.to_owned());
}

/// `virtio_net` for `kernel/drivers/net/virtio-net.ko.xz`: the kernel takes both signs for the same.
fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

/// The module as the kernel takes it, without the compression that distributions add.
fn read_module(path: &Path) -> anyhow::Result<Vec<u8>> {
    let (program, package) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => ("xz", "xz-utils"),
        Some("zst") => ("zstd", "zstd"),
        Some("gz") => ("gzip", "gzip"),
        _ => return fs::read(path).with_context(|| format!("failed to read {}", path.display())),
    };
    tools::run(Command::new(tools::need(program, package)?).arg("-dc").arg(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES_DEP: &str = "\
kernel/a/virtio.ko.xz:
kernel/a/virtio_ring.ko.xz: kernel/a/virtio.ko.xz
kernel/a/virtio_pci.ko.xz: kernel/a/virtio.ko.xz kernel/a/virtio_ring.ko.xz
kernel/n/net-failover.ko.xz: kernel/n/failover.ko.xz
kernel/n/virtio_net.ko.xz: kernel/a/virtio.ko.xz kernel/n/net-failover.ko.xz kernel/n/failover.ko.xz
";

    #[test]
    fn a_module_is_loaded_once_and_after_those_it_depends_on() {
        let order = load_order(MODULES_DEP, &["virtio_pci", "virtio_net", "built_in"]);
        let expected = [
            "kernel/a/virtio.ko.xz",
            "kernel/a/virtio_ring.ko.xz",
            "kernel/a/virtio_pci.ko.xz",
            "kernel/n/failover.ko.xz",
            "kernel/n/net-failover.ko.xz",
            "kernel/n/virtio_net.ko.xz",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_dash_in_a_file_name_is_an_underscore_in_the_module_name() {
        assert_eq!(module_name("kernel/drivers/char/hw_random/virtio-rng.ko.zst"), "virtio_rng");
    }
}
