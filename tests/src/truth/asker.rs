//! The asker: a socket of the peer's, in this process, so that what a trial does is done around its questions.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use super::{now_ns, scene::Scene};
use crate::host::inside;

/// How long an answer may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Asker {
    socket: UdpSocket,
    guest: Ipv4Addr,
    number: u32,
}

impl Asker {
    pub(crate) fn new(scene: &Scene) -> Asker {
        let socket = inside(&scene.peer, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Asker { socket, guest: scene.guest, number: 0 }
    }

    /// Asks, and waits for the answer. Each question differs from every other.
    pub(crate) fn ask(&mut self, port: u16) {
        self.ask_and(port, |_| ());
    }

    /// Asks; does something when the frame is on its way, and is told since when; waits for the answer.
    pub(crate) fn ask_and<T>(&mut self, port: u16, meanwhile: impl FnOnce(u64) -> T) -> T {
        self.number += 1;
        let question = format!("question {:08}", self.number);
        self.socket.send_to(question.as_bytes(), (self.guest, port)).unwrap();
        let done = meanwhile(now_ns());
        let mut buffer = [0; 64];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            if buffer[..length] == *question.as_bytes() {
                return done;
            }
        }
    }
}
