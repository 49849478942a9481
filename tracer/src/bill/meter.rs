//! The bill of the traced VMs so far, read once a second.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    account::VcpuTimes,
    threads::{self, CpuTimes},
};
use crate::{
    probe::ExitMeter,
    recording::{Bill, ExitReason, ExitUse, ThreadUse, VmUse},
    topology::{self, Thread, ThreadRole, Vm},
};

/// Keeps the bill while it lives.
pub struct BillMeter {
    exits: Option<ExitMeter>,
    vms: Vec<VmMeter>,
    started: Instant,
    host_at_start_ns: Option<u64>,
}

/// The threads of one VM.
struct VmMeter {
    vm: Vm,
    threads: BTreeMap<i32, Known>,
}

/// A thread that was seen, with its times then and the last known.
struct Known {
    thread: Thread,
    first: CpuTimes,
    last: CpuTimes,
}

impl BillMeter {
    /// Starts the bill; `exits` are the accounts of vCPUs on KVM, where they can be kept.
    pub fn start(vms: &[Vm], exits: Option<ExitMeter>) -> BillMeter {
        BillMeter {
            vms: vms.iter().map(VmMeter::start).collect(),
            // Counting began with the accounts, before the threads were looked at.
            started: exits.as_ref().map_or_else(Instant::now, |exits| exits.opened),
            host_at_start_ns: threads::host_ns(),
            exits,
        }
    }

    /// Counts for these VMs from now on as well, and opens accounts for `vcpus`, threads that came on KVM. VMs that are
    /// not among them stay with what they had used, until [`forget`](Self::forget).
    ///
    /// # Errors
    /// There is no room for the accounts; everything else is counted.
    pub fn follow(&mut self, vms: &[Vm], vcpus: &[u32], gone: &[u32]) -> anyhow::Result<()> {
        for vm in vms {
            match self.vms.iter_mut().find(|known| known.is(vm)) {
                Some(known) => known.vm.clone_from(vm),
                None => self.vms.push(VmMeter::start(vm)),
            }
        }
        let Some(exits) = &mut self.exits else { return Ok(()) };
        exits.close(gone);
        exits.add(vcpus)
    }

    /// Forgets VMs that are not among these.
    pub fn forget(&mut self, vms: &[Vm]) {
        self.vms.retain(|known| vms.iter().any(|vm| known.is(vm)));
        for known in &mut self.vms {
            let now = topology::threads_of(&known.vm);
            known.threads.retain(|tid, _| now.iter().any(|thread| thread.tid == *tid));
        }
        if let Some(exits) = &mut self.exits {
            exits.forget();
        }
    }

    /// The bill up to now. What cannot be read any more stands as it was read last.
    pub fn read(&mut self) -> Bill {
        let times = self.exits.as_mut().map(ExitMeter::read).unwrap_or_default();
        let wall_ns = self.started.elapsed().as_nanos() as u64;
        let host_ns = threads::host_ns().zip(self.host_at_start_ns);
        Bill {
            wall_ns,
            host_ns: host_ns.map(|(now, then)| now.saturating_sub(then)),
            vms: self.vms.iter_mut().map(|vm| vm.read(&times)).collect(),
        }
    }
}

impl VmMeter {
    fn is(&self, vm: &Vm) -> bool {
        (self.vm.pid, self.vm.start_time) == (vm.pid, vm.start_time)
    }

    fn start(vm: &Vm) -> VmMeter {
        let mut meter = VmMeter { vm: vm.clone(), threads: BTreeMap::new() };
        for thread in topology::threads_of(vm) {
            if let Some(first) = CpuTimes::of_thread(&folder(vm, thread.tid)) {
                meter.threads.insert(thread.tid, Known { thread, first, last: first });
            }
        }
        meter
    }

    fn read(&mut self, times: &BTreeMap<u32, VcpuTimes>) -> VmUse {
        for thread in topology::threads_of(&self.vm) {
            let Some(last) = CpuTimes::of_thread(&folder(&self.vm, thread.tid)) else { continue };
            // One that came meanwhile had used nothing when the bill began.
            let nothing = CpuTimes { cpu_ns: 0, wait_ns: Some(0) };
            let new = Known { thread, first: nothing, last };
            self.threads.entry(new.thread.tid).or_insert(new).last = last;
        }
        let mut sum = VmUse { vm: self.vm.name.clone(), ..VmUse::default() };
        let mut exits = BTreeMap::new();
        for (&tid, known) in &self.threads {
            let used = known.last.since(known.first);
            if let Some(times) = times.get(&(tid as u32)) {
                charge(&mut sum, &mut exits, times, used);
            }
            sum.threads.extend(thread_use(known, used));
        }
        sum.exits = exits.into_values().collect();
        sum
    }
}

/// Adds a vCPU's times. One that neither turned nor ran was outside its guest all the time.
fn charge(sum: &mut VmUse, exits: &mut BTreeMap<ExitReason, ExitUse>, times: &VcpuTimes, used: CpuTimes) {
    sum.vcpus += 1;
    sum.entries += times.entries;
    sum.guest_ns += times.guest_ns;
    let mut add = |reason, count, ns, off_ns| {
        let entry = exits.entry(reason).or_insert(ExitUse { reason, count: 0, ns: 0, off_ns: 0 });
        entry.count += count;
        entry.ns += ns;
        entry.off_ns += off_ns;
    };
    for (&reason, slot) in &times.exits {
        add(reason, slot.count, slot.ns, slot.off_ns);
    }
    if times.unknown_ns > 0 && used.cpu_ns == 0 {
        add(ExitReason::Before, 0, times.unknown_ns, times.unknown_ns);
    }
}

/// A thread's part; none of one that did nothing and is nobody in particular.
fn thread_use(known: &Known, used: CpuTimes) -> Option<ThreadUse> {
    let Thread { tid, name, role } = known.thread.clone();
    let matters = used.cpu_ns > 0 || role != ThreadRole::Other;
    matters.then_some(ThreadUse { tid, name, role, cpu_ns: used.cpu_ns, wait_ns: used.wait_ns })
}

/// A thread's folder in /proc: a vhost worker of kernels before 6.4 is a process of its own.
fn folder(vm: &Vm, tid: i32) -> PathBuf {
    let own = Path::new("/proc").join(format!("{}/task/{tid}", vm.pid));
    if own.exists() { own } else { Path::new("/proc").join(tid.to_string()) }
}
