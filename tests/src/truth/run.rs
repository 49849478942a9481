//! Trials one after the other while a recording runs, and the verdict on each.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail the test and print figures"
)]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use tracer::correlate::exchange::Exchange;

use super::{
    block::{Block, samples},
    judge::Measured,
    scene::Scene,
    trial::Trial,
};
use crate::{
    recording::{Recordings, analyse, assert_additive},
    vmhop::binary,
};

/// A trial, the delay, and the number of questions with it; there are as many without.
pub type Wish = (Trial, Duration, usize);

/// How often a trial is made until it succeeds.
const ATTEMPTS: usize = 3;

/// Makes the trials and fails unless each layer grows by what it was delayed by, and no other does. A trial that fails
/// is repeated, which is printed: the machine may have been elsewhere.
pub fn hold_against_truth(scene: &Scene, wishes: &[Wish]) {
    let mut failed = attempt(scene, wishes);
    for _ in 1..ATTEMPTS {
        if failed.is_empty() {
            return;
        }
        eprintln!("{}: {} trials are repeated", scene.name, failed.len());
        failed = attempt(scene, &failed);
    }
    assert!(failed.is_empty(), "{}: failed {ATTEMPTS} times: {failed:?}", scene.name);
}

/// Those that fail.
fn attempt(scene: &Scene, wishes: &[Wish]) -> Vec<Wish> {
    let recordings = Recordings::new();
    let recorder = Recorder::start(scene, recordings.path("truth.vmhop"));
    let trials: Vec<(Wish, Vec<Block>)> = wishes
        .iter()
        .map(|wish| {
            let (trial, delay, questions) = *wish;
            (*wish, trial.blocks(scene, delay, questions))
        })
        .collect();
    let path = recorder.finish();
    let (report, exchanges) = analyse(&path);
    assert_additive(&report);
    assert_eq!(report.losses.ring_total, 0);
    let failed = trials.iter().filter(|(wish, blocks)| !holds(scene, &exchanges, *wish, blocks));
    failed.map(|(wish, _)| *wish).collect()
}

/// Prints what a trial has come to, and whether that is right.
fn holds(scene: &Scene, exchanges: &[Exchange], (trial, delay, _): Wish, blocks: &[Block]) -> bool {
    let (samples, missing) = samples(exchanges, blocks);
    let measured = Measured::of(scene.name, trial, (delay, emulated()), samples, missing);
    let faults = measured.faults();
    eprintln!("{measured}{}", faults.iter().map(|fault| format!("\n  FAILED: {fault}")).collect::<String>());
    faults.is_empty()
}

/// Whether this is one of our VMs.
fn emulated() -> bool {
    env::var_os("VMHOP_VM").is_some()
}

/// `vmhop record`, until it is told to stop.
pub(super) struct Recorder {
    child: Child,
    said: BufReader<ChildStderr>,
    path: PathBuf,
}

impl Recorder {
    pub(super) fn start(scene: &Scene, path: PathBuf) -> Recorder {
        let mut command = Command::new(binary());
        command.args(["record", "--vm", &scene.vm, "-o"]).arg(&path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains("recording;") {
            assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
        }
        Recorder { child, said, path }
    }

    pub(super) fn finish(mut self) -> PathBuf {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        self.path.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
