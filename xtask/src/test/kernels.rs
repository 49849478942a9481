//! The part of the test run that boots other kernels: the same commands under each of them, in VMs.

use std::{
    env,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::tests;
use crate::{
    interrupt,
    shell::{command, run, say, target, workspace},
    vm::{self, Ended, Hardware, KERNELS, Kernel, Nic, Run},
};

/// A check: kernels that it is for, a name, and a line for the shell.
type Check = (Series, &'static str, &'static str);

/// Which kernels a check is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    Every,
    /// Those under which a guest on emulated KVM has always started.
    Guests,
    /// The others: under 6.18 one in two such guests hung while it booted.
    Newest,
    /// The two that most hosts have: what takes minutes is done under these.
    Main,
    /// The newer one of these: what says the same under every kernel is done once.
    Once,
}

impl Series {
    fn has(self, kernel: &str) -> bool {
        match self {
            Series::Every => true,
            Series::Guests => !Series::Newest.has(kernel),
            Series::Newest => ["6.18", "7.3"].contains(&kernel),
            Series::Main => ["6.1", "6.12"].contains(&kernel),
            Series::Once => kernel == "6.12",
        }
    }
}

/// What must succeed: in the workspace's folder, with the `vmhop` of the debug build in the path and in
/// `$VMHOP_BIN`; `$VMHOP_VM` is the kernel, and `vm_test FILE TEST…` runs tests of tests/tests/FILE.rs, ignored ones too.
#[rustfmt::skip]
const CHECKS: &[Check] = &[
    (Series::Every, "doctor", "limited vmhop doctor --json"),
    (Series::Every, "self-test", "vm_test kvm every_hook_fires"),
    (Series::Main, "frames", "vm_test digests the_kernel_reads"),
    (Series::Every, "programs", "vm_test kvm every_hop_is_served"),
    (Series::Guests, "vhost and bridge", "vm_test kvm a_guest_behind_vhost_and_a_bridge"),
    (Series::Newest, "vhost and bridge", "vm_test kvm a_guest_behind_vhost_and_a_bridge"),
    (Series::Main, "VMM and bridge", "vm_test kvm a_guest_whose_vmm_moves_the_frames"),
    (Series::Main, "NAT", "vm_test kvm a_guest_behind_nat"),
    (Series::Main, "Open vSwitch", "vm_test kvm a_guest_behind_open_vswitch"),
    (Series::Main, "macvtap", "vm_test kvm a_guest_on_a_macvtap"),
    (Series::Main, "two guests", "vm_test kvm two_guests_on_one_bridge"),
    (Series::Main, "NIC with interrupts", "vm_test kvm a_guest_behind_a_nic_with_interrupts"),
    (Series::Main, "NIC with queues", "vm_test kvm a_guest_behind_a_nic_with_queues"),
    (Series::Main, "io_uring", "vm_test uring frames_written_by_io_uring"),
    (Series::Main, "histogram mode", "vm_test histogram the_kernels_histograms"),
    (Series::Main, "a part of the frames", "vm_test sample the_kernel_records"),
    (Series::Once, "upper devices", "vm_test topology_lower each_kind uppers_on_uppers a_routed_guest"),
    (Series::Once, "VLAN", "vm_test lab_networks a_vlan_lies_on_the_nic"),
    (Series::Once, "real traffic, bridge", "vm_test real behind_a_bridge"),
    (Series::Once, "real traffic, VLAN", "vm_test real behind_a_vlan"),
    (Series::Once, "real traffic, VXLAN", "vm_test real behind_a_tunnel"),
    (Series::Once, "real traffic, NAT", "vm_test real behind_a_translation"),
    (Series::Once, "real traffic, e1000e", "vm_test real behind_a_nic_that_segments"),
    (Series::Once, "real traffic, igb", "vm_test real behind_a_nic_with_queues"),
    (Series::Once, "known delays, network", "vm_test truth nic_wire_and_bridge"),
    (Series::Once, "known delays, VMM", "vm_test truth vmm_and_guest"),
    (Series::Once, "a slower NIC compared", "vm_test diff netem_on_the_nic"),
    (Series::Once, "trace-cmd, vhost", "vm_test kvm_check behind_vhost_and_a_bridge"),
    (Series::Once, "trace-cmd, VMM", "vm_test kvm_check where_the_vmm_moves_the_frames"),
    (Series::Once, "trace-cmd, NAT", "vm_test kvm_check behind_nat"),
    (Series::Once, "trace-cmd, macvtap", "vm_test kvm_check on_a_macvtap"),
];

/// Which of the checks to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// Every kernel: its programs, and under most a guest behind vhost and a bridge.
    Kernels,
    /// The other networks, and what trace-cmd says of them, under the kernels that most hosts have.
    Networks,
}

impl Matrix {
    /// Names and lines of the checks for a kernel.
    fn checks(self, kernel: &str) -> Vec<(&'static str, &'static str)> {
        let wanted = |series: Series| {
            matches!(series, Series::Every | Series::Guests) == (self == Matrix::Kernels)
                && series.has(kernel)
        };
        CHECKS.iter().filter(|(series, ..)| wanted(*series)).map(|(_, name, line)| (*name, *line)).collect()
    }
}

/// The time for one check: more than twice what the longest takes on a machine of two cores.
const LIMIT: Duration = Duration::from_secs(8 * 60);
/// A VM that says nothing for longer than a check may take hangs as a whole, as those of a QEMU before 8.1 do.
const SILENCE: Duration = Duration::from_secs(LIMIT.as_secs() + 60);

/// A VM has two processors, and an emulated one keeps a core of ours busy.
const CORES_A_VM: usize = 2;

/// How the checks under one kernel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All succeeded.
    Passed,
    /// One did not, or the VM failed.
    Failed,
    /// The kernel is not to be had, and that is allowed.
    Skipped,
}

/// The checks under one kernel.
pub struct Checked {
    /// The series.
    pub kernel: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// How long it took.
    pub time: Duration,
}

/// Does the checks under every kernel; says what failed while it goes on.
pub fn check(matrix: Matrix) -> anyhow::Result<Vec<Checked>> {
    run(command(&["cargo", "build", "--package", "tracer", "--bin", "vmhop"]).current_dir(workspace()))?;
    let tests = tests::built()?;
    interrupt::catch();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(kernel) = KERNELS.get(next.fetch_add(1, Ordering::Relaxed)) {
            if matrix.checks(kernel.name).is_empty() {
                continue;
            }
            let started = Instant::now();
            let verdict = check_one(kernel, matrix, &tests);
            let checked = Checked { kernel: kernel.name, verdict, time: started.elapsed() };
            done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(checked);
        }
    };
    thread::scope(|scope| (0..workers()).for_each(|_| drop(scope.spawn(work))));
    if let Some(signal) = interrupt::noted() {
        bail!("interrupted by signal {signal}");
    }
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|checked| KERNELS.iter().position(|kernel| kernel.name == checked.kernel));
    Ok(done)
}

/// How many VMs run at a time.
fn workers() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / CORES_A_VM).clamp(1, KERNELS.len())
}

fn check_one(kernel: &'static Kernel, matrix: Matrix, tests: &[(String, PathBuf)]) -> Verdict {
    let name = kernel.name;
    if let Err(error) = vm::fetch_kernel(kernel) {
        let skipped = env::var_os("VMHOP_NO_SKIPS").is_none();
        let word = if skipped { "skipped" } else { "FAILED" };
        say(&format!("test: kernel {name} {word}: {error:#}"));
        return if skipped { Verdict::Skipped } else { Verdict::Failed };
    }
    let (ended, text) = match perform(kernel, matrix, tests) {
        (Ok(Ended::Silent(_, console)), text) => {
            say(&format!(
                "test: kernel {name}: the VM hangs and is started anew{text}\nthe kernel said:{console}"
            ));
            perform(kernel, matrix, tests)
        }
        first => first,
    };
    if matches!(ended, Ok(Ended::Command(0))) {
        say(&format!("test: kernel {name} passed{text}"));
        return Verdict::Passed;
    }
    let end = match ended {
        Ok(Ended::Command(code)) => format!("exit code {code}"),
        Ok(Ended::TimedOut(place)) => format!("took too long, {place}"),
        Ok(Ended::Silent(place, console)) => format!("hangs, {place}; the kernel said:{console}"),
        Ok(Ended::Interrupted(_)) => "interrupted".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    say(&format!("test: kernel {name} FAILED: {end}{text}"));
    Verdict::Failed
}

/// Does the checks in one VM. Gives what they have said, indented.
fn perform(
    kernel: &'static Kernel,
    matrix: Matrix,
    tests: &[(String, PathBuf)],
) -> (anyhow::Result<Ended>, String) {
    let checks = matrix.checks(kernel.name);
    let timeout = SILENCE * u32::try_from(checks.len() + 1).unwrap_or(u32::MAX);
    let command = ["sh", "-c", &script(&checks, tests)].map(Into::into).to_vec();
    let hardware = Hardware { nics: vec![Nic::E1000e, Nic::Igb], ..Hardware::default() };
    let run = Run { kernel, hardware, timeout, silence: SILENCE, out: None, command };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let ended = run.perform(&mut out, &mut errors);
    let text = String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&errors);
    (ended, text.lines().map(|line| format!("\n  | {line}")).collect())
}

/// A script that does all checks, also after one has failed.
fn script(checks: &[(&str, &str)], tests: &[(String, PathBuf)]) -> String {
    let tests: String = tests.iter().map(|(name, path)| format!("{name}={}\n", path.display())).collect();
    let checks: String = checks.iter().map(|(name, line)| format!("check '{name}' '{line}'\n")).collect();
    let (folder, build) = (workspace(), workspace().join(target()).join("debug"));
    format!(
        "cd '{}' || exit\nBUILD='{}'\nLIMIT={}\nTESTS='{tests}'\n{}\n{checks}exit $failed\n",
        folder.display(),
        build.display(),
        LIMIT.as_secs(),
        include_str!("checks.sh"),
    )
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn all_checks_run_and_only_failed_ones_are_shown() {
        let checks = [("bad", "echo one; exit 3"), ("good", "echo two"), ("worse", "vm_test other x")];
        let script = script(&checks, &[("kvm".to_owned(), PathBuf::from("/nowhere"))]);
        let done = command(&["sh", "-c", &script]).output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        let shown: Vec<_> = said.lines().filter(|line| !line.ends_with(" s")).collect();
        let expected = [
            "check bad ended with exit code 3:",
            "one",
            "check worse ended with exit code 1:",
            "no test file other",
        ];
        assert_eq!(shown, expected);
        assert_eq!(said.lines().count(), shown.len() + checks.len());
        assert_eq!(done.status.code(), Some(1));
    }
}
