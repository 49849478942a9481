//! The command that runs while a recording goes on.

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io,
    os::fd::AsFd as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::config::CommandOutput;

/// How long a command that is told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The command, while it runs; none where none was given.
pub(super) struct Running {
    child: Option<Child>,
    name: String,
}

/// How a command ended.
pub(super) struct Ended {
    name: String,
    status: io::Result<ExitStatus>,
}

impl Ended {
    /// Whether the command itself says that it failed.
    pub(super) fn failed(&self) -> bool {
        !self.status.as_ref().is_ok_and(ExitStatus::success)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            Ok(status) if status.success() => write!(formatter, "the command ended"),
            Ok(status) => write!(formatter, "the command {} failed ({status})", self.name),
            Err(error) => write!(formatter, "the command {} could not be waited for ({error})", self.name),
        }
    }
}

impl Running {
    /// Starts the command.
    pub(super) fn start(words: &[OsString], output: &CommandOutput) -> Result<Running> {
        let Some((program, arguments)) = words.split_first() else {
            return Ok(Running { child: None, name: String::new() });
        };
        let name = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        match output {
            CommandOutput::Inherited => {}
            CommandOutput::Apart => {
                let stderr =
                    io::stderr().as_fd().try_clone_to_owned().context("failed to copy standard error")?;
                command.stdout(stderr);
            }
            CommandOutput::File(path) => {
                let file =
                    File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
                let copy = file.try_clone().context("failed to copy a file descriptor")?;
                command.stdin(Stdio::null()).stdout(file).stderr(copy);
            }
        }
        let child = command.spawn().with_context(|| format!("failed to start the command {name}"))?;
        Ok(Running { child: Some(child), name })
    }

    /// Waits for its end; for ever where there is none.
    pub(super) async fn wait(&mut self) -> Ended {
        match &mut self.child {
            Some(child) => {
                let status = child.wait().await;
                self.child = None;
                Ended { name: self.name.clone(), status }
            }
            None => std::future::pending().await,
        }
    }

    /// Tells it to end, and waits until it has.
    pub(super) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = child.id() {
            // It may be gone already, which is what is wanted.
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
        }
        if timeout(GRACE, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}
