//! Network namespaces without a name: they, and all in them, go away with the last descriptor, whatever ends this
//! process.

use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::lab::tools;

/// The calling thread's.
const OWN: &str = "/proc/thread-self/ns/net";

pub(super) struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one, with nothing in it but a loopback device that is down.
    pub(super) fn new() -> Result<Namespace> {
        let make = || -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("failed to make a network namespace")?;
            File::open(OWN).with_context(|| format!("failed to open {OWN}"))
        };
        // In a thread of its own, which ends there: the calling one stays where it is.
        let made = thread::scope(|scope| scope.spawn(make).join());
        let Ok(file) = made else { bail!("the thread that makes a network namespace ended in a panic") };
        Ok(Namespace { file: file? })
    }

    /// Does some work inside, the calling thread staying where it is.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let enter_and_work = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET)
                .context("failed to enter the self-test's namespace")?;
            work()
        };
        let joined = thread::scope(|scope| scope.spawn(enter_and_work).join());
        joined.unwrap_or_else(|_| bail!("the work in the self-test's namespace ended in a panic"))
    }

    /// Runs `ip` inside with each of these command lines.
    pub(super) fn ip(&self, lines: &[String]) -> Result<()> {
        let ip = tools::need("ip", "iproute2")?;
        self.inside(|| {
            for line in lines {
                tools::run(Command::new(&ip).args(line.split_whitespace()))?;
            }
            Ok(())
        })
    }

    /// The path by which another process of root's can open it while this one lives.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub(super) fn inode(&self) -> Result<u32> {
        Ok(self.file.metadata().context("failed to look at a network namespace")?.ino() as u32)
    }
}
