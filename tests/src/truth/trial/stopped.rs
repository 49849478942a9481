//! The VMM's process is stopped before a question comes and goes on after it has waited: all of its threads, as by a
//! debugger, a snapshot or a cgroup's freezer. Before a plain question it is stopped for as long, and goes on before the
//! question comes: whoever ran a moment ago runs sooner again.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{fs, thread::sleep, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::alternate;
use crate::truth::{
    asker::Asker,
    block::Block,
    now_ns,
    scene::Scene,
    threads::{ASKER, placed},
    toy::PORT,
};

pub(super) fn blocks(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    let mut asker = Asker::new(scene);
    let ask = |delayed: bool| {
        sleep(scene.pause);
        let stopped = Stopped::stop(scene.pid);
        if !delayed {
            drop(stopped);
            sleep(delay);
            asker.ask(PORT);
            return 0.0;
        }
        asker.ask_and(PORT, |since_ns| {
            sleep(delay);
            let kept_ns = now_ns() - since_ns;
            drop(stopped);
            kept_ns as f64
        })
    };
    placed(scene.cpus.others, ASKER, || alternate(questions, 1, ask))
}

/// A process that goes on when this is dropped, also when the test fails.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: i32) -> Stopped {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
        while !threads_are_stopped(pid) {
            // Those that are to stop may need this thread's processor for it.
            sleep(Duration::from_micros(50));
        }
        Stopped(Pid::from_raw(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

fn threads_are_stopped(pid: i32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    // The state stands behind the name, which is in parentheses and may have some.
    stats.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}
