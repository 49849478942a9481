//! The host's side of a guest port: taking a port, asking whether the guest is there, running a command.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _, Write},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::{Flock, FlockArg},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};

use super::{
    interrupts::Interrupts,
    layout::{GUEST_PORTS, Guest},
    tools::progress,
    wire::{self, Decoder, Frame, Kind},
};

/// How long a command in the guest gets to end after the first Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

/// A connection to the agent of one port, which nobody else uses at the same time.
pub(crate) struct Client {
    stream: UnixStream,
    session: u64,
    decoder: Decoder,
    /// Bytes that the port has not taken yet.
    pending: Vec<u8>,
    _lock: Flock<File>,
}

impl Client {
    /// Takes the first free port, or waits for one.
    pub(crate) fn connect(guest: Guest<'_>) -> anyhow::Result<Self> {
        for port in 0..GUEST_PORTS {
            if let Some(client) = Self::try_connect(guest, port)? {
                return Ok(client);
            }
        }
        progress(&format!("all {GUEST_PORTS} ports of the guest are in use, waiting for one"));
        let lock = Flock::lock(lock_file(guest, 0)?, FlockArg::LockExclusive);
        let lock = lock.map_err(|(_, error)| error).context("failed to wait for a guest port")?;
        Self::open(guest, 0, lock)
    }

    /// Takes this port unless it is in use.
    pub(crate) fn try_connect(guest: Guest<'_>, port: usize) -> anyhow::Result<Option<Self>> {
        match Flock::lock(lock_file(guest, port)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Self::open(guest, port, lock).map(Some),
            Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error).with_context(|| format!("failed to lock guest port {port}")),
        }
    }

    fn open(guest: Guest<'_>, port: usize, lock: Flock<File>) -> anyhow::Result<Self> {
        let path = guest.port_socket(port);
        let stream = UnixStream::connect(&path)
            .with_context(|| format!("failed to reach VM {} at {}", guest.vm(), path.display()))?;
        stream.set_nonblocking(true)?;
        let time = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
        let session = time ^ (u64::from(std::process::id()) << 32);
        let decoder = Decoder::for_session(session);
        Ok(Self { stream, session, decoder, pending: wire::PREAMBLE.to_vec(), _lock: lock })
    }

    /// Asks the agent for a sign of life.
    pub(crate) fn say_hello(&mut self) {
        wire::encode(self.session, Kind::Hello, b"", &mut self.pending);
    }

    /// Waits up to `patience` for the answer to [`Self::say_hello`].
    pub(crate) fn hears_ready(&mut self, patience: Duration) -> anyhow::Result<bool> {
        let end = Instant::now() + patience;
        loop {
            self.transfer()?;
            if self.decoder.next().is_some_and(|frame| frame.kind == Kind::Ready) {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            wait(&mut [self.poll_fd()], Some(left))?;
        }
    }

    /// Runs a command in the guest and gives its exit code. What it writes goes to `out` and to standard
    /// error as it comes; with `input`, it reads this process's standard input.
    pub(crate) fn run(mut self, command: &[String], input: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
        let words: Vec<u8> = command.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        if words.len() > wire::MAX_CONTENT {
            bail!("the command line is longer than {} bytes, which a guest port takes", wire::MAX_CONTENT);
        }
        let interrupts = Interrupts::catch()?;
        wire::encode(self.session, Kind::Run, &words, &mut self.pending);
        if !input {
            wire::encode(self.session, Kind::Stdin, b"", &mut self.pending);
        }
        let mut reads_input = input;
        let mut grace = None;
        loop {
            self.transfer()?;
            while let Some(frame) = self.decoder.next() {
                if let Some(code) = deliver(&frame, out)? {
                    return Ok(code);
                }
            }
            if let Some(signal) = interrupts.next() {
                if grace.is_some() {
                    // The second time the user means it. Hanging up lets the agent kill the command.
                    return Ok(exit_code(signal));
                }
                wire::encode(self.session, Kind::Signal, &[signal as u8], &mut self.pending);
                grace = Some((Instant::now() + GRACE, signal));
            } else if let Some((_, signal)) = grace.filter(|(end, _)| *end <= Instant::now()) {
                return Ok(exit_code(signal));
            } else {
                reads_input = self.await_more(&interrupts, reads_input, grace.map(|(end, _)| end))?;
            }
        }
    }

    /// Waits for the guest, a signal, input, or `end`; passes input on and says whether there may be more.
    fn await_more(
        &mut self,
        interrupts: &Interrupts,
        input: bool,
        end: Option<Instant>,
    ) -> anyhow::Result<bool> {
        let stdin = io::stdin();
        let mut fds = vec![self.poll_fd(), PollFd::new(interrupts.as_fd(), PollFlags::POLLIN)];
        // Input piles up on its own side of the pipe, not here.
        if input && self.pending.is_empty() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        wait(&mut fds, end.map(|end| end.saturating_duration_since(Instant::now())))?;
        if fds.get(2).is_some_and(|fd| fd.any() == Some(true)) {
            return self.pass_input(stdin.as_fd());
        }
        Ok(input)
    }

    /// Reads a piece of input and passes it on; says whether there may be more.
    fn pass_input(&mut self, stdin: BorrowedFd<'_>) -> anyhow::Result<bool> {
        let mut buffer = [0; 4096];
        let count = match nix::unistd::read(stdin, &mut buffer) {
            Ok(count) => count,
            Err(nix::Error::EINTR | nix::Error::EAGAIN) => return Ok(true),
            Err(error) => return Err(error).context("failed to read standard input"),
        };
        wire::encode(self.session, Kind::Stdin, &buffer[..count], &mut self.pending);
        Ok(count > 0)
    }

    fn poll_fd(&self) -> PollFd<'_> {
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, !self.pending.is_empty());
        PollFd::new(self.stream.as_fd(), events)
    }

    /// Moves what can be moved without waiting, both ways.
    fn transfer(&mut self) -> anyhow::Result<()> {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("the guest went away"),
            }
        }
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the guest went away"),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("the guest went away"),
        }
        Ok(())
    }
}

/// Writes out what a frame carries; gives the exit code when it is the last one.
fn deliver(frame: &Frame, out: &mut dyn Write) -> io::Result<Option<u8>> {
    let Frame { kind, content, .. } = frame;
    match kind {
        Kind::Stdout => {
            out.write_all(content)?;
            out.flush()?;
        }
        Kind::Stderr => io::stderr().write_all(content)?,
        Kind::Exit => return Ok(Some(content.first().copied().unwrap_or(1))),
        Kind::Hello | Kind::Run | Kind::Stdin | Kind::Signal | Kind::Ready => {}
    }
    Ok(None)
}

/// The code that a shell gives for a command that this signal has ended.
fn exit_code(signal: Signal) -> u8 {
    128 + signal as u8
}

fn wait(fds: &mut [PollFd<'_>], patience: Option<Duration>) -> anyhow::Result<()> {
    let timeout = patience.map_or(PollTimeout::NONE, |patience| {
        // Rounded up, or the last millisecond would be spent in a busy loop.
        PollTimeout::try_from(patience + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    match poll(fds, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error).context("failed to wait for the guest"),
    }
}

fn lock_file(guest: Guest<'_>, port: usize) -> anyhow::Result<File> {
    let path = guest.port_lock(port);
    File::create(&path).with_context(|| format!("failed to open {}", path.display()))
}
