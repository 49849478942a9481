//! `lab respond`: sends each datagram back after a known time, so that a delay can be put where one wants it, and
//! looked for in a report.

use std::{
    io::{self, ErrorKind, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::prctl,
};

use super::{
    interrupts::Interrupts,
    talk::{LARGEST, PORT, Spread},
};

/// What to answer, and when.
#[derive(Debug, Clone, clap::Args)]
pub struct RespondArgs {
    /// UDP port to answer on
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// How long to hold each datagram before it is sent back: 100us, 1ms
    ///
    /// One after the other: a datagram that comes while another is held waits longer.
    #[arg(long, value_name = "D", default_value = "0s", value_parser = humantime::parse_duration)]
    delay: Duration,
}

/// Answers until Ctrl-C; then says how long it has really held them.
pub(crate) fn run(args: &RespondArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    // The kernel adds up to this much to every sleep, by default 50 µs.
    prctl::set_timerslack(1).context("failed to ask for precise sleep")?;
    let interrupts = Interrupts::catch()?;
    let socket = bind(args.port).with_context(|| format!("failed to open UDP port {}", args.port))?;
    writeln!(out, "answering on UDP port {}", args.port)?;
    out.flush()?;
    let mut held = Spread::default();
    let mut buffer = vec![0; LARGEST];
    while interrupts.next().is_none() {
        let mut fds = [socket.as_fd(), interrupts.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("failed to wait"),
        }
        if let Some(time) = answer(&socket, &mut buffer, args.delay)? {
            held.add(time);
        }
    }
    writeln!(out, "held {held}")?;
    Ok(ExitCode::SUCCESS)
}

/// All addresses, of IPv6 too where there is IPv6.
fn bind(port: u16) -> io::Result<UdpSocket> {
    let any =
        [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    let socket = UdpSocket::bind(&any[..])?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends back what has come, if something has. Gives the time for which it was held.
fn answer(socket: &UdpSocket, buffer: &mut [u8], delay: Duration) -> anyhow::Result<Option<Duration>> {
    let (length, asker) = match socket.recv_from(buffer) {
        Ok(received) => received,
        // An ICMP error, to an answer whose asker has gone, is no error of this socket's.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).context("failed to receive"),
    };
    let came = Instant::now();
    if !delay.is_zero() {
        sleep(delay);
    }
    let held = came.elapsed();
    socket.send_to(&buffer[..length], asker).with_context(|| format!("failed to answer {asker}"))?;
    Ok(Some(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_back_and_no_earlier_than_told() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (socket, asker) = (UdpSocket::bind(here).unwrap(), UdpSocket::bind(here).unwrap());
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        let delay = Duration::from_millis(2);
        assert_eq!(answer(&socket, &mut buffer, delay).unwrap(), None);
        asker.send_to(b"a question", socket.local_addr().unwrap()).unwrap();
        let held = answer(&socket, &mut buffer, delay).unwrap().unwrap();
        let (length, from) = asker.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"a question"[..], socket.local_addr().unwrap()));
        assert!(held >= delay, "{held:?}");
    }
}
