//! One run: a VM is started, its output passed on while it comes, and its end turned into an exit code.

use std::{
    ffi::OsString,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{interrupt, shell::note};

use super::{
    attempt::{Attempt, Ended},
    emulator::Emulator,
    fetch,
    files::Files,
    initramfs,
    job::Job,
    kernels::Kernel,
    nics,
    qemu::{Accel, Hardware, Machine},
};

/// Under KVM a VM is ready within this time or never.
const KVM_START: Duration = Duration::from_secs(20);

/// A VM that is not ready by then, or has ended before, is started anew. On a machine under load two in some
/// seventy emulated ones failed to start, both of 6.18: a processor waited forever for its timer, and the kernel's
/// test of the timer, which is now left out, was too slow to pass.
const START: Duration = Duration::from_secs(150);
/// How often it is started.
const STARTS: usize = 3;

/// What to run and on what.
pub struct Run {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The machine around it.
    pub hardware: Hardware,
    /// The time that it may take.
    pub timeout: Duration,
    /// The time that the command may write nothing; a VM in which it does is taken for one that hangs.
    pub silence: Duration,
    /// Where results go; none for a folder of its own.
    pub out: Option<PathBuf>,
    /// The command.
    pub command: Vec<OsString>,
}

impl Run {
    /// Does it, after the kernel has been fetched if need be. That the VM fails is an error, with the end of its
    /// console.
    pub fn perform(&self, out: &mut impl Write, errors: &mut impl Write) -> anyhow::Result<Ended> {
        let name = self.kernel.name;
        let emulator = Emulator::ensure()?;
        let cached = fetch::ensure(self.kernel)?;
        let files = Files::make(name, self.out.as_deref())?;
        let job = Job::new(name, &self.command)?;
        let nics = nics::available(self.hardware.nics.clone(), &emulator);
        let hardware = &Hardware { nics, ..self.hardware.clone() };
        initramfs::write(&files.initramfs(), &cached, &hardware.nics, &job)?;
        let machine = Machine { emulator: &emulator, kvm: false, hardware, cached: &cached, files: &files };
        let end = Instant::now() + self.timeout;
        let started = self.start(&machine, &files, end);
        let done = started.and_then(|mut attempt| attempt.watch(out, errors, (end, self.silence)));
        done.with_context(|| format!("kernel {name}"))
    }

    /// Starts the VM, under KVM when that is wanted and, unless it must be, works; the last attempt, whatever
    /// becomes of it.
    fn start<'a>(
        &self,
        machine: &Machine<'_>,
        files: &'a Files,
        end: Instant,
    ) -> anyhow::Result<Attempt<'a>> {
        let start = |kvm| Attempt::start(&Machine { kvm, ..*machine }, files);
        if self.hardware.accel == Accel::Auto {
            let mut attempt = start(true)?;
            if attempt.wait_until_ready(Instant::now() + KVM_START)? {
                return Ok(attempt);
            }
        }
        let kvm = self.hardware.accel == Accel::Kvm;
        for _ in 1..STARTS {
            let mut attempt = start(kvm)?;
            let ready = attempt.wait_until_ready(end.min(Instant::now() + START))?;
            if ready || Instant::now() >= end || interrupt::noted().is_some() {
                return Ok(attempt);
            }
            note(&format!("xtask: kernel {} has failed to start, and is started anew", self.kernel.name));
        }
        start(kvm)
    }
}
