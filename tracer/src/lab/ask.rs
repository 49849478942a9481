//! `lab ask`: sends datagrams to `lab respond` one by one and prints the round trips, as ping does. Each differs from
//! every other, so that no answer can be taken for that of another question.

use std::{
    io::{ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::sys::prctl;

use super::talk::{PORT, Spread, ms};

/// Whom to ask, and how often.
#[derive(Debug, Clone, clap::Args)]
pub struct AskArgs {
    /// Address of whoever runs `vmhop lab respond`
    address: IpAddr,
    /// UDP port that it answers on
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Number of questions
    #[arg(long, value_name = "N", default_value_t = 10)]
    count: u32,
    /// From one question to the next, or to the answer if that takes longer: 20ms, 1s
    #[arg(long, value_name = "D", default_value = "100ms", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How long to wait for an answer
    #[arg(long, value_name = "D", default_value = "1s", value_parser = humantime::parse_duration)]
    patience: Duration,
}

/// Asks; exit code 1 unless every question was answered.
pub(crate) fn run(args: &AskArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    prctl::set_timerslack(1).context("failed to ask for precise sleep")?;
    if args.patience.is_zero() {
        bail!("--patience 0s leaves no time for an answer");
    }
    let socket = connect(SocketAddr::new(args.address, args.port))?;
    let mut trips = Spread::default();
    for number in 1..=args.count {
        let asked = Instant::now();
        match ask(&socket, number, args.patience)? {
            Some(trip) => {
                trips.add(trip);
                writeln!(out, "answer {number} from {}: time={} ms", args.address, ms(trip))?;
            }
            None => writeln!(out, "no answer {number}")?,
        }
        out.flush()?;
        if number < args.count {
            sleep(args.interval.saturating_sub(asked.elapsed()));
        }
    }
    writeln!(out, "asked {}, answered {trips}", args.count)?;
    Ok(if trips.count() == args.count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn connect(to: SocketAddr) -> anyhow::Result<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).context("failed to open a UDP socket")?;
    socket.connect(to).with_context(|| format!("there is no way to {to}"))?;
    Ok(socket)
}

/// One question. Gives the time until its own answer, if that comes.
fn ask(socket: &UdpSocket, number: u32, patience: Duration) -> anyhow::Result<Option<Duration>> {
    let question = format!("vmhop question {number:08}");
    let asked = Instant::now();
    match socket.send(question.as_bytes()) {
        // It tells of the question before: nobody answers there.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
        sent => sent.context("failed to ask")?,
    };
    let mut buffer = [0; 64];
    loop {
        let left = patience.saturating_sub(asked.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left)).context("failed to limit the wait")?;
        match socket.recv(&mut buffer) {
            Ok(length) if buffer[..length] == *question.as_bytes() => return Ok(Some(asked.elapsed())),
            // The answer to a question that was given up.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
            Err(error) => return Err(error).context("failed to receive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    #[test]
    fn a_late_answer_is_not_the_next_questions() {
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = connect(other.local_addr().unwrap()).unwrap();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 64];
            let (length, asker) = other.recv_from(&mut buffer).unwrap();
            let first = buffer[..length].to_vec();
            let (length, _) = other.recv_from(&mut buffer).unwrap();
            assert_ne!(first, buffer[..length]);
            other.send_to(&first, asker).unwrap();
            sleep(Duration::from_millis(5));
            other.send_to(&buffer[..length], asker).unwrap();
        });
        assert_eq!(ask(&socket, 1, PATIENCE).unwrap(), None);
        let trip = ask(&socket, 2, PATIENCE).unwrap().unwrap();
        answering.join().unwrap();
        assert!(trip >= Duration::from_millis(5), "{trip:?}");
    }

    #[test]
    fn where_nobody_answers_it_is_not_waited_for_long() {
        let unused = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let socket = connect(unused).unwrap();
        let started = Instant::now();
        assert_eq!(ask(&socket, 1, Duration::from_secs(60)).unwrap(), None);
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
