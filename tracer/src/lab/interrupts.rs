//! Ctrl-C and its like, turned into something that can be asked and waited for, so that a lab that is being
//! made is taken down again, and a command in the guest is ended there.

use std::{
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::OFlag,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::{pipe2, read},
};

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The writing end of the pipe that the handler reports to; -1 while nothing is caught.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// Catches the signals as long as it lives. Unlike blocked signals, caught ones are as usual in children.
pub(crate) struct Interrupts {
    pipe: OwnedFd,
    /// Kept open for the handler.
    _report: OwnedFd,
    before: Vec<(Signal, SigAction)>,
}

impl Interrupts {
    /// Starts to catch them; once in a process at a time.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let (pipe, report) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).context("failed to make a pipe")?;
        if REPORT.compare_exchange(-1, report.as_raw_fd(), Ordering::SeqCst, Ordering::SeqCst).is_err() {
            bail!("signals are already being caught in this process");
        }
        let action = SigAction::new(SigHandler::Handler(handle), SaFlags::empty(), SigSet::empty());
        let mut before = Vec::new();
        for signal in SIGNALS {
            // SAFETY: the handler only makes one async-signal-safe system call.
            let old = unsafe { sigaction(signal, &action) }.context("failed to catch a signal")?;
            before.push((signal, old));
        }
        Ok(Self { pipe, _report: report, before })
    }

    /// The next signal that has come, if one has.
    pub(crate) fn next(&self) -> Option<Signal> {
        let mut byte = [0];
        let count = read(&self.pipe, &mut byte).unwrap_or(0);
        (count == 1).then(|| Signal::try_from(i32::from(byte[0])).ok())?
    }
}

impl AsFd for Interrupts {
    /// Readable when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for (signal, old) in &self.before {
            // SAFETY: puts back what was there before.
            let _ = unsafe { sigaction(*signal, old) };
        }
        REPORT.store(-1, Ordering::SeqCst);
    }
}

extern "C" fn handle(signal: i32) {
    let byte = signal as u8;
    // SAFETY: write is async-signal-safe and the byte lives across the call. On a full pipe the signal is
    // dropped, others wait in it already; -1 is not a descriptor and the call fails.
    unsafe { libc::write(REPORT.load(Ordering::SeqCst), (&raw const byte).cast(), 1) };
}
