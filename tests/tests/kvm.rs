//! A guest on real KVM behind every kind of network, and every program on this kernel: for the VMs of
//! `cargo xtask test kernels`, which run these tests under each kernel.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]
#![expect(clippy::print_stderr, reason = "the figures are for whoever reads the log")]

use std::collections::BTreeMap;

use tests::{
    host::{load_modules, run},
    lab::TestLab,
    recording::{Recordings, analyse, assert_additive},
    vmhop::Place,
};
use tracer::{
    correlate::exchange::Exchange,
    report::{Report, SegmentRow},
};
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
const INTERRUPT: &[Hop] = &[Hop::NicIrq];
const SWITCHED: &[Hop] = &[Hop::BridgeIn, Hop::BridgeOut];
const ROUTED: &[Hop] = &[Hop::IpIn, Hop::IpOut];

/// A lab of these options, in which `place` pings `target`: what its recording must hold.
struct Scene {
    options: &'static [&'static str],
    place: &'static str,
    target: &'static str,
    hops: Vec<Hop>,
    layers: &'static [&'static str],
    /// Profile to record with, and its hops.
    profile: Option<(&'static str, [&'static str; 2])>,
}

impl Scene {
    fn new(options: &'static [&'static str], between: &[&[Hop]]) -> Scene {
        let hops = [EVERY_WAY, &between.concat()].concat();
        let layers = &["guest", "vmm", "vmnet", "nic"];
        Scene { options, place: "peer", target: "192.0.2.2", hops, layers, profile: None }
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
            match self.is_whole(&report, &exchanges).and_then(|()| self.has_profile(&report)) {
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
        let (path, done) = recordings.during(lab, "ping.vmhop", &self.wishes(), self.place, &words);
        assert_eq!(done.code, Some(0), "{}\n{}", done.text(), done.stderr);
        Some(analyse(&path))
    }

    /// Between two guests both are traced.
    fn wishes(&self) -> Vec<&'static str> {
        let mut wishes = if self.place == "guest2" { vec!["--vm", "tap1"] } else { Vec::new() };
        wishes.extend(self.profile.iter().flat_map(|(profile, _)| ["--profile", profile]));
        wishes
    }

    /// The profile's hops are hops like any other: in the table, joined to frames, at the ends of segments.
    fn has_profile(&self, report: &Report) -> Result<(), String> {
        let Some((_, hops)) = &self.profile else { return Ok(()) };
        for name in hops {
            let row = report.hops.iter().find(|row| row.hop == *name).unwrap();
            assert!(row.hook.starts_with("kprobe:") && row.ambiguous == 0, "{row:?}");
            if row.matched * 100 < (PINGS * WHOLE) as u64 {
                return Err(format!("{row:?}"));
            }
            let count = |end: &dyn Fn(&SegmentRow) -> bool| {
                let here = report.segments.iter().filter(|row| row.layer == "vmnet" && end(row));
                here.map(|row| row.count).sum::<u64>()
            };
            // A frame whose flow Open vSwitch does not know goes up to its process, and comes back as another.
            let (to, from) = (count(&|row| row.to == *name), count(&|row| row.from == *name));
            assert!(to == row.matched && from <= to, "{name}: {:?}", report.segments);
            assert!(from * 100 >= (PINGS * WHOLE) as u64, "{name}: {:?}", report.segments);
            assert!(report.cost.programs.iter().any(|cost| cost.program.contains(name)));
        }
        Ok(())
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
    load_modules(&["kvm", "kvm-amd", "kvm-intel", "vhost_net", "tun", "bridge", "macvtap", "openvswitch"]);
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
#[ignore = "attaches to whatever kernel runs: cargo xtask test kernels"]
fn every_hook_fires_that_the_self_test_can_exercise() {
    load_modules(&["tun", "bridge", "veth", "macvtap"]);
    let outcome = Place::new().run(&["doctor", "--self-test", "--json", "--profile", "macvtap"]);
    let json = outcome.json();
    let rows = json["self_test"].as_array().unwrap();
    let fired = |hop: &str| rows.iter().any(|row| row["hop"] == hop && row["fired"].as_u64() > Some(0));
    for hop in
        ["tap.write", "bridge.in", "ip.in", "ip.out", "bridge.out", "tap.ring", "macvlan.out", "macvlan.in"]
    {
        assert!(fired(hop), "{hop}: {rows:?}");
    }
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
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
    let scene = Scene::new(&["--vhost", "--network", "ovs"], &[TO_THE_WIRE, SWITCHED]);
    // Both ways pass both.
    Scene { profile: Some(("ovs", ["ovs.lookup", "ovs.actions"])), ..scene }.check();
}

#[test]
#[ignore = "needs KVM, vhost and macvtap: cargo xtask test networks"]
fn a_guest_on_a_macvtap() {
    let scene = Scene::new(&["--vhost", "--network", "macvtap"], &[TO_THE_WIRE]);
    Scene { profile: Some(("macvtap", ["macvlan.out", "macvlan.in"])), ..scene }.check();
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
    let scene = Scene::new(&["--vhost", "--wire", "e1000e0,e1000e1"], &[INTERRUPT, TO_THE_WIRE, SWITCHED]);
    scene.check();
}

#[test]
#[ignore = "needs KVM, vhost and a NIC with a cable: cargo xtask test networks"]
fn a_guest_behind_a_nic_with_queues() {
    assert!(run("ip -o link").contains("igb0"), "no NIC igb0");
    let scene = Scene::new(&["--vhost", "--wire", "igb0,igb1"], &[INTERRUPT, TO_THE_WIRE, SWITCHED]);
    scene.check();
}
