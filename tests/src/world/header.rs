//! What a recording of a world says of its host.

use std::collections::BTreeMap;

use tracer::recording::{DeviceSlot, Header, Host, PlannedHop};
use tracer_common::hop::Hop;

/// The header of a recording of `vms` VMs, in which these hops are served.
pub fn header(vms: usize, served: &[Hop]) -> Header {
    let plan = |hop: &Hop| PlannedHop {
        hop: hop.name().to_owned(),
        hooks: if served.contains(hop) { vec!["xdp".to_owned()] } else { Vec::new() },
        unserved: None,
        choices: Vec::new(),
    };
    let slot =
        |slot| DeviceSlot { slot, role: "tap".to_owned(), vm: "vm0".to_owned(), device: super::device(slot) };
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
        topology: super::topology(vms),
        vms: vec!["vm0".to_owned()],
        devices: (0..3).map(slot).collect(),
        plan: Hop::ALL.iter().map(plan).collect(),
        filter: String::new(),
        command: Vec::new(),
        drop_reasons: BTreeMap::new(),
        exit_reasons: BTreeMap::new(),
        user_hops: Vec::new(),
    }
}
