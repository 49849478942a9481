//! A VM that runs, watched to its end: output is passed on while it comes, signals and the clock are looked at.

use std::{
    io::Write,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::read,
};

use crate::interrupt;

use super::{
    files::Files,
    ports,
    process::{Vm, tail},
    qemu::Machine,
};

/// How often it looks at the clock and for signals.
const TICK_MS: u16 = 200;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The command ended with this exit code.
    Command(u8),
    /// It took longer than it may, and had come so far.
    TimedOut(&'static str),
    /// The command has written nothing for longer than it may: how far it had come, the end of the kernel's console.
    Silent(&'static str, String),
    /// This process was told to end by this signal.
    Interrupted(i32),
}

/// A VM and what has come out of it.
pub struct Attempt<'a> {
    vm: Vm,
    files: &'a Files,
    open: [bool; 3],
    /// Bytes of standard output and standard error that have come.
    received: [u64; 2],
    status: Vec<u8>,
    /// When something came last.
    heard: Instant,
}

impl<'a> Attempt<'a> {
    /// Starts it.
    pub fn start(machine: &Machine, files: &'a Files) -> anyhow::Result<Self> {
        let vm = Vm::start(machine, &files.qemu())?;
        Ok(Self { vm, files, open: [true; 3], received: [0; 2], status: Vec::new(), heard: Instant::now() })
    }

    /// Whether the agent has started.
    pub fn is_ready(&self) -> bool {
        self.lines().next() == Some(ports::READY)
    }

    /// Passes on what comes until the agent is ready or there is no hope for it.
    pub fn wait_until_ready(&mut self, by: Instant) -> anyhow::Result<bool> {
        let mut nothing = Vec::new();
        while !self.is_ready() && self.is_open() && Instant::now() < by && interrupt::noted().is_none() {
            // Nothing is written before the agent is ready.
            self.pass_on(&mut nothing, &mut Vec::new())?;
        }
        Ok(self.is_ready())
    }

    /// Passes on what comes until the end, which is at `end` or after so much silence at the latest. That the VM
    /// fails is an error, with the end of its console.
    pub fn watch(
        &mut self,
        out: &mut impl Write,
        errors: &mut impl Write,
        (end, silence): (Instant, Duration),
    ) -> anyhow::Result<Ended> {
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(Ended::Command(ended.code));
            }
            if let Some(signal) = interrupt::noted() {
                return Ok(Ended::Interrupted(signal));
            }
            if Instant::now() > end {
                return Ok(Ended::TimedOut(self.place()));
            }
            if self.heard.elapsed() > silence {
                return Ok(Ended::Silent(self.place(), tail(&self.files.console())));
            }
            if !self.is_open() {
                bail!(self.failure());
            }
            self.pass_on(out, errors)?;
        }
    }

    /// How the command has ended, once all that it wrote has come.
    fn ended(&self) -> anyhow::Result<Option<ports::Ended>> {
        let Some(line) = self.lines().nth(1) else { return Ok(None) };
        let ended: ports::Ended = line.parse()?;
        Ok((self.received == [ended.out, ended.errors]).then_some(ended))
    }

    /// The agent's whole lines.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let whole = self.status.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        str::from_utf8(&self.status[..whole]).unwrap_or_default().lines()
    }

    fn is_open(&self) -> bool {
        self.open.contains(&true)
    }

    /// Waits for a moment for something to come, and passes it on.
    fn pass_on(&mut self, out: &mut impl Write, errors: &mut impl Write) -> anyhow::Result<()> {
        let open: Vec<usize> = (0..3).filter(|&pipe| self.open[pipe]).collect();
        let watch = |&pipe: &usize| PollFd::new(self.vm.pipes[pipe].as_fd(), PollFlags::POLLIN);
        let mut watched: Vec<PollFd<'_>> = open.iter().map(watch).collect();
        match poll(&mut watched, PollTimeout::from(TICK_MS)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("failed to wait for the VM"),
        }
        let ready: Vec<bool> = watched.iter().map(|pipe| pipe.any().unwrap_or(false)).collect();
        let mut buffer = [0; 65536];
        for pipe in open.into_iter().zip(ready).filter_map(|(pipe, ready)| ready.then_some(pipe)) {
            let count = read(&self.vm.pipes[pipe], &mut buffer).context("failed to read from the VM")?;
            let bytes = &buffer[..count];
            self.open[pipe] = count > 0;
            self.heard = Instant::now();
            match pipe {
                0 => write(out, bytes).context("failed to pass on standard output")?,
                1 => write(errors, bytes).context("failed to pass on standard error")?,
                _ => self.status.extend_from_slice(bytes),
            }
            if let Some(received) = self.received.get_mut(pipe) {
                *received += count as u64;
            }
        }
        Ok(())
    }

    /// How far it has come.
    fn place(&self) -> &'static str {
        if self.is_ready() { "while the command ran" } else { "before the command could start" }
    }

    /// What is to be said about a VM that has ended by itself.
    fn failure(&self) -> String {
        let said = |text: String| if text.is_empty() { " nothing".to_owned() } else { text };
        let (console, place) = (self.files.console(), self.place());
        let (qemu, kernel) = (said(tail(&self.files.qemu())), said(tail(&console)));
        let console = console.display();
        format!("the VM has ended {place}; QEMU said:{qemu}\nthe kernel said, in {console}:{kernel}")
    }
}

fn write(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
