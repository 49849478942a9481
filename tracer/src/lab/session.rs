//! One command that the guest's agent runs for one client: its process, pipes and end.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind, Read, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::wire::{self, Kind};

/// A running command. Dropping it kills the command and all of its process group, unless it has ended.
pub(crate) struct Session {
    id: u64,
    child: Child,
    /// Readable when the child has ended; polled, so that nothing has to look at it from time to time.
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// Input that the command has not taken yet.
    pending: Vec<u8>,
    input_ended: bool,
    status: Option<ExitStatus>,
    finished: bool,
}

impl Session {
    /// Starts the command of a [`Kind::Run`] frame; if that fails, `out` gets the whole answer.
    pub(crate) fn start(id: u64, command_line: &[u8], out: &mut Vec<u8>) -> Option<Self> {
        let mut words = command_line.split(|&byte| byte == 0).map(OsStr::from_bytes);
        let program = words.next().unwrap_or_default();
        let mut arguments: Vec<&OsStr> = words.collect();
        // Each word is ended by a zero byte, so there is an empty piece after the last one.
        arguments.pop();
        match Self::spawn(id, program, &arguments) {
            Ok(session) => Some(session),
            Err(error) => {
                let text = format!("{}: {error}\n", program.to_string_lossy());
                wire::encode(id, Kind::Stderr, text.as_bytes(), out);
                // The codes that a shell gives for the same.
                let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
                wire::encode(id, Kind::Exit, &[code], out);
                None
            }
        }
    }

    fn spawn(id: u64, program: &OsStr, arguments: &[&OsStr]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pipes = [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            set_flags(pipe, OFlag::O_NONBLOCK)?;
        }
        let pidfd = pidfd(&child)?;
        Ok(Self {
            id,
            child,
            pidfd,
            stdin,
            stdout,
            stderr,
            pending: Vec::new(),
            input_ended: false,
            status: None,
            finished: false,
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the last frame has been handed out.
    pub(crate) fn finished(&self) -> bool {
        self.finished
    }

    /// Whether the command has ended, so that only what is left in its pipes remains to be sent.
    pub(crate) fn ended(&self) -> bool {
        self.status.is_some()
    }

    /// Whether more input can be accepted without piling up.
    pub(crate) fn takes_input(&self) -> bool {
        self.pending.is_empty()
    }

    /// What to wait for; output only while there is room for it.
    pub(crate) fn poll_fds(&self, room: bool) -> Vec<PollFd<'_>> {
        let mut fds = Vec::new();
        if self.status.is_none() {
            fds.push(PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN));
        }
        if room {
            let outputs = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
            fds.extend(outputs.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        if let Some(stdin) = self.stdin.as_ref().filter(|_| !self.pending.is_empty()) {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLOUT));
        }
        fds
    }

    /// Takes input for the command; an empty piece is its end.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.input_ended |= bytes.is_empty();
        self.pending.extend(bytes);
        self.feed()
    }

    fn feed(&mut self) -> io::Result<()> {
        while let Some(stdin) = self.stdin.as_mut().filter(|_| !self.pending.is_empty()) {
            match stdin.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The command has closed its input; what is left for it goes nowhere, as in a pipeline.
                Err(_) => {
                    self.pending.clear();
                    self.stdin = None;
                }
            }
        }
        if self.stdin.is_none() {
            self.pending.clear();
        } else if self.input_ended {
            self.stdin = None;
        }
        Ok(())
    }

    /// Sends the command and its children a signal by number.
    pub(crate) fn signal(&self, number: Option<u8>) {
        if let Some(signal) = number.and_then(|number| Signal::try_from(i32::from(number)).ok()) {
            // It may have ended by itself just now.
            let _ = killpg(Pid::from_raw(self.child.id() as i32), signal);
        }
    }

    /// Appends what the command has written since, and at its end how it ended.
    pub(crate) fn collect(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.feed()?;
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        let before = out.len();
        read_some(&mut self.stdout, self.id, Kind::Stdout, out)?;
        read_some(&mut self.stderr, self.id, Kind::Stderr, out)?;
        // The end comes after all output. Output of children that live on is not waited for.
        if let Some(status) = self.status.filter(|_| out.len() == before) {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            wire::encode(self.id, Kind::Exit, &[code as u8], out);
            self.finished = true;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.signal(Some(libc::SIGKILL as u8));
            // Killed by SIGKILL it ends at once; not waiting would leave a zombie.
            let _ = self.child.wait();
        }
    }
}

/// Reads a pipe once, as a frame; an ended pipe is closed, so that it is not polled any more.
fn read_some<R: Read>(pipe: &mut Option<R>, id: u64, kind: Kind, out: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; wire::MAX_CONTENT];
    let Some(reader) = pipe else { return Ok(()) };
    match reader.read(&mut buffer) {
        Ok(0) => *pipe = None,
        Ok(count) => wire::encode(id, kind, &buffer[..count], out),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A descriptor for the child's process.
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: the system call takes two integers and returns a descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, child.id() as libc::pid_t, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd as i32)) }
    }
}

/// Adds file status flags to a descriptor.
pub(crate) fn set_flags(fd: BorrowedFd<'_>, flags: OFlag) -> io::Result<()> {
    let old = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(old | flags))?;
    Ok(())
}
