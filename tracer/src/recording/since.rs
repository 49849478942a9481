//! Counters and bills from one moment to a later one: where a recording begins while the programs stay attached, the
//! kernel's counts go on, and the recording's begin at 0.

use std::collections::BTreeMap;

use super::{Bill, Counters, ExitUse, ProgramCost, ThreadUse, VmUse};

impl Counters {
    /// What was counted since `start`, which was read from the same programs.
    pub fn since(&self, start: &Counters) -> Counters {
        Counters {
            lost: counts_since(&self.lost, &start.lost),
            lost_by_cpu: counts_since(&self.lost_by_cpu, &start.lost_by_cpu),
            undecoded: self.undecoded.saturating_sub(start.undecoded),
            programs: self
                .programs
                .iter()
                .enumerate()
                .map(|(at, now)| now.since(start.programs.get(at)))
                .collect(),
            reader_cpu_ns: self.reader_cpu_ns.saturating_sub(start.reader_cpu_ns),
            wall_ns: self.wall_ns.saturating_sub(start.wall_ns),
            metered_ns: self.metered_ns.saturating_sub(start.metered_ns),
        }
    }
}

impl Counters {
    /// This, and what was counted of other programs meanwhile, or before; those of one name together.
    pub fn plus(&self, other: &Counters) -> Counters {
        let mut programs: BTreeMap<&str, ProgramCost> = BTreeMap::new();
        for cost in self.programs.iter().chain(&other.programs) {
            let none = || ProgramCost { program: cost.program.clone(), runs: 0, run_ns: 0, missed: 0 };
            let sum = programs.entry(&cost.program).or_insert_with(none);
            sum.runs += cost.runs;
            sum.run_ns += cost.run_ns;
            sum.missed += cost.missed;
        }
        Counters {
            lost: counts_plus(&self.lost, &other.lost),
            lost_by_cpu: counts_plus(&self.lost_by_cpu, &other.lost_by_cpu),
            undecoded: self.undecoded + other.undecoded,
            programs: programs.into_values().collect(),
            reader_cpu_ns: self.reader_cpu_ns + other.reader_cpu_ns,
            wall_ns: self.wall_ns + other.wall_ns,
            metered_ns: self.metered_ns + other.metered_ns,
        }
    }
}

fn counts_plus<K: Ord + Clone>(one: &BTreeMap<K, u64>, other: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let mut sum = one.clone();
    other.iter().for_each(|(key, count)| *sum.entry(key.clone()).or_default() += count);
    sum
}

fn counts_since<K: Ord + Clone>(now: &BTreeMap<K, u64>, start: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let grown = |(key, count): (&K, &u64)| {
        let grown = count.saturating_sub(start.get(key).copied().unwrap_or_default());
        (grown > 0).then(|| (key.clone(), grown))
    };
    now.iter().filter_map(grown).collect()
}

impl ProgramCost {
    /// Programs are read in the same order each time; several may have one name.
    fn since(&self, start: Option<&ProgramCost>) -> ProgramCost {
        let Some(start) = start.filter(|start| start.program == self.program) else { return self.clone() };
        ProgramCost {
            program: self.program.clone(),
            runs: self.runs.saturating_sub(start.runs),
            run_ns: self.run_ns.saturating_sub(start.run_ns),
            missed: self.missed.saturating_sub(start.missed),
        }
    }
}

impl Bill {
    /// What was used since `start`, which was read from the same meter.
    pub fn since(&self, start: &Bill) -> Bill {
        // Another VM may have the name by now.
        let same = |start: &&VmUse, now: &VmUse| {
            let has = |tid| start.threads.iter().any(|thread| thread.tid == tid);
            start.vm == now.vm && now.threads.iter().any(|thread| has(thread.tid))
        };
        let vm = |now: &VmUse| match start.vms.iter().find(|start| same(start, now)) {
            Some(start) => now.since(start),
            None => now.clone(),
        };
        Bill {
            wall_ns: self.wall_ns.saturating_sub(start.wall_ns),
            host_ns: self.host_ns.zip(start.host_ns).map(|(now, start)| now.saturating_sub(start)),
            vms: self.vms.iter().map(vm).collect(),
        }
    }
}

impl VmUse {
    fn since(&self, start: &VmUse) -> VmUse {
        VmUse {
            vm: self.vm.clone(),
            vcpus: self.vcpus,
            entries: self.entries.saturating_sub(start.entries),
            guest_ns: self.guest_ns.saturating_sub(start.guest_ns),
            exits: self.exits.iter().map(|now| exit_since(now, &start.exits)).collect(),
            threads: self.threads.iter().map(|now| thread_since(now, &start.threads)).collect(),
        }
    }
}

fn exit_since(now: &ExitUse, start: &[ExitUse]) -> ExitUse {
    let Some(start) = start.iter().find(|start| start.reason == now.reason) else { return *now };
    ExitUse {
        reason: now.reason,
        count: now.count.saturating_sub(start.count),
        ns: now.ns.saturating_sub(start.ns),
        off_ns: now.off_ns.saturating_sub(start.off_ns),
    }
}

fn thread_since(now: &ThreadUse, start: &[ThreadUse]) -> ThreadUse {
    let Some(start) = start.iter().find(|start| start.tid == now.tid) else { return now.clone() };
    ThreadUse {
        cpu_ns: now.cpu_ns.saturating_sub(start.cpu_ns),
        wait_ns: now.wait_ns.zip(start.wait_ns).map(|(now, start)| now.saturating_sub(start)),
        ..now.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{recording::ExitReason, topology::ThreadRole};

    fn program(runs: u64, run_ns: u64) -> ProgramCost {
        ProgramCost { program: "p".to_owned(), runs, run_ns, missed: runs }
    }

    #[test]
    fn counters_begin_at_nothing_in_a_later_recording() {
        let lost = |count| BTreeMap::from([("tap.rx".to_owned(), count), ("nic.rx".to_owned(), 7)]);
        let counters = |count: u64| Counters {
            lost: lost(count),
            undecoded: count,
            programs: vec![program(count, count), program(7, 7)],
            wall_ns: count,
            ..Counters::default()
        };
        let since = counters(30).since(&counters(10));
        assert_eq!(since.lost, BTreeMap::from([("tap.rx".to_owned(), 20)]));
        assert_eq!(since.programs, [program(20, 20), program(0, 0)]);
        assert_eq!((since.undecoded, since.wall_ns), (20, 20));
        assert_eq!(counters(30).since(&Counters::default()), counters(30));
    }

    #[test]
    fn programs_that_were_attached_again_go_on_counting() {
        let before =
            Counters { programs: vec![program(5, 50), program(1, 2)], undecoded: 1, ..Counters::default() };
        let after = Counters { programs: vec![program(2, 20)], undecoded: 2, ..Counters::default() };
        let sum = before.plus(&after);
        assert_eq!((sum.programs, sum.undecoded), (vec![program(8, 72)], 3));
    }

    #[test]
    fn a_thread_and_a_vm_that_came_later_count_whole() {
        let thread = |tid, cpu_ns| ThreadUse {
            tid,
            name: String::new(),
            role: ThreadRole::Io,
            cpu_ns,
            wait_ns: Some(cpu_ns),
        };
        let exit = |count| ExitUse { reason: ExitReason::Untold, count, ns: count, off_ns: 0 };
        let vm = |name: &str, threads, count| VmUse {
            vm: name.to_owned(),
            vcpus: 1,
            entries: count,
            guest_ns: count,
            exits: vec![exit(count)],
            threads,
        };
        let start = Bill { wall_ns: 5, host_ns: Some(50), vms: vec![vm("a", vec![thread(1, 10)], 3)] };
        let later = vec![vm("a", vec![thread(1, 14), thread(2, 2)], 8), vm("b", vec![thread(3, 9)], 4)];
        let now = Bill { wall_ns: 9, host_ns: Some(80), vms: later };
        let expected = vec![vm("a", vec![thread(1, 4), thread(2, 2)], 5), vm("b", vec![thread(3, 9)], 4)];
        assert_eq!(now.since(&start), Bill { wall_ns: 4, host_ns: Some(30), vms: expected });
    }
}
