//! ftrace in an instance of its own, which goes when it is dropped: the kernel writes records into its ring, and nobody
//! reads them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::shell::{command, run};

/// tracefs, where this machine has it mounted, or mounted by the bench.
pub struct Tracefs {
    /// Where it is.
    pub path: PathBuf,
    mounted: bool,
}

impl Tracefs {
    /// Finds or mounts it.
    pub fn find() -> anyhow::Result<Tracefs> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("failed to read /proc/self/mounts")?;
        if let Some(path) = place(&mounts) {
            return Ok(Tracefs { path: path.into(), mounted: false });
        }
        // Where the kernel wants it, so that perf finds it.
        let path = PathBuf::from("/sys/kernel/tracing");
        run(command(&["mount", "-t", "tracefs", "nodev"]).arg(&path))?;
        Ok(Tracefs { path, mounted: true })
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg(&self.path).status();
        }
    }
}

/// Where it is, by the list of mounts.
fn place(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "tracefs").then_some(place)
    })
}

/// An instance that records.
pub struct Ftrace {
    instance: PathBuf,
}

impl Ftrace {
    /// Records these tracepoints of `net`.
    pub fn attach(tracefs: &Path, tracepoints: &[&str]) -> anyhow::Result<Ftrace> {
        let instance = tracefs.join("instances").join(format!("vmhop-bench-{}", std::process::id()));
        fs::create_dir(&instance).with_context(|| format!("failed to make {}", instance.display()))?;
        let ftrace = Ftrace { instance };
        ftrace.switch(tracepoints, "1")?;
        Ok(ftrace)
    }

    /// Ends it.
    pub fn stop(self) -> anyhow::Result<()> {
        fs::write(self.instance.join("events/enable"), "0").context("failed to stop ftrace")
    }

    fn switch(&self, tracepoints: &[&str], to: &str) -> anyhow::Result<()> {
        for name in tracepoints {
            let path = self.instance.join("events/net").join(name).join("enable");
            fs::write(&path, to).with_context(|| format!("failed to write {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Ftrace {
    fn drop(&mut self) {
        let _ = fs::write(self.instance.join("events/enable"), "0");
        let _ = fs::remove_dir(&self.instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracefs_is_found_among_the_mounts() {
        let mounts = "proc /proc proc rw 0 0\ntracefs /sys/kernel/tracing tracefs rw,nosuid 0 0\n";
        assert_eq!(place(mounts), Some("/sys/kernel/tracing"));
        assert_eq!(place("tracefs /tracefs tmpfs rw 0 0\n"), None);
    }
}
