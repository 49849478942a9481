//! The part of the test run that boots other kernels: the same commands under each of them, in VMs.

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    interrupt,
    shell::{command, run, say, target, workspace},
    vm::{self, Ended, Hardware, KERNELS, Kernel, Run},
};

/// What must succeed under every kernel: a name and a line for the shell, in the workspace's folder, with the
/// `vmhop` of the debug build in the path. Add a row for a new check; `$VMHOP_VM` is the kernel.
const CHECKS: [(&str, &str); 1] = [("doctor", "vmhop doctor --json")];

/// The time for all checks under one kernel.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

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
pub fn check() -> anyhow::Result<Vec<Checked>> {
    run(command(&["cargo", "build", "--package", "tracer", "--bin", "vmhop"]).current_dir(workspace()))?;
    interrupt::catch();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(kernel) = KERNELS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let verdict = check_one(kernel);
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

fn check_one(kernel: &'static Kernel) -> Verdict {
    let name = kernel.name;
    if let Err(error) = vm::fetch_kernel(kernel) {
        let skipped = env::var_os("VMHOP_NO_SKIPS").is_none();
        let word = if skipped { "skipped" } else { "FAILED" };
        say(&format!("test: kernel {name} {word}: {error:#}"));
        return if skipped { Verdict::Skipped } else { Verdict::Failed };
    }
    let command = ["sh", "-c", &script(&CHECKS)].map(Into::into).to_vec();
    let run = Run { kernel, hardware: Hardware::default(), timeout: TIMEOUT, out: None, command };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let ended = run.perform(&mut out, &mut errors);
    if matches!(ended, Ok(Ended::Command(0))) {
        return Verdict::Passed;
    }
    let text = String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&errors);
    let text: String = text.lines().map(|line| format!("\n  | {line}")).collect();
    let end = match ended {
        Ok(Ended::Command(code)) => format!("exit code {code}"),
        Ok(Ended::TimedOut(place)) => format!("took too long, {place}"),
        Ok(Ended::Interrupted(_)) => "interrupted".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    say(&format!("test: kernel {name} FAILED: {end}{text}"));
    Verdict::Failed
}

/// A script that does all checks, also after one has failed, and shows what the failed ones have said.
fn script(checks: &[(&str, &str)]) -> String {
    let checks = checks.iter().map(|(name, line)| {
        format!(
            "({line}) >/tmp/check 2>&1; code=$?\n\
             [ $code = 0 ] || {{ failed=1; echo 'check {name} ended with exit code' $code:; cat /tmp/check; }}\n"
        )
    });
    let (folder, build) = (workspace(), workspace().join(target()).join("debug"));
    format!(
        "cd '{}' || exit\nPATH='{}':$PATH\nfailed=0\n{}exit $failed\n",
        folder.display(),
        build.display(),
        checks.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_checks_run_and_only_failed_ones_are_shown() {
        let script = script(&[("bad", "echo one; exit 3"), ("good", "echo two"), ("worse", "exit 4")]);
        let done = command(&["sh", "-c", &script]).output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert_eq!(said, "check bad ended with exit code 3:\none\ncheck worse ended with exit code 4:\n");
        assert_eq!(done.status.code(), Some(1));
    }
}
