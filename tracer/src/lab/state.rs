//! What a lab remembers about itself: the processes it started and the choices it made.
//! Processes are known by pid and start time, so that a recycled pid is never taken for one of them.

use std::{fs, io::ErrorKind, time::Duration};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{accel::Accel, layout::Lab, spec::Spec};

/// A process of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks since boot, field 22 of /proc/PID/stat.
    pub(crate) start_time: u64,
}

impl Process {
    /// The process that has `pid` now, unless it is gone or a zombie.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_time) = parse_stat(&stat)?;
        (state != 'Z').then_some(Self { pid, start_time })
    }

    pub(crate) fn alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Ends the process: politely, then after a second by SIGKILL. Says whether it was there.
    pub(crate) fn end(self) -> bool {
        if !self.alive() {
            return false;
        }
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            // A process that ended by itself in the meantime is what is wanted.
            let _ = kill(Pid::from_raw(self.pid), signal);
            for _ in 0..100 {
                if !self.alive() {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        true
    }
}

/// State letter and start time of a /proc/PID/stat line; the command name in it may hold anything.
pub(super) fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

/// The content of state.json.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whether `lab up` came to its end; a lab that is still starting, or died while it was, has false.
    pub(crate) ready: bool,
    pub(crate) spec: Spec,
    /// The guests' QEMUs, in the order of the guests; none until they are started.
    pub(crate) qemus: Vec<Process>,
    /// What keeps the network and the peer going.
    pub(crate) helpers: Vec<Helper>,
    pub(crate) accel: Accel,
    pub(crate) kernel: String,
}

/// A process of the lab that is no guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Helper {
    pub(crate) name: String,
    pub(crate) process: Process,
}

impl State {
    /// The state of `lab`; none when it never got that far, or when a crash left the file unreadable.
    pub(crate) fn load(lab: &Lab) -> anyhow::Result<Option<Self>> {
        let path = lab.state_file();
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    pub(crate) fn save(&self, lab: &Lab) -> anyhow::Result<()> {
        let path = lab.state_file();
        let text = serde_json::to_vec_pretty(self)?;
        // In one piece or not at all: what is to be given back after a crash is only in here.
        let new = path.with_extension("new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.with_context(|| format!("failed to write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let stat = format!("17 (a) b) (c) S {}", fields.join(" "));
        assert_eq!(parse_stat(&stat), Some(('S', 22)));
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_another_process() {
        let me = Process::find(std::process::id() as i32).unwrap();
        assert!(me.alive());
        assert!(!Process { start_time: me.start_time + 1, ..me }.alive());
    }
}
