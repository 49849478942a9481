//! The header of a recording of a synthetic world ([`crate::world`]).

use std::collections::BTreeMap;

use tracer::{
    recording::{DeviceSlot, Header, Host, Mode, PlannedHop},
    topology::Topology,
};
use tracer_common::hop::Hop;

use crate::world;

/// A header for this host, in which `hook` serves each of these hops.
pub fn header(topology: Topology, hook: &str, served: &[Hop]) -> Header {
    let plan = |hop: &Hop| PlannedHop {
        hop: hop.name().to_owned(),
        hooks: if served.contains(hop) { vec![hook.to_owned()] } else { Vec::new() },
        unserved: None,
        choices: Vec::new(),
    };
    let slot =
        |slot| DeviceSlot { slot, role: "tap".to_owned(), vm: "vm0".to_owned(), device: world::device(slot) };
    Header {
        host: Host {
            name: "host".to_owned(),
            kernel: "6.18".to_owned(),
            arch: "x86_64".to_owned(),
            cpus: 2,
            vmhop: "0".to_owned(),
        },
        started_unix_ns: 0,
        started_monotonic_ns: 0,
        topology,
        vms: vec!["vm0".to_owned()],
        devices: (0..3).map(slot).collect(),
        plan: Hop::ALL.iter().map(plan).collect(),
        filter: String::new(),
        command: Vec::new(),
        drop_reasons: BTreeMap::new(),
        exit_reasons: BTreeMap::new(),
        user_hops: Vec::new(),
        sampled: None,
        mode: Mode::default(),
    }
}
