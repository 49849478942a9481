//! What the scheduler knows of a thread: how long it ran, how long it waited for a CPU.

use std::{fs, path::Path};

/// A thread's CPU time since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Time on a CPU, ns.
    pub cpu_ns: u64,
    /// Time it could have run but had no CPU, ns; absent where the kernel does not keep it.
    pub wait_ns: Option<u64>,
}

impl CpuTimes {
    /// Reads a thread's from its folder in /proc; `None` if it has gone.
    pub fn of_thread(folder: &Path) -> Option<CpuTimes> {
        let schedstat = fs::read_to_string(folder.join("schedstat"));
        schedstat.ok().and_then(|text| CpuTimes::from_schedstat(&text)).or_else(|| {
            let stat = fs::read_to_string(folder.join("stat")).ok()?;
            CpuTimes::from_stat(&stat, tick_ns())
        })
    }

    /// What `schedstat` says: ns on a CPU, ns waiting for one, and how often it ran (`proc_pid_schedstat`). All are 0
    /// where the kernel keeps no such statistics.
    pub(super) fn from_schedstat(text: &str) -> Option<CpuTimes> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (cpu_ns, wait_ns, runs) = (next()?, next()?, next()?);
        (runs > 0).then_some(CpuTimes { cpu_ns, wait_ns: Some(wait_ns) })
    }

    /// User and system time in `stat`, fields 14 and 15, in ticks. The second field is a name in parentheses that may
    /// hold any sign.
    pub(super) fn from_stat(text: &str, tick_ns: u64) -> Option<CpuTimes> {
        let (_, behind) = text.rsplit_once(')')?;
        let mut fields = behind.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
        let ticks = fields.next()?.ok()?.checked_add(fields.next()?.ok()?)?;
        Some(CpuTimes { cpu_ns: ticks.saturating_mul(tick_ns), wait_ns: None })
    }

    /// Since `start`.
    pub fn since(self, start: CpuTimes) -> CpuTimes {
        CpuTimes {
            cpu_ns: self.cpu_ns.saturating_sub(start.cpu_ns),
            wait_ns: self.wait_ns.zip(start.wait_ns).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// CPU time that the whole host has used, ns; guests' and interrupts' included.
pub fn host_ns() -> Option<u64> {
    from_host_stat(&fs::read_to_string("/proc/stat").ok()?, tick_ns())
}

/// The line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal, and guest times, which are in user's.
pub(super) fn from_host_stat(text: &str, tick_ns: u64) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6].iter().map(|&at| ticks.get(at).copied()).sum::<Option<u64>>()?;
    Some(busy.saturating_mul(tick_ns))
}

/// The unit of the kernel's tick counts, ns.
fn tick_ns() -> u64 {
    1_000_000_000 / procfs::ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_tells_running_and_waiting() {
        let times = CpuTimes { cpu_ns: 354_190, wait_ns: Some(1_555_337) };
        assert_eq!(CpuTimes::from_schedstat("354190 1555337 2\n"), Some(times));
        for text in ["0 0 0\n", "", "1 2", "a b c"] {
            assert_eq!(CpuTimes::from_schedstat(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_with_a_parenthesis_does_not_shift_the_fields() {
        let stat = "7 (CPU 0) K) S 1 7 7 0 -1 4194560 5 0 0 0 120 30 0 0 20 0 1 0 99";
        assert_eq!(CpuTimes::from_stat(stat, 10), Some(CpuTimes { cpu_ns: 1_500, wait_ns: None }));
        assert_eq!(CpuTimes::from_stat("7 (x) S 1", 10), None);
    }

    #[test]
    fn idle_iowait_and_steal_are_no_work() {
        let stat = "cpu  1 2 4 800 1600 8 16 3200 1 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(from_host_stat(stat, 10), Some(310));
        assert_eq!(from_host_stat("cpu 1 2", 10), None);
    }

    #[test]
    fn own_thread_has_times() {
        assert!(CpuTimes::of_thread(Path::new("/proc/thread-self")).is_some());
        assert_eq!(CpuTimes::of_thread(Path::new("/proc/nobody")), None);
    }
}
