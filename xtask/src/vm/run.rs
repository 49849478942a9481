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
    fetch,
    files::Files,
    initramfs,
    job::Job,
    kernels::Kernel,
    qemu::{Accel, Hardware, Machine},
};

/// Under KVM a VM is ready within this time or never.
const KVM_START: Duration = Duration::from_secs(20);

/// What to run and on what.
pub struct Run {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The machine around it.
    pub hardware: Hardware,
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
    /// It took longer than it may, and had come so far.
    TimedOut(&'static str),
    /// This process was told to end by this signal.
    Interrupted(i32),
}

impl Run {
    /// Does it, after the kernel has been fetched if need be. That the VM fails is an error, with the end of its
    /// console.
    pub fn perform(&self, out: &mut impl Write, errors: &mut impl Write) -> anyhow::Result<Ended> {
        let name = self.kernel.name;
        let cached = fetch::ensure(self.kernel)?;
        let files = Files::make(name, self.out.as_deref())?;
        let job = Job::new(name, &self.command)?;
        initramfs::write(&files.initramfs(), &cached, &self.hardware.nics, &job)?;
        self.start(&cached, &files)?
            .watch(out, errors, self.timeout)
            .with_context(|| format!("kernel {name}"))
    }

    /// Starts the VM, under KVM when that is wanted and, unless it must be, works.
    fn start<'a>(&self, cached: &Cached, files: &'a Files) -> anyhow::Result<Attempt<'a>> {
        let machine = |kvm| Machine { kvm, hardware: &self.hardware, cached, files };
        if self.hardware.accel == Accel::Auto {
            let mut attempt = Attempt::start(&machine(true), files)?;
            if attempt.wait_until_ready(Instant::now() + KVM_START)? {
                return Ok(attempt);
            }
        }
        Attempt::start(&machine(self.hardware.accel == Accel::Kvm), files)
    }
}
