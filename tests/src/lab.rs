//! Labs for tests, each with a guard that takes it down however the test ends.

use std::{
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, bail};

use crate::{host::skip, vmhop};

/// Whether tests that need root can run.
pub fn root_or_skip(test: &str) -> bool {
    // SAFETY: takes nothing, cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        skip(&format!("{test} needs root"));
    }
    root
}

/// What a command has done: its exit code and what it wrote.
#[derive(Debug)]
pub struct Done {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, as text.
    pub stderr: String,
}

impl Done {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }
}

/// A lab of its own name; taken down when dropped.
#[derive(Debug)]
pub struct TestLab {
    name: String,
}

impl TestLab {
    /// A name that no other test has, with no lab yet.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("test-{}-{number}", std::process::id()) }
    }

    /// Makes a lab.
    pub fn up() -> anyhow::Result<Self> {
        Self::up_with(&[])
    }

    /// Makes a lab with these options.
    pub fn up_with(options: &[&str]) -> anyhow::Result<Self> {
        let lab = Self::new();
        let done = lab.run(&[&["up"], options].concat())?;
        if done.code != Some(0) {
            bail!("the lab does not come up: {}", done.stderr);
        }
        Ok(lab)
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The VM's name, for `vmhop record --vm`.
    pub fn vm(&self) -> String {
        format!("vmhop-{}", self.name)
    }

    /// `vmhop lab SUBCOMMAND --name NAME …`, not yet started.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let (subcommand, rest) = words.split_first().context("no subcommand")?;
        let mut command = Command::new(vmhop::binary());
        command.args(["lab", subcommand, "--name", &self.name]).args(rest);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs `vmhop lab SUBCOMMAND --name NAME …`.
    pub fn run(&self, words: &[&str]) -> anyhow::Result<Done> {
        Ok(self.command(words)?.output().context("failed to run vmhop")?.into())
    }

    /// Runs a command in `place`.
    pub fn exec(&self, place: &str, words: &[&str]) -> anyhow::Result<Done> {
        self.run(&[&["exec", place, "--"], words].concat())
    }

    /// `vmhop lab status --json` of this lab.
    pub fn status(&self) -> anyhow::Result<serde_json::Value> {
        let done = self.run(&["status", "--json"])?;
        let mut status: serde_json::Value = serde_json::from_slice(&done.stdout)?;
        Ok(status["labs"][0].take())
    }
}

impl Default for TestLab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        // A test that failed has said why; what could go wrong here would only hide it.
        let _ = self.run(&["down"]);
    }
}
