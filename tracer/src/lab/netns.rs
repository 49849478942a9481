//! Network namespaces by name, as `ip netns` keeps them: entering them and finding who lives in them.

use std::{
    fs::{self, File},
    io,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::PathBuf,
    process::Command,
    thread,
};

use anyhow::{Context as _, bail};
use nix::sched::{CloneFlags, setns};

use super::state::Process;

/// The file that `ip netns` binds the namespace `name` to.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Whether something stands under this name, be it a namespace or what a crash left of one.
pub(crate) fn exists(name: &str) -> bool {
    path(name).exists()
}

/// Makes `command` run inside the namespace `name`, the calling process staying where it is.
pub(crate) fn enter_on_exec(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let path = path(name);
    let file = File::open(&path).with_context(|| format!("failed to open network namespace {name}"))?;
    // SAFETY: the closure runs between fork and exec and does one system call on a descriptor that it
    // owns: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || setns(&file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)) };
    Ok(())
}

/// Moves the calling thread into the namespace `name`, for good.
pub(crate) fn enter(name: &str) -> anyhow::Result<()> {
    let file = File::open(path(name)).with_context(|| format!("failed to open network namespace {name}"))?;
    setns(&file, CloneFlags::CLONE_NEWNET)
        .with_context(|| format!("failed to enter network namespace {name}"))
}

/// Does some work in the namespace `name`, the calling thread staying where it is.
pub(crate) fn inside<T: Send>(
    name: &str,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let enter_and_work = || {
        enter(name)?;
        work()
    };
    let joined = thread::scope(|scope| scope.spawn(enter_and_work).join());
    joined.unwrap_or_else(|_| bail!("the work in network namespace {name} ended in a panic"))
}

/// The processes that live in the namespace `name`, the caller excepted.
///
/// Refuses to answer for the namespace that the caller itself is in: a list of those is a list of
/// strangers, and the callers of this function end what it lists.
pub(crate) fn processes(name: &str) -> anyhow::Result<Vec<Process>> {
    let Ok(wanted) = fs::metadata(path(name)) else { return Ok(Vec::new()) };
    let wanted = (wanted.dev(), wanted.ino());
    let own = fs::metadata("/proc/self/ns/net").context("failed to read the own network namespace")?;
    if (own.dev(), own.ino()) == wanted {
        bail!("this process is itself in network namespace {name}: leave it first");
    }
    let entries = fs::read_dir("/proc").context("failed to list /proc")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let inside = |pid: &i32| {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/net"));
        namespace.is_ok_and(|found| (found.dev(), found.ino()) == wanted)
    };
    Ok(pids.filter(inside).filter_map(Process::find).collect())
}
