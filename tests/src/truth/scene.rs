//! A host with a VM and a peer, on which trials are made.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    responder::Responder,
    threads::{self, ASKER, Cpus},
    toy::{self, HELD_PORT, PORT, Toy},
};
use crate::{lab::TestLab, vmhop::binary};

/// Where trials are made.
pub struct Scene {
    /// Its name in what is printed.
    pub name: &'static str,
    /// The VM, for `vmhop record --vm`.
    pub vm: String,
    pub(crate) pid: i32,
    pub(crate) host: PathBuf,
    pub(crate) peer: PathBuf,
    pub(crate) guest: Ipv4Addr,
    pub(crate) cpus: Cpus,
    /// Before each question, so that everybody sleeps: the guest until its next tick, and the one after.
    pub(crate) pause: Duration,
    machine: Machine,
}

enum Machine {
    Toy(Toy),
    /// With what answers in its guest, at once.
    Lab(TestLab, #[expect(dead_code, reason = "is to live as long as the lab")] Responder),
}

/// Who holds questions in the guest.
pub(crate) enum Holding<'a> {
    Toy(&'a Toy),
    Lab(Responder),
}

impl Scene {
    /// With the toy's guest; this is its program. None where there are not two processors.
    pub fn toy(program: &Path) -> Option<Scene> {
        let cpus = Cpus::find()?;
        let toy = Toy::start(program);
        let (host, peer, pid) = (toy.host.path(), toy.peer.path(), toy.pid());
        let pause = Duration::from_micros(500);
        let scene =
            Scene::new("toy guest", pid.to_string(), pid, [host, peer], cpus, pause, Machine::Toy(toy));
        Some(scene)
    }

    /// With the lab's guest. None where there are not two processors.
    pub fn lab() -> Option<Scene> {
        let cpus = Cpus::find()?;
        let lab = TestLab::up().unwrap();
        let netns = |place: &str| PathBuf::from(format!("/run/netns/vmhop-{}-{place}", lab.name()));
        let (host, peer, vm) = (netns("host"), netns("peer"), lab.vm());
        let pid = lab.status().unwrap()["qemu_pid"].as_i64().unwrap() as i32;
        let answers = Responder::start(&mut respond_in_guest(&lab, PORT, Duration::ZERO));
        let pause = Duration::from_millis(12);
        Some(Scene::new("lab's guest", vm, pid, [host, peer], cpus, pause, Machine::Lab(lab, answers)))
    }

    fn new(
        name: &'static str,
        vm: String,
        pid: i32,
        [host, peer]: [PathBuf; 2],
        cpus: Cpus,
        pause: Duration,
        machine: Machine,
    ) -> Scene {
        threads::place_vmm(pid, cpus);
        Scene { name, vm, pid, host, peer, guest: toy::GUEST, cpus, pause, machine }
    }

    /// Lets the guest hold what is asked at [`HELD_PORT`].
    pub(crate) fn hold(&self, delay: Duration) -> Holding<'_> {
        match &self.machine {
            Machine::Toy(toy) => {
                toy.hold(delay);
                Holding::Toy(toy)
            }
            Machine::Lab(lab, _) => {
                Holding::Lab(Responder::start(&mut respond_in_guest(lab, HELD_PORT, delay)))
            }
        }
    }

    /// Lets the peer answer, after so long.
    pub(crate) fn answer_at_peer(&self, port: u16, delay: Duration) -> Responder {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.peer.display())).arg(binary()).args(respond_words(port, delay));
        let responder = Responder::start(&mut command);
        threads::place(responder.pid(), self.cpus.others, ASKER);
        responder
    }

    /// Lets the guest ask the peer; gives the number of answers.
    pub(crate) fn ask_by_guest(&self, port: u16, count: usize) -> usize {
        match &self.machine {
            Machine::Toy(toy) => toy.ask(port, count, self.pause),
            Machine::Lab(lab, _) => {
                let (port, count) = (port.to_string(), count.to_string());
                let peer = toy::PEER.to_string();
                let words =
                    ["vmhop", "lab", "ask", &peer, "--port", &port, "--count", &count, "--interval", "20ms"];
                let done = lab.exec("guest", &words).unwrap();
                done.text().lines().filter(|line| line.contains("time=")).count()
            }
        }
    }
}

impl Holding<'_> {
    /// Ends it; gives the mean time for which questions were held, ns.
    pub(crate) fn finish(self) -> f64 {
        match self {
            Holding::Toy(toy) => toy.hold(Duration::ZERO),
            Holding::Lab(responder) => responder.finish(),
        }
    }
}

fn respond_words(port: u16, delay: Duration) -> Vec<String> {
    let delay = format!("{}ns", delay.as_nanos());
    ["lab", "respond", "--port", &port.to_string(), "--delay", &delay].map(str::to_owned).to_vec()
}

fn respond_in_guest(lab: &TestLab, port: u16, delay: Duration) -> Command {
    let mut command = lab.command(&["exec", "guest", "--", "vmhop"]).unwrap();
    command.args(respond_words(port, delay));
    command
}
