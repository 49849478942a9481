//! Whole recordings of a condition: the host's NIC delays every answer by the same time.

use std::{path::PathBuf, process::Command, thread::sleep, time::Duration};

use super::{asker::Asker, run::Recorder, scene::Scene, toy::PORT};
use crate::host::{load_modules, run};

/// Whether netem can be the qdisc of the host's NIC.
pub fn netem_works(scene: &Scene) -> bool {
    load_modules(&["sch_netem"]);
    let netns = format!("--net={}", scene.host.display());
    let words = [&netns, "tc", "qdisc", "replace", "dev", "nic0", "root", "netem", "delay", "1us"];
    let worked = Command::new("nsenter").args(words).output().is_ok_and(|done| done.status.success());
    if worked {
        tc(scene, "del", "");
    }
    worked
}

fn tc(scene: &Scene, what: &str, rest: &str) {
    run(&format!("nsenter --net={} tc qdisc {what} dev nic0 root {rest}", scene.host.display()));
}

/// Records while the guest is asked so many questions, and the NIC delays each answer by so long.
pub fn record(scene: &Scene, delay: Duration, questions: usize, path: PathBuf) -> PathBuf {
    tc(scene, "replace", &format!("netem delay {}us", delay.as_micros()));
    let recorder = Recorder::start(scene, path);
    let mut asker = Asker::new(scene);
    for _ in 0..questions {
        sleep(scene.pause);
        asker.ask(PORT);
    }
    let path = recorder.finish();
    tc(scene, "del", "");
    assert!(path.exists());
    path
}
