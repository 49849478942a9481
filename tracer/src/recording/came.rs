//! VMs and devices that came while a recording went on, and how they are added to what its header says.

use serde::{Deserialize, Serialize};

use super::{DeviceSlot, Header};
use crate::topology::Vm;

/// What came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// VMs that are new, or have something new, as they are now.
    pub vms: Vec<Vm>,
    /// Devices with the slots that name them from now on; a slot stands for one device in all of a recording.
    pub devices: Vec<DeviceSlot>,
}

impl Came {
    /// Whether nothing did.
    pub fn is_empty(&self) -> bool {
        self.vms.is_empty() && self.devices.is_empty()
    }
}

impl Header {
    /// Adds what came. Nothing is taken out, since events before this name it; the VMs known keep their places.
    pub fn take(&mut self, came: &Came) {
        for vm in &came.vms {
            let same = |known: &&mut Vm| (known.pid, known.start_time) == (vm.pid, vm.start_time);
            match self.topology.vms.iter_mut().find(same) {
                Some(known) => add(known, vm),
                None => self.topology.vms.push(vm.clone()),
            }
            if !self.vms.contains(&vm.name) {
                self.vms.push(vm.name.clone());
            }
        }
        for entry in &came.devices {
            if self.devices.iter().all(|known| known.slot != entry.slot) {
                self.devices.push(entry.clone());
            }
        }
    }
}

/// Adds threads and taps that a VM did not have before.
fn add(known: &mut Vm, now: &Vm) {
    known.kvm |= now.kvm;
    for thread in &now.threads {
        match known.threads.iter_mut().find(|other| other.tid == thread.tid) {
            Some(other) => other.clone_from(thread),
            None => known.threads.push(thread.clone()),
        }
    }
    for tap in &now.taps {
        let place = (tap.device.netns, tap.device.ifindex);
        match known.taps.iter_mut().find(|other| (other.device.netns, other.device.ifindex) == place) {
            Some(other) => other.clone_from(tap),
            None => known.taps.push(tap.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        recording::{Host, Note},
        topology::{Thread, ThreadRole, Topology, Vmm},
    };

    fn vm(pid: i32, tids: &[i32]) -> Vm {
        let thread = |&tid: &i32| Thread { tid, name: "x".to_owned(), role: ThreadRole::Io };
        let threads = tids.iter().map(thread).collect();
        let name = format!("vm{pid}");
        Vm { name, vmm: Vmm::Qemu, pid, start_time: 1, threads, taps: Vec::new(), kvm: false }
    }

    fn header(vms: Vec<Vm>) -> Header {
        Header {
            host: Host::here(),
            started_unix_ns: 1,
            started_monotonic_ns: 1,
            vms: vms.iter().map(|vm| vm.name.clone()).collect(),
            topology: Topology { vms },
            devices: Vec::new(),
            plan: Vec::new(),
            filter: String::new(),
            command: Vec::new(),
            drop_reasons: BTreeMap::new(),
            exit_reasons: BTreeMap::new(),
            user_hops: Vec::new(),
            sampled: None,
            mode: Default::default(),
        }
    }

    #[test]
    fn what_was_known_stays_where_it_was() {
        let mut header = header(vec![vm(1, &[1, 2]), vm(5, &[5])]);
        header.take(&Came { vms: vec![vm(7, &[7]), vm(1, &[1, 3])], devices: Vec::new() });
        let tids = |vm: &Vm| vm.threads.iter().map(|thread| thread.tid).collect::<Vec<_>>();
        assert_eq!(
            header.topology.vms.iter().map(tids).collect::<Vec<_>>(),
            [vec![1, 2, 3], vec![5], vec![7]]
        );
        assert_eq!(header.vms, ["vm1", "vm5", "vm7"]);
    }

    #[test]
    fn a_reader_that_knows_nothing_of_it_shows_the_sentence() {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Earlier {
            Warning { text: String },
        }
        let came = Some(Box::new(Came { vms: vec![vm(7, &[7])], devices: Vec::new() }));
        let json = serde_json::to_string(&Note::Warning { text: "VM vm7 came".to_owned(), came }).unwrap();
        let Earlier::Warning { text } = serde_json::from_str(&json).unwrap();
        assert_eq!(text, "VM vm7 came");
        let plain = serde_json::to_string(&Note::warning("x")).unwrap();
        assert_eq!(plain, r#"{"warning":{"text":"x"}}"#);
    }
}
