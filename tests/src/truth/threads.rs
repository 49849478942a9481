//! Where threads run, and before whom.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{fs, thread};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::host::run;

/// The processor of the VMM's thread that moves frames, and that of everybody else in a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus {
    pub(crate) vmm: usize,
    pub(crate) others: usize,
}

impl Cpus {
    /// The first two that this process may use; none if it has only one.
    pub(crate) fn find() -> Option<Cpus> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
        Some(Cpus { vmm: usable.next()?, others: usable.next()? })
    }
}

/// Priorities under SCHED_RR: a higher one gets the processor at once, and keeps it; those of the same take turns.
pub(crate) const MACHINE: u8 = 1;
pub(crate) const ASKER: u8 = 2;
pub(crate) const HOG: u8 = 3;

/// Puts a thread on a processor, before all ordinary ones. What it starts is ordinary again.
pub(crate) fn place(tid: i32, cpu: usize, priority: u8) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(tid), &cpus).unwrap();
    run(&format!("chrt --reset-on-fork --rr --pid {priority} {tid}"));
}

/// Does some work in a thread that is placed.
pub(crate) fn placed<T: Send>(cpu: usize, priority: u8, work: impl FnOnce() -> T + Send) -> T {
    let placed = || {
        place(nix::unistd::gettid().as_raw(), cpu, priority);
        work()
    };
    thread::scope(|scope| scope.spawn(placed).join().unwrap())
}

/// Places the threads of a VMM: the one that moves frames, which is the first, and all others, those of the guest among
/// them.
pub(crate) fn place_vmm(pid: i32, cpus: Cpus) {
    for entry in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let tid: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        place(tid, if tid == pid { cpus.vmm } else { cpus.others }, MACHINE);
    }
}
