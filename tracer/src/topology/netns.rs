//! The host's network namespaces: which there are, what they are called, and how to talk to one from outside.
//!
//! A namespace is known by its inode number. Descriptors of it are opened when needed and not kept: an open
//! one would keep the namespace and its devices alive after its owner removed it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{linux::fs::MetadataExt, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, setns};

use super::process;
use crate::detached::Mount;

/// Where `ip netns` keeps the namespaces that it named.
const NAMED: &str = "/run/netns";
/// Container engines keep theirs elsewhere; those names are not shown, the namespaces are known.
const UNNAMED: &str = "/run/docker/netns";
/// The calling thread's namespace.
const OWN: &str = "/proc/thread-self/ns/net";
/// A process may end before its entry is opened, so a few more are kept.
const MAX_PATHS: usize = 4;

/// The namespaces that a scan found, by inode number.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    known: BTreeMap<u32, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    name: Option<String>,
    paths: Vec<PathBuf>,
    /// Of a namespace that only a device's descriptor led to: it has neither name nor process.
    held: Option<File>,
}

impl Namespaces {
    /// Looks at /run/netns and at every process.
    pub(super) fn scan() -> Result<Self> {
        let mut found = Self::default();
        let own = fs::metadata(OWN).with_context(|| format!("failed to look at {OWN}"))?;
        for (folder, named) in [(NAMED, true), (UNNAMED, false)] {
            // A host where nobody named a namespace has no such folder.
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                // A file of another file system is what `ip netns` left behind: nothing is mounted on it.
                match fs::metadata(&path) {
                    Ok(at) if at.dev() == own.dev() => {
                        let name = named.then(|| entry.file_name().to_string_lossy().into_owned());
                        found.add(inode(&at), name, path);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        found.add(inode(&own), None, PathBuf::from(OWN));
        for pid in process::pids()? {
            let path = process::proc_path(pid).join("ns/net");
            if let Some(inode) = link_inode(&path) {
                found.add(inode, None, path);
            }
        }
        Ok(found)
    }

    /// Makes sure that the namespace behind an open descriptor is known, and gives its inode number.
    pub(super) fn add_file(&mut self, file: File) -> io::Result<u32> {
        let inode = inode(&file.metadata()?);
        let entry = self.known.entry(inode).or_default();
        if entry.paths.is_empty() {
            entry.held = Some(file);
        }
        Ok(inode)
    }

    /// Looks again, and keeps what only a descriptor led to.
    pub(super) fn rescan(&mut self) -> Result<()> {
        let known = std::mem::replace(self, Self::scan()?).known;
        for file in known.into_values().filter_map(|entry| entry.held) {
            self.add_file(file)?;
        }
        Ok(())
    }

    /// Closes the descriptors that keep a namespace alive.
    pub(super) fn release(&mut self) {
        for entry in self.known.values_mut() {
            entry.held = None;
        }
    }

    fn add(&mut self, inode: u32, name: Option<String>, path: PathBuf) {
        let entry = self.known.entry(inode).or_default();
        entry.name = entry.name.take().or(name);
        if entry.paths.len() < MAX_PATHS {
            entry.paths.push(path);
        }
    }

    /// The inode numbers of all known namespaces.
    pub(super) fn inodes(&self) -> Vec<u32> {
        self.known.keys().copied().collect()
    }

    /// The name that `ip netns` gave it.
    pub(super) fn name(&self, inode: u32) -> Option<String> {
        self.known.get(&inode)?.name.clone()
    }

    /// The namespace of this name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.known.iter().find(|(_, entry)| entry.name.as_deref() == Some(name)).map(|(inode, _)| *inode)
    }

    /// The names of all namespaces that have one.
    pub(super) fn names(&self) -> Vec<String> {
        self.known.values().filter_map(|entry| entry.name.clone()).collect()
    }

    /// A descriptor of the namespace; none if it went away since the scan.
    pub(super) fn open(&self, wanted: u32) -> Option<File> {
        let entry = self.known.get(&wanted)?;
        let by_path = entry.paths.iter().find_map(|path| {
            let file = File::open(path).ok()?;
            // The name or the PID may stand for another namespace by now.
            (inode(&file.metadata().ok()?) == wanted).then_some(file)
        });
        by_path.or_else(|| entry.held.as_ref()?.try_clone().ok())
    }

    /// An rtnetlink socket inside the namespace.
    pub(super) fn socket(&self, inode: u32) -> Result<Socket> {
        self.inside(inode, || Ok(bound_socket()?))
    }

    /// A sysfs that shows the namespace's devices.
    pub(super) fn sysfs(&self, inode: u32) -> Result<Mount> {
        self.inside(inode, || Ok(Mount::new(c"sysfs")?))
    }

    fn inside<T: Send>(&self, inode: u32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = self.open(inode).ok_or_else(|| anyhow!("network namespace net:[{inode}] went away"))?;
        inside(&file, inode, work).with_context(|| format!("failed to enter network namespace net:[{inode}]"))
    }
}

/// A descriptor of the namespace with this inode number.
///
/// # Errors
/// It went away, or this user may not look at it.
pub fn open_namespace(inode: u32) -> Result<File> {
    Namespaces::scan()?.open(inode).ok_or_else(|| anyhow!("network namespace net:[{inode}] went away"))
}

/// The inode number of the calling thread's namespace.
pub(super) fn own() -> Result<u32> {
    link_inode(Path::new(OWN)).ok_or_else(|| anyhow!("failed to read {OWN}"))
}

/// The inode number of a process's namespace; none if it is gone.
pub(super) fn of_process(pid: i32) -> Option<u32> {
    link_inode(&process::proc_path(pid).join("ns/net"))
}

/// A socket and a sysfs stay in the namespace they were opened in, so only their opening needs a thread of its
/// own: setns(2) moves one thread, and the calling one must stay where it is.
fn inside<T: Send>(namespace: &File, inode: u32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if own()? == inode {
        return work();
    }
    let inside = || -> Result<T> {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    };
    std::thread::scope(|scope| -> Result<T> {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, inside)?;
        thread.join().map_err(|_| anyhow!("the thread inside the namespace panicked"))?
    })
}

fn bound_socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    Ok(socket)
}

/// Namespace inodes are 32 bits wide (ns_common.inum).
fn inode(metadata: &fs::Metadata) -> u32 {
    metadata.st_ino() as u32
}

/// The number in a link like `net:[4026531840]`.
fn link_inode(path: &Path) -> Option<u32> {
    let target = fs::read_link(path).ok()?;
    target.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_known_and_opens() {
        let own = own().unwrap();
        let namespaces = Namespaces::scan().unwrap();
        assert!(namespaces.inodes().contains(&own));
        assert!(namespaces.open(own).is_some());
        assert_eq!(of_process(std::process::id() as i32), Some(own));
    }
}
