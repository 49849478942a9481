//! One run: a VM is started, its output passed on while it comes, and its end turned into an exit code.

use std::{
    ffi::OsString,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    attempt::Attempt,
    cache::Cached,
    files::Files,
    initramfs,
    job::Job,
    nics::Nic,
    qemu::{Accel, Machine},
};

/// Under KVM a VM is ready within this time or never.
const KVM_START: Duration = Duration::from_secs(20);

/// What to run and on what.
pub struct Run {
    /// The series.
    pub name: &'static str,
    /// The kernel.
    pub kernel: Cached,
    /// What executes it.
    pub accel: Accel,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// More words for the kernel.
    pub append: Vec<String>,
    /// Pairs of NICs.
    pub nics: Vec<Nic>,
    /// The time that it may take.
    pub timeout: Duration,
    /// Where results go; none for a folder of its own.
    pub out: Option<PathBuf>,
    /// The command.
    pub command: Vec<OsString>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The command ended with this exit code.
    Command(u8),
    /// It took longer than it may.
    TimedOut,
    /// This process was told to end by this signal.
    Interrupted(i32),
}

impl Run {
    /// Does it; that the VM fails is an error, with the end of its console.
    pub fn perform(&self, out: &mut impl Write, errors: &mut impl Write) -> anyhow::Result<Ended> {
        let files = Files::make(self.name, self.out.as_deref())?;
        let job = Job::new(self.name, &self.command)?;
        initramfs::write(&files.initramfs(), &self.kernel, &self.nics, &job)?;
        self.start(&files)?.watch(out, errors, self.timeout).with_context(|| format!("kernel {}", self.name))
    }

    /// Starts the VM, under KVM when that is wanted and, unless it must be, works.
    fn start<'a>(&self, files: &'a Files) -> anyhow::Result<Attempt<'a>> {
        if self.accel == Accel::Auto {
            let mut attempt = Attempt::start(&self.machine(files, true), files)?;
            if attempt.wait_until_ready(Instant::now() + KVM_START)? {
                return Ok(attempt);
            }
        }
        Attempt::start(&self.machine(files, self.accel == Accel::Kvm), files)
    }

    fn machine(&self, files: &Files, kvm: bool) -> Machine {
        Machine {
            kvm,
            cpus: self.cpus,
            memory: self.memory,
            image: self.kernel.image(),
            append: self.append.clone(),
            initramfs: files.initramfs(),
            modules: self.kernel.modules(),
            out: files.out.clone(),
            console: files.console(),
            nics: self.nics.clone(),
        }
    }
}
