//! The guest's side of `lab exec`: one process for each virtio-serial port, which runs one command at a time
//! and sends what it writes as frames of [`super::wire`].
//!
//! It must not disturb what is measured in the guest: while nobody is connected it sleeps in one system call,
//! without a timer. A port without a client polls as "hung up" all the time, so the end of that state is
//! learned from SIGIO, which the kernel's virtio_console sends when it changes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::OpenOptionsExt as _,
    },
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use super::{
    layout,
    session::{Session, set_flags},
    wire::{self, Decoder, Frame, Kind},
};

/// Serves the port with this number until the guest is switched off.
pub(crate) fn run(port: usize) -> anyhow::Result<()> {
    let mut agent = Agent::open(port)?;
    loop {
        agent.step().with_context(|| format!("failed to serve port {port}"))?;
    }
}

struct Agent {
    port: File,
    signals: SignalFd,
    decoder: Decoder,
    session: Option<Session>,
    /// Frames on their way to the client; while there are some, the command's output waits in its pipes.
    out: Vec<u8>,
}

impl Agent {
    fn open(port: usize) -> anyhow::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGIO);
        mask.thread_block().context("failed to block SIGIO")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("failed to make a signal descriptor")?;
        let path = device(&layout::port_name(port))?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let port = file.with_context(|| format!("failed to open {}", path.display()))?;
        own_sigio(&port).context("failed to ask for SIGIO")?;
        Ok(Self { port, signals, decoder: Decoder::default(), session: None, out: Vec::new() })
    }

    /// Waits for something to happen and handles it.
    fn step(&mut self) -> anyhow::Result<()> {
        // First forget the changes up to now, then look at the port: a later change wakes the wait below.
        while let Ok(Some(_)) = self.signals.read_signal() {}
        let connected = self.connected()?;
        if !connected && self.session.take().is_some() {
            // Dropping the session has ended its command; nobody wants the rest of its output.
            self.out.clear();
        }
        self.read_port()?;
        if let Some(session) = &mut self.session
            && self.out.is_empty()
        {
            session.collect(&mut self.out)?;
            if session.finished() {
                self.session = None;
            }
        }
        self.write_port()?;
        self.wait(connected)
    }

    fn connected(&self) -> anyhow::Result<bool> {
        let mut fds = [PollFd::new(self.port.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO)?;
        Ok(!fds[0].revents().unwrap_or(PollFlags::empty()).contains(PollFlags::POLLHUP))
    }

    fn wait(&self, connected: bool) -> anyhow::Result<()> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if connected {
            let mut events = PollFlags::empty();
            // Not reading the port holds the client back while the command does not take its input.
            events.set(PollFlags::POLLIN, self.session.as_ref().is_none_or(Session::takes_input));
            events.set(PollFlags::POLLOUT, !self.out.is_empty());
            fds.push(PollFd::new(self.port.as_fd(), events));
        }
        if let Some(session) = &self.session {
            fds.extend(session.poll_fds(self.out.is_empty()));
        }
        // A child of the command may hold the pipes open for ever, so nothing would say that they are drained.
        let drains = self.out.is_empty() && self.session.as_ref().is_some_and(Session::ended);
        let timeout = if drains { PollTimeout::ZERO } else { PollTimeout::NONE };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error).context("failed to wait"),
        }
    }

    fn read_port(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        while self.session.as_ref().is_none_or(Session::takes_input) {
            match self.port.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("failed to read"),
            }
            while let Some(frame) = self.decoder.next() {
                self.handle(frame)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, frame: Frame) -> anyhow::Result<()> {
        let Frame { session: id, kind, content } = frame;
        match kind {
            Kind::Hello | Kind::Run => {
                // A new client; what the last one left behind ends here, in the middle of a frame or not.
                self.session = None;
                self.out.clear();
                if kind == Kind::Hello {
                    wire::encode(id, Kind::Ready, b"", &mut self.out);
                } else {
                    self.session = Session::start(id, &content, &mut self.out);
                }
            }
            Kind::Stdin | Kind::Signal => {
                if let Some(session) = self.session.as_mut().filter(|session| session.id() == id) {
                    match kind {
                        Kind::Stdin => session.input(&content)?,
                        _ => session.signal(content.first().copied()),
                    }
                }
            }
            Kind::Ready | Kind::Stdout | Kind::Stderr | Kind::Exit => {}
        }
        Ok(())
    }

    fn write_port(&mut self) -> anyhow::Result<()> {
        while !self.out.is_empty() {
            match self.port.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("failed to write"),
            }
        }
        Ok(())
    }
}

/// The device of the port with this name. The host announces ports one by one after the driver has started,
/// so it may take a moment to appear.
fn device(name: &str) -> anyhow::Result<PathBuf> {
    const PORTS: &str = "/sys/class/virtio-ports";
    for _ in 0..500 {
        for entry in fs::read_dir(PORTS).with_context(|| format!("failed to list {PORTS}"))?.flatten() {
            let found = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if found.trim_end() == name {
                return Ok(PathBuf::from("/dev").join(entry.file_name()));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("this machine has no virtio-serial port {name}: the agent runs in a guest of the lab only")
}

/// Asks for SIGIO for this process when the state of `port` changes.
fn own_sigio(port: &File) -> io::Result<()> {
    // SAFETY: F_SETOWN takes an integer and touches no memory of this process.
    let owned = unsafe { libc::fcntl(port.as_raw_fd(), libc::F_SETOWN, libc::getpid()) };
    if owned < 0 {
        return Err(io::Error::last_os_error());
    }
    set_flags(port.as_fd(), OFlag::O_ASYNC)
}
