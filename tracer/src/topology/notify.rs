//! News of devices: that some device of this namespace, or of one that it knows by an id, came, changed or went away. What
//! it was is not read: who wants to know looks at all of them.

use std::{os::fd::AsFd as _, time::Duration};

use anyhow::{Context as _, Result};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The group of messages about devices (`RTNLGRP_LINK`, as a bit).
const LINKS: u32 = 1;

/// Listens for news.
pub struct LinkNews {
    socket: Socket,
}

impl LinkNews {
    /// Begins to listen.
    ///
    /// # Errors
    /// The kernel has no rtnetlink, or does not tell this user.
    pub fn listen() -> Result<LinkNews> {
        let open = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, LINKS))?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        let socket = open().context("failed to listen for news of devices")?;
        if let Err(error) = socket.set_listen_all_namespaces(true) {
            log::info!("news of devices come from this network namespace alone: {error}");
        }
        Ok(LinkNews { socket })
    }

    /// Waits for news, at most for so long; says whether there were any.
    pub fn wait(&self, longest: Duration) -> bool {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let longest = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        let any = poll(&mut fds, longest).is_ok_and(|ready| ready > 0);
        if any {
            self.drain();
        }
        any
    }

    /// Takes what waits; that some of it may have been lost for want of room is news as well.
    fn drain(&self) {
        let mut buffer = Vec::with_capacity(32 * 1024);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}
