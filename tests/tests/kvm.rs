//! A guest on real KVM behind every kind of network, and every program on this kernel: for the VMs of
//! `cargo xtask test kernels`, which run these tests under each kernel.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]
#![expect(clippy::print_stderr, reason = "the figures are for whoever reads the log")]

use std::{collections::BTreeMap, process::Command};

use tests::{
    host::run,
    lab::TestLab,
    recording::{Recordings, analyse, assert_additive},
    vmhop::Place,
};
use tracer::{correlate::exchange::Exchange, report::Report};
use tracer_common::hop::Hop;

/// Echoes of a recording, and those before it, in which everybody learns where everybody is.
const PINGS: usize = 60;
const FIRST_PINGS: usize = 20;

/// Recordings of which one must be whole.
const ATTEMPTS: usize = 3;

/// Of the exchanges, how many must have passed each hop that the way has, percent.
const WHOLE: usize = 95;

/// Hops of both ways, whatever lies between tap and NIC.
const EVERY_WAY: &[Hop] = &[
    Hop::VmmKick,
    Hop::VmmWake,
    Hop::TapWrite,
    Hop::TapRx,
    Hop::TapRing,
    Hop::VmmRead,
    Hop::VmmReadEnd,
    Hop::VmmIrq,
    Hop::VcpuEnter,
];
const TO_THE_WIRE: &[Hop] = &[Hop::NicRx, Hop::NicStack, Hop::NicQueue, Hop::NicXmit, Hop::NicDone];
const SWITCHED: &[Hop] = &[Hop::BridgeIn, Hop::BridgeOut];
const ROUTED: &[Hop] = &[Hop::IpIn, Hop::IpOut];

/// A lab of these options, in which `place` pings `target`: what its recording must hold.
struct Scene {
    options: &'static [&'static str],
    place: &'static str,
    target: &'static str,
    hops: Vec<Hop>,
    layers: &'static [&'static str],
}

impl Scene {
    fn new(options: &'static [&'static str], between: &[&[Hop]]) -> Scene {
        let hops = [EVERY_WAY, &between.concat()].concat();
        let layers = &["guest", "vmm", "vmnet", "nic"];
        Scene { options, place: "peer", target: "192.0.2.2", hops, layers }
    }

    /// Records the pings and holds the report against what was asked for.
    fn check(&self) {
        let lab = TestLab::up_with(&[&["--accel", "kvm"], self.options].concat()).unwrap();
        self.ping(&lab, FIRST_PINGS, None);
        let recordings = Recordings::new();
        let mut seen = Vec::new();
        // On a busy machine a guest and its host look at their queues by themselves, and then neither tells the other.
        for _ in 0..ATTEMPTS {
            let (report, exchanges) = self.ping(&lab, PINGS, Some(&recordings)).unwrap();
            eprintln!("{:?}: {} exchanges: {}", self.options, exchanges.len(), summary(&report));
            self.adds_up(&report);
            match self.is_whole(&report, &exchanges) {
                Ok(()) => return,
                Err(what) => seen.push(what),
            }
        }
        panic!("{:?}: {}", self.options, seen.join("; "));
    }

    fn ping(
        &self,
        lab: &TestLab,
        count: usize,
        recordings: Option<&Recordings>,
    ) -> Option<(Report, Vec<Exchange>)> {
        let words = ["ping", "-q", "-c", &count.to_string(), "-i", "0.1", self.target];
        let Some(recordings) = recordings else {
            lab.exec(self.place, &words).unwrap();
            return None;
        };
        let (path, done) = recordings.during(lab, "ping.vmhop", self.every_vm(), self.place, &words);
        assert_eq!(done.code, Some(0), "{}\n{}", done.text(), done.stderr);
        Some(analyse(&path))
    }

    /// Between two guests both are traced.
    fn every_vm(&self) -> &'static [&'static str] {
        if self.place == "guest2" { &["--vm", "tap1"] } else { &[] }
    }

    /// Whether nearly all exchanges passed every hop; else what was missing.
    fn is_whole(&self, report: &Report, exchanges: &[Exchange]) -> Result<(), String> {
        let echoes: Vec<_> = exchanges.iter().filter(|each| each.kind.name() == "echo").collect();
        if echoes.len() * 100 < PINGS * WHOLE {
            return Err(format!("{} of {PINGS} echoes", echoes.len()));
        }
        for &hop in &self.hops {
            let passed =
                echoes.iter().filter(|each| each.stamps.iter().any(|stamp| stamp.hop == hop)).count();
            if passed * 100 < echoes.len() * WHOLE {
                return Err(format!(
                    "{} in {passed} of {} exchanges; {:?}",
                    hop.name(),
                    echoes.len(),
                    report.passages
                ));
            }
        }
        Ok(())
    }

    fn adds_up(&self, report: &Report) {
        assert_additive(report);
        let group = report.exchanges.groups.iter().find(|group| group.kind == "echo").unwrap();
        let (mean, residual) = (group.mean_ns.unwrap(), group.residual_mean_ns.unwrap());
        assert!(residual < mean * 0.05, "residual {residual} of {mean}");
        for layer in self.layers {
            let row = group.layers.iter().find(|row| row.layer == *layer);
            assert!(row.is_some_and(|row| row.mean_ns > 0.0), "{layer}: {:?}", group.layers);
        }
        assert_eq!(report.losses.ring_total, 0);
    }
}

/// Means by layer, for whoever reads the log.
fn summary(report: &Report) -> String {
    let rows = report.layers.iter().map(|row| format!("{} {:.0} µs", row.layer, row.mean_ns / 1000.0));
    rows.collect::<Vec<_>>().join(", ")
}

#[test]
#[ignore = "attaches to whatever kernel runs: cargo xtask test kernels"]
fn every_hop_is_served_and_every_program_attaches() {
    // vhost_net brings vhost, macvtap brings tap; a kernel may have them built in.
    for module in ["kvm", "kvm-amd", "kvm-intel", "vhost_net", "tun", "bridge", "macvtap", "openvswitch"] {
        let _ = Command::new("modprobe").arg(module).output();
    }
    let outcome = Place::new().run(&["doctor", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let json = outcome.json();
    let programs =
        json["checks"].as_array().unwrap().iter().find(|check| check["name"] == "programs").unwrap();
    assert_eq!(programs["ok"], true, "{programs}");
    let unserved: BTreeMap<_, _> = json["hops"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|hop| Some((hop["hop"].as_str()?, hop["unserved"].as_str()?)))
        .collect();
    assert_eq!(unserved.keys().collect::<Vec<_>>(), [&"nic.hw"], "{unserved:?}");
    for hop in json["hops"].as_array().unwrap() {
        for choice in hop["choices"].as_array().unwrap() {
            assert!(!choice["hooks"].as_array().unwrap().is_empty(), "{}: {choice}", hop["hop"]);
        }
    }
}

#[test]
#[ignore = "needs KVM and vhost: cargo xtask test kernels"]
fn a_guest_behind_vhost_and_a_bridge() {
    Scene::new(&["--vhost"], &[TO_THE_WIRE, SWITCHED]).check();
}

#[test]
#[ignore = "needs KVM: cargo xtask test networks"]
fn a_guest_whose_vmm_moves_the_frames() {
    Scene::new(&[], &[TO_THE_WIRE, SWITCHED]).check();
}

#[test]
#[ignore = "needs KVM and vhost: cargo xtask test networks"]
fn a_guest_behind_nat() {
    let scene = Scene::new(&["--vhost", "--network", "nat"], &[TO_THE_WIRE, ROUTED]);
    Scene { target: "198.51.100.2", ..scene }.check();
}

#[test]
#[ignore = "needs KVM, vhost and Open vSwitch: cargo xtask test networks"]
fn a_guest_behind_open_vswitch() {
    Scene::new(&["--vhost", "--network", "ovs"], &[TO_THE_WIRE, SWITCHED]).check();
}

#[test]
#[ignore = "needs KVM, vhost and macvtap: cargo xtask test networks"]
fn a_guest_on_a_macvtap() {
    Scene::new(&["--vhost", "--network", "macvtap"], &[TO_THE_WIRE]).check();
}

#[test]
#[ignore = "needs KVM and vhost: cargo xtask test networks"]
fn two_guests_on_one_bridge() {
    let scene = Scene::new(&["--vhost", "--guests", "2"], &[SWITCHED]);
    Scene { place: "guest2", layers: &["guest", "vmm", "vmnet"], ..scene }.check();
}

#[test]
#[ignore = "needs KVM, vhost and a NIC with a cable: cargo xtask test networks"]
fn a_guest_behind_a_nic_with_interrupts() {
    assert!(run("ip -o link").contains("e1000e0"), "no NIC e1000e0");
    let scene = Scene::new(&["--vhost", "--wire", "e1000e0,e1000e1"], &[TO_THE_WIRE, SWITCHED]);
    scene.check();
}
