//! The toy's side: its addresses, its network, its process.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::Ipv4Addr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use crate::host::{Netns, eventually};

/// The guest's.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The guest's.
pub const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The peer's.
pub const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
/// The peer's.
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
/// Where questions are answered at once.
pub const PORT: u16 = 7;
/// Where they are held before.
pub const HELD_PORT: u16 = 8;

/// A toy VMM on a tap of br0, with nic0 and a peer at the end of its wire.
pub struct Toy {
    pub(crate) host: Netns,
    /// The peer's namespace, with eth0.
    pub peer: Netns,
    tap: String,
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Toy {
    /// Starts the program on tap0.
    pub(crate) fn start(program: &Path) -> Toy {
        Toy::on(program, "tap0")
    }

    /// Starts the program on a tap of this name.
    pub fn on(program: &Path, tap: &str) -> Toy {
        let (host, peer) = (Netns::new("host"), Netns::new("peer"));
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", host.path().display())).arg(program).arg(tap);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let talk = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let toy = Toy { host, peer, tap: tap.to_owned(), child, talk: Mutex::new(talk) };
        eventually("the toy's tap", || toy.host.ip("-o link").contains(tap).then_some(()));
        toy.connect();
        toy
    }

    /// Nobody asks for addresses, and nobody speaks by itself: what is recorded are questions and answers.
    fn connect(&self) {
        let (host, peer) = (&self.host, &self.peer);
        host.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        host.ip(&format!(
            "link add nic0 type veth peer name eth0 address {} netns {}",
            shown(PEER_MAC),
            peer.name
        ));
        let tap = self.tap.as_str();
        for device in ["br0", tap, "nic0"] {
            host.ip(&format!("link set {device} addrgenmode none"));
        }
        for device in [tap, "nic0"] {
            host.ip(&format!("link set {device} master br0"));
        }
        for device in ["br0", tap, "nic0"] {
            host.ip(&format!("link set {device} up"));
        }
        peer.ip("link set eth0 addrgenmode none up");
        peer.ip(&format!("addr add {PEER}/24 dev eth0"));
        peer.ip(&format!("neigh replace {GUEST} lladdr {} dev eth0 nud permanent", shown(GUEST_MAC)));
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Lets the guest hold questions for so long; gives the mean time for which it held those before, ns.
    pub(crate) fn hold(&self, hold: Duration) -> f64 {
        self.order(&format!("hold {}", hold.as_nanos()), "held ") as f64
    }

    /// Lets the guest ask the peer; gives the number of answers.
    pub(crate) fn ask(&self, port: u16, count: usize, interval: Duration) -> usize {
        self.order(&format!("ask {port} {count} {}", interval.as_nanos()), "answered ") as usize
    }

    fn order(&self, line: &str, answer: &str) -> u64 {
        let (orders, answers) = &mut *self.talk.lock().unwrap();
        writeln!(orders, "{line}").unwrap();
        let mut said = String::new();
        answers.read_line(&mut said).unwrap();
        let number = said.trim_end().strip_prefix(answer);
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}: {said}"))
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
