//! A VMM with a guest of a few lines, for what the noise of an emulated guest would drown: `toy-vmm TAP`, in the network
//! namespace that has the tap.
//!
//! It is built like any VMM. The main thread moves frames between the tap and the guest; the thread `vcpu0` runs the
//! guest, is woken for what arrives, and writes to an eventfd for what it sends. The guest answers UDP at [`PORT`], and at
//! [`HELD_PORT`] after having held the question. Standard input tells it what to do, a line each:
//!
//! | line | answer, when it is done |
//! | --- | --- |
//! | `hold NS`: hold from now on for so long | `held NS`, the mean so far, from before |
//! | `ask PORT COUNT INTERVAL_NS`: ask the peer | `answered COUNT` |
#![expect(clippy::unwrap_used, reason = "what goes wrong here ends it, and with it the test")]
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::{
    env,
    fs::File,
    io::{self, BufRead as _, Read as _, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{eventfd::EventFd, prctl},
};
use tests::{
    host::open_tun,
    truth::toy::{GUEST, GUEST_MAC, HELD_PORT, PEER, PEER_MAC, PORT},
};

/// The guest's port when it asks.
const OWN_PORT: u16 = 4000;
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the vCPU's thread is woken for.
enum Work {
    /// A frame has arrived.
    Frame(Vec<u8>),
    Hold(Duration),
    Ask {
        port: u16,
        count: u32,
        interval: Duration,
    },
}

fn main() {
    let name = env::args().nth(1).unwrap();
    let tap = File::from(open_tun(&name, libc::IFF_TAP));
    prctl::set_timerslack(1).unwrap();
    let bell = Arc::new(EventFd::new().unwrap());
    let (to_guest, work) = channel();
    let (transmit, transmitted) = channel();
    let (report, reports) = channel();
    let guest = Guest { bell: bell.clone(), transmit, work, report, hold: Duration::ZERO, held: Vec::new() };
    thread::Builder::new().name("vcpu0".to_owned()).spawn(move || guest.run()).unwrap();
    let orders = to_guest.clone();
    thread::Builder::new().name("monitor".to_owned()).spawn(move || obey(&orders, &reports)).unwrap();
    move_frames(&tap, &bell, &to_guest, &transmitted);
}

/// The main thread, as long as the process lives.
fn move_frames(mut tap: &File, bell: &EventFd, to_guest: &Sender<Work>, transmitted: &Receiver<Vec<u8>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let mut fds = [tap.as_fd(), bell.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let [arrived, rung] = fds.map(|fd| fd.any().unwrap());
        if arrived {
            let length = tap.read(&mut buffer).unwrap();
            to_guest.send(Work::Frame(buffer[..length].to_vec())).unwrap();
        }
        if rung {
            bell.read().unwrap();
            for frame in transmitted.try_iter() {
                // A device that is down takes nothing: neither would one of hardware.
                let _ = tap.write(&frame);
            }
        }
    }
}

/// Reads orders, and says when they are done; the test's end is the end of the input.
fn obey(orders: &Sender<Work>, reports: &Receiver<String>) {
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let time = |word: &str| Duration::from_nanos(word.parse().unwrap());
        let order = match words[..] {
            ["hold", hold] => Work::Hold(time(hold)),
            ["ask", port, count, interval] => Work::Ask {
                port: port.parse().unwrap(),
                count: count.parse().unwrap(),
                interval: time(interval),
            },
            _ => panic!("no such order: {line}"),
        };
        orders.send(order).unwrap();
        println!("{}", reports.recv().unwrap());
    }
    std::process::exit(0);
}

/// The guest, and the thread that runs it. It makes no system call `write` but to its VMM's doorbell.
struct Guest {
    bell: Arc<EventFd>,
    transmit: Sender<Vec<u8>>,
    work: Receiver<Work>,
    report: Sender<String>,
    hold: Duration,
    held: Vec<Duration>,
}

impl Guest {
    fn run(mut self) {
        while let Ok(work) = self.work.recv() {
            match work {
                Work::Frame(frame) => self.answer(&frame),
                Work::Hold(hold) => {
                    let sum: Duration = self.held.iter().sum();
                    let mean = sum.checked_div(self.held.len() as u32).unwrap_or_default();
                    self.report.send(format!("held {}", mean.as_nanos())).unwrap();
                    (self.hold, self.held) = (hold, Vec::new());
                }
                Work::Ask { port, count, interval } => self.ask(port, count, interval),
            }
        }
    }

    fn answer(&mut self, frame: &[u8]) {
        let came = Instant::now();
        let Some(datagram) = Datagram::read(frame) else { return };
        match datagram.to {
            PORT => {}
            HELD_PORT => {
                sleep(self.hold);
                self.held.push(came.elapsed());
            }
            _ => return,
        }
        self.send(&datagram.answer());
    }

    fn ask(&mut self, port: u16, count: u32, interval: Duration) {
        let mut answered = 0;
        for number in 0..count {
            let payload = format!("question {number:08}").into_bytes();
            let question = Datagram { from: OWN_PORT, to: port, payload };
            self.send(&question);
            let end = Instant::now() + PATIENCE;
            while let Ok(work) = self.work.recv_timeout(end.saturating_duration_since(Instant::now())) {
                let Work::Frame(frame) = work else { panic!("is asking") };
                if Datagram::read(&frame).is_some_and(|answer| answer == question.answer()) {
                    answered += 1;
                    break;
                }
            }
            sleep(interval);
        }
        self.report.send(format!("answered {answered}")).unwrap();
    }

    fn send(&self, datagram: &Datagram) {
        self.transmit.send(datagram.frame()).unwrap();
        self.bell.write(1).unwrap();
    }
}

/// UDP in IPv4 between guest and peer.
#[derive(PartialEq, Eq)]
struct Datagram {
    from: u16,
    to: u16,
    payload: Vec<u8>,
}

impl Datagram {
    /// What is in a frame to the guest.
    fn read(frame: &[u8]) -> Option<Datagram> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
        else {
            return None;
        };
        let (from, to, payload) = (udp.source_port(), udp.destination_port(), udp.payload().to_vec());
        (ip.header().destination_addr() == GUEST).then_some(Datagram { from, to, payload })
    }

    fn answer(&self) -> Datagram {
        Datagram { from: self.to, to: self.from, payload: self.payload.clone() }
    }

    /// The frame with which the guest sends it.
    fn frame(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(GUEST_MAC, PEER_MAC)
            .ipv4(GUEST.octets(), PEER.octets(), 64)
            .udp(self.from, self.to);
        let mut frame = Vec::new();
        builder.write(&mut frame, &self.payload).unwrap();
        frame
    }
}
