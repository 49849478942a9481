//! Commands that run beside a measurement: their output goes to a file, and they end with what they were for.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a command gets to end before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A process that is ended when dropped, politely.
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let end = Instant::now() + GRACE;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command; what it writes goes to `log`.
pub(super) fn spawn(line: &[String], log: &Path) -> Result<Process> {
    let (program, arguments) = line.split_first().context("there is no command")?;
    let file = File::create(log).with_context(|| format!("failed to create {}", log.display()))?;
    let copy = file.try_clone().context("failed to copy a file descriptor")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(file).stderr(copy);
    command.spawn().map(Process).with_context(|| format!("failed to start {program}"))
}

/// The last line that a command wrote.
pub(super) fn last_line(log: &Path) -> Option<String> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}
