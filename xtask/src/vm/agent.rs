//! The other end of a run, inside the VM: this program once more, as process 1. It runs the command, sends what
//! the command writes through the ports, then its exit code, and waits to be switched off.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::wait::{WaitStatus, waitpid},
    unistd::{pipe, read, sethostname, sync},
};

use super::{job::Job, ports};

/// Does the job and never comes back, but for an error.
pub fn run(job: &Path) -> anyhow::Result<()> {
    if std::process::id() != 1 {
        bail!("the agent runs in a VM of `cargo xtask vm run` only");
    }
    let text = fs::read(job).with_context(|| format!("failed to read {}", job.display()))?;
    let job: Job = serde_json::from_slice(&text).context("the job cannot be read")?;
    sethostname(&job.hostname).context("failed to set the host's name")?;
    let (out, errors, mut status) = (open(ports::OUT)?, open(ports::ERRORS)?, open(ports::STATUS)?);
    writeln!(status, "{}", ports::READY).context("failed to say that the VM is ready")?;
    let ended = perform(&job, out, errors)?;
    // What was written to the shared folder is to be on the other side of it.
    sync();
    writeln!(status, "{ended}").context("failed to send the exit code")?;
    loop {
        thread::park();
    }
}

/// Runs the command and sends all that it writes until it has ended.
fn perform(job: &Job, out: File, mut errors: File) -> anyhow::Result<ports::Ended> {
    let (program, words) = job.words.split_first().context("the job has no command")?;
    let mut command = Command::new(program);
    command.args(words).current_dir(&job.folder).env_clear().envs(job.variables.iter().cloned());
    let (from_out, to_out) = pipe().context("failed to make a pipe")?;
    let (from_errors, to_errors) = pipe().context("failed to make a pipe")?;
    command.stdin(Stdio::null()).stdout(to_out).stderr(to_errors);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let message = format!("xtask: failed to run {program} in {}: {error}\n", job.folder);
            errors.write_all(message.as_bytes()).context("failed to send a message")?;
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            return Ok(ports::Ended { code, out: 0, errors: message.len() as u64 });
        }
    };
    // It holds the writing ends of the pipes.
    drop(command);
    let (stop_out, stopped_out) = pipe().context("failed to make a pipe")?;
    let (stop_errors, stopped_errors) = pipe().context("failed to make a pipe")?;
    thread::scope(|scope| {
        let out = scope.spawn(|| relay(&from_out, &stop_out, out));
        let errors = scope.spawn(|| relay(&from_errors, &stop_errors, errors));
        let code = wait_for(child.id())?;
        drop((stopped_out, stopped_errors));
        let sent = |count: thread::Result<anyhow::Result<u64>>| {
            count.unwrap_or_else(|_| bail!("a thread that sends output has panicked"))
        };
        Ok(ports::Ended { code, out: sent(out.join())?, errors: sent(errors.join())? })
    })
}

/// Copies until the end of `from`, or until `stop` is closed and nothing is left: a process that the command
/// has left behind may hold the pipe open. Gives the number of bytes.
fn relay(from: &impl AsFd, stop: &impl AsFd, mut to: File) -> anyhow::Result<u64> {
    let mut buffer = vec![0; 65536];
    let mut sent = 0;
    let mut stopping = false;
    loop {
        if !stopping {
            let mut watched =
                [PollFd::new(from.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::NONE).context("failed to wait for output")?;
            stopping = watched[1].any().unwrap_or(true);
            if stopping {
                fcntl(from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("failed to change a pipe")?;
            }
        }
        match read(from, &mut buffer) {
            Ok(0) | Err(nix::Error::EAGAIN) => return Ok(sent),
            Ok(count) => {
                to.write_all(&buffer[..count]).context("failed to send output")?;
                sent += count as u64;
            }
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("failed to read output"),
        }
    }
}

/// The exit code of one child, as shells give it; reaps all others, as process 1 must.
fn wait_for(child: u32) -> anyhow::Result<u8> {
    loop {
        let ended = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error).context("failed to wait for the command"),
        };
        if ended.0.as_raw().cast_unsigned() == child {
            return u8::try_from(ended.1).context("the command has no exit code");
        }
    }
}

/// A port of the VM by its name.
fn open(name: &str) -> anyhow::Result<File> {
    const PORTS: &str = "/sys/class/virtio-ports";
    let ports = fs::read_dir(PORTS).with_context(|| format!("failed to list {PORTS}"))?;
    let named =
        |port: &PathBuf| fs::read_to_string(port.join("name")).is_ok_and(|found| found.trim() == name);
    let port = ports.flatten().map(|entry| entry.path()).find(named);
    let port = port.with_context(|| format!("there is no port {name}"))?;
    let device = Path::new("/dev").join(port.file_name().unwrap_or_default());
    let file = OpenOptions::new().write(true).open(&device);
    file.with_context(|| format!("failed to open {}", device.display()))
}
