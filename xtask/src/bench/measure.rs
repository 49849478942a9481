//! One measurement: a process of the program `bench-correlate`, which prints a line of JSON.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::shell::{self, command, shown, target, workspace};

/// What a process measured.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// On the clock, ns.
    pub wall_ns: u64,
    /// CPU time, ns.
    pub cpu_ns: u64,
    /// Memory in use before, the generator's, KiB.
    pub base_kib: u64,
    /// The most that was in use, KiB.
    pub peak_kib: u64,
    /// Passages.
    pub passages: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Passages given up for want of room.
    pub evicted: u64,
    /// Events that came too late to be put in order.
    pub late: u64,
}

/// What a process is to run.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The generator of events alone.
    Generate,
    /// Events to passages.
    Correlate,
    /// Events to the whole report.
    Analyse,
    /// A recording to events.
    Read,
}

/// The program, built, and how to run it.
pub struct Program {
    path: PathBuf,
    cpu: usize,
    frames: Option<usize>,
}

impl Program {
    /// Builds it.
    pub fn build(cpu: usize, frames: Option<usize>) -> anyhow::Result<Program> {
        let words = ["cargo", "build", "--release", "--package", "tests", "--bin", "bench-correlate"];
        shell::run(command(&words).current_dir(workspace()))?;
        Ok(Program { path: target().join("release/bench-correlate"), cpu, frames })
    }

    /// Measures once.
    pub fn sample(&self, what: What, events: u64) -> anyhow::Result<Sample> {
        let mut command = Command::new(&self.path);
        command.arg(what.name()).args(["--events", &events.to_string(), "--cpu", &self.cpu.to_string()]);
        if let Some(frames) = self.frames {
            command.args(["--frames", &frames.to_string()]);
        }
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("failed to run `{}`", shown(&command)))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", shown(&command), output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`{}` did not print what it measured", shown(&command)))
    }
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Generate => "generate",
            What::Correlate => "correlate",
            What::Analyse => "analyse",
            What::Read => "read",
        }
    }
}
