//! A tool that runs while frames are written: started, waited for until it is attached, ended.
//!
//! It has a process group of its own, so that Ctrl-C reaches the bench alone, which then ends it in order; should the
//! bench be killed, the kernel kills it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::{interrupt, shell::command};

const PATIENCE: Duration = Duration::from_secs(30);
/// At its end vmhop reports on all that it recorded.
const PATIENCE_AT_END: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a tool tells that it is attached.
#[derive(Clone, Copy, Debug)]
pub enum Ready {
    /// It prints this.
    Says(&'static str),
    /// It does not: it is given so long.
    After(Duration),
}

/// How a tool is told to end.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Its standard input ends.
    Input,
    /// Ctrl-C.
    Interrupt,
}

/// What became of starting it.
pub enum Started {
    /// It is attached.
    Running(Process),
    /// It ended by itself, after having said this.
    Refused(String),
}

/// A tool that runs; dropping it kills it.
pub struct Process {
    child: Child,
    end: End,
    output: PathBuf,
    errors: PathBuf,
}

impl Process {
    /// Starts the words on one CPU, their output in `files`.out and .err.
    pub fn start(
        words: &[String],
        cpu: usize,
        files: &str,
        ready: Ready,
        end: End,
    ) -> anyhow::Result<Started> {
        let mut command = on_cpu(cpu, words);
        let create = |ending: &str| -> anyhow::Result<(PathBuf, File)> {
            let path = PathBuf::from(format!("{files}.{ending}"));
            let file = File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
            Ok((path, file))
        };
        let ((output, out), (errors, err)) = (create("out")?, create("err")?);
        command.stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0);
        let child = spawn(&mut command)?;
        Self { child, end, output, errors }.attached(ready)
    }

    fn attached(mut self, ready: Ready) -> anyhow::Result<Started> {
        let started = Instant::now();
        loop {
            if self.child.try_wait()?.is_some() {
                return Ok(Started::Refused(self.complaint()));
            }
            let (is_ready, patience) = match ready {
                Ready::Says(word) => (self.said().contains(word), PATIENCE),
                Ready::After(time) => (started.elapsed() >= time, PATIENCE),
            };
            if is_ready {
                return Ok(Started::Running(self));
            }
            if started.elapsed() > patience {
                bail!("it is not attached after {} s: {}", patience.as_secs(), self.complaint());
            }
            look_out()?;
        }
    }

    /// Everything that it has printed so far.
    fn said(&self) -> String {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        read(&self.output) + &read(&self.errors)
    }

    /// The first line that says what is wrong.
    fn complaint(&self) -> String {
        let said = self.said();
        let line = said.lines().find(|line| line.to_lowercase().contains("error"));
        line.or_else(|| said.lines().last()).unwrap_or("it says nothing").trim().to_owned()
    }

    /// Its process ID.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid(), signal).with_context(|| format!("failed to send {signal} to process {}", self.pid()))
    }

    /// Ends it; gives its standard output.
    pub fn stop(mut self) -> anyhow::Result<Vec<u8>> {
        match self.end {
            End::Input => drop(self.child.stdin.take()),
            End::Interrupt => self.signal(Signal::SIGINT)?,
        }
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            if started.elapsed() > PATIENCE_AT_END {
                bail!("it does not end: {}", self.complaint());
            }
            look_out()?;
        }
        fs::read(&self.output).with_context(|| format!("failed to read {}", self.output.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        if running {
            // What it started is in its group.
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _: Result<ExitStatus, _> = self.child.wait();
        }
    }
}

/// The words as a command on one CPU, ahead of what else may want it, and not outliving the bench.
pub fn on_cpu(cpu: usize, words: &[String]) -> Command {
    let cpu = cpu.to_string();
    let before = ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "-20", "taskset", "-c", &cpu];
    command(&[&before.map(str::to_owned)[..], words].concat())
}

/// Starts it, or says which program is missing.
pub fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.spawn().with_context(|| format!("failed to start {}", command.get_program().to_string_lossy()))
}

/// Waits a moment.
///
/// # Errors
/// Ctrl-C has come.
pub fn look_out() -> anyhow::Result<()> {
    if interrupt::noted().is_some() {
        bail!("interrupted");
    }
    sleep(LOOK_EVERY);
    Ok(())
}
