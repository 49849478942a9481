//! What /proc says about the processes that hold taps. Reads only; a process that goes away is skipped.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{
    model::{Thread, ThreadRole, Vm, Vmm},
    threads,
};

/// A process with descriptors of tun or macvtap devices.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) pid: i32,
    pub(super) fds: Vec<TapFd>,
    pub(super) kvm: bool,
}

/// A descriptor that may be a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TapFd {
    pub(super) fd: i32,
    /// Of a macvtap: the index of its device, which is the number in the name of its node, /dev/tapN.
    pub(super) macvtap: Option<u32>,
}

/// A vhost worker that is a kernel thread of its own, as before 6.4.
#[derive(Debug)]
pub(super) struct VhostWorker {
    pub(super) tid: i32,
    pub(super) name: String,
    pub(super) owner: i32,
}

/// What one walk over /proc found.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) holders: Vec<Holder>,
    pub(super) vhost: Vec<VhostWorker>,
}

/// Fails unless this process may look into others: without these capabilities the walk would find nothing
/// and say that there are no VMs.
pub(super) fn check_permission() -> Result<()> {
    const NEEDED: [(u32, &str); 2] = [(19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN")];
    // The calling thread's, which may differ from the process's.
    let path = "/proc/thread-self/status";
    let status = fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let missing: Vec<_> =
        NEEDED.iter().filter(|(bit, _)| effective & (1 << bit) == 0).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "cannot look for VMs: reading other processes' open files and entering network namespaces needs {}; \
         run vmhop as root (sudo)",
        missing.join(" and ")
    )
}

/// Walks over all processes, in the order of their PIDs.
pub(super) fn scan() -> Result<Processes> {
    let mut found = Processes::default();
    for pid in pids()? {
        if let Some(comm) = comm(&proc_path(pid))
            && let Some(owner) = threads::vhost_owner(&comm)
        {
            found.vhost.push(VhostWorker { tid: pid, name: comm, owner });
        }
        // A process may end at any moment, and a kernel thread has no files: neither is an error.
        if let Ok(holder) = holder(pid)
            && !holder.fds.is_empty()
        {
            found.holders.push(holder);
        }
    }
    Ok(found)
}

/// The PIDs of all processes, in ascending order.
pub(super) fn pids() -> Result<Vec<i32>> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .context("failed to list /proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

fn holder(pid: i32) -> io::Result<Holder> {
    let mut holder = Holder { pid, fds: Vec::new(), kvm: false };
    for entry in fs::read_dir(proc_path(pid).join("fd"))? {
        let entry = entry?;
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The descriptor may have been closed since it was listed.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        match tap_node(&target) {
            Some(macvtap) => holder.fds.push(TapFd { fd, macvtap }),
            None => holder.kvm |= target == "/dev/kvm" || target == "anon_inode:kvm-vm",
        }
    }
    holder.fds.sort_unstable_by_key(|tap| tap.fd);
    Ok(holder)
}

/// Whether a descriptor's target is a tun node (`Some(None)`) or a macvtap's (`Some(index of its device)`).
pub(super) fn tap_node(target: &str) -> Option<Option<u32>> {
    // A node in a mount namespace that vmhop cannot see may read `/net/tun`, or end in ` (deleted)`.
    let target = target.strip_suffix(" (deleted)").unwrap_or(target);
    if target.ends_with("/net/tun") {
        return Some(None);
    }
    let index = target.rsplit_once("/tap")?.1.parse().ok()?;
    Some(Some(index))
}

/// The name in `iff:` of a tun descriptor's fdinfo (tun_chr_show_fdinfo).
pub(super) fn fdinfo_name(pid: i32, fd: i32) -> Option<String> {
    let text = fs::read_to_string(proc_path(pid).join(format!("fdinfo/{fd}"))).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("iff:"))?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The process's start in clock ticks since boot; none if it is gone or dead and only waits to be reaped.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    let stat = procfs::process::Process::new(pid).ok()?.stat().ok()?;
    (!matches!(stat.state, 'Z' | 'X' | 'x')).then_some(stat.starttime)
}

/// File name of the process's executable, else its `comm`.
pub(super) fn executable(pid: i32) -> Option<String> {
    let dir = proc_path(pid);
    match fs::read_link(dir.join("exe")) {
        Ok(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        Err(_) => comm(&dir),
    }
}

/// The process's command line.
pub(super) fn cmdline(pid: i32) -> Vec<String> {
    let bytes = fs::read(proc_path(pid).join("cmdline")).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The process's threads with their roles, and the vhost workers that serve it from outside.
pub(super) fn threads(pid: i32, vmm: &Vmm, vhost: &[VhostWorker]) -> Vec<Thread> {
    let Ok(entries) = fs::read_dir(proc_path(pid).join("task")) else { return Vec::new() };
    let mut found: Vec<Thread> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let tid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let name = comm(&entry.path())?;
            Some(Thread { tid, role: threads::role(vmm, &name, tid == pid), name })
        })
        .collect();
    let outside: Vec<Thread> = vhost
        .iter()
        .filter(|worker| found.iter().any(|thread| thread.tid == worker.owner))
        .map(|worker| Thread { tid: worker.tid, name: worker.name.clone(), role: ThreadRole::Vhost })
        .collect();
    found.extend(outside);
    found.sort_by_key(|thread| thread.tid);
    found
}

/// The VM's threads as they are now, and the vhost workers that served it from outside when it was discovered.
pub fn threads_of(vm: &Vm) -> Vec<Thread> {
    let mut found = threads(vm.pid, &vm.vmm, &[]);
    let is_outside = |thread: &&Thread| thread.role == ThreadRole::Vhost;
    for worker in vm.threads.iter().filter(is_outside) {
        if !found.iter().any(|thread| thread.tid == worker.tid) {
            found.push(worker.clone());
        }
    }
    found
}

fn comm(dir: &Path) -> Option<String> {
    let bytes = fs::read(dir.join("comm")).ok()?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// The process's folder in /proc.
pub(super) fn proc_path(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tells_a_tap_from_a_macvtap() {
        for (target, expected) in [
            ("/dev/net/tun", Some(None)),
            ("/dev/net/tun (deleted)", Some(None)),
            ("/net/tun", Some(None)),
            ("/dev/tap12", Some(Some(12))),
            ("/dev/tap", None),
            ("/dev/tapx", None),
            ("/tmp/tape", None),
            ("socket:[12]", None),
            ("anon_inode:kvm-vm", None),
        ] {
            assert_eq!(tap_node(target), expected, "{target}");
        }
    }

    #[test]
    fn own_process_has_a_start_and_a_main_thread() {
        let pid = std::process::id() as i32;
        assert!(start_time(pid).is_some());
        assert!(threads(pid, &Vmm::Qemu, &[]).iter().any(|thread| thread.tid == pid));
        assert!(start_time(i32::MAX).is_none());
    }
}
