//! What a watch says: figures to standard output when it is time, everything else to standard error, a line each.

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use crate::{
    report::WatchState,
    session::{Stopped, Told},
    topology::printable,
};

/// Says it.
pub struct Words<'a> {
    out: &'a mut dyn Write,
    /// What went wrong when figures were written.
    failed: Option<io::Error>,
}

impl<'a> Words<'a> {
    /// Figures go to `out`.
    pub fn new(out: &'a mut dyn Write) -> Words<'a> {
        Words { out, failed: None }
    }

    /// Says one thing; false where what is written to standard output finds nobody.
    pub fn tell(&mut self, told: &Told<'_>) -> bool {
        match told {
            Told::Serving(address) => say(&format!("serving http://{address}/metrics")),
            Told::Watching { vms } => say(&format!("watching {vms} VMs; Ctrl-C stops")),
            Told::News(text) => say(&printable(text)),
            Told::Figures(text) => {
                let written = self.out.write_all(text).and_then(|()| self.out.flush());
                self.failed = self.failed.take().or(written.err());
            }
        }
        self.failed.is_none()
    }

    /// Says what came of it.
    ///
    /// # Errors
    /// Figures could not be written meanwhile.
    pub fn end(self, stopped: &Stopped) -> io::Result<()> {
        say(&summary(stopped));
        self.failed.map_or(Ok(()), Err)
    }
}

/// How long, what was seen, what it cost.
fn summary(stopped: &Stopped) -> String {
    let Stopped { reason, state, folder, .. } = stopped;
    let WatchState { elapsed_ns, vms_seen, events, counters, .. } = state;
    let elapsed = Duration::from_nanos(*elapsed_ns);
    let frames: u64 = state.frames.values().sum();
    let lost: u64 = counters.lost.values().sum();
    let share = |ns: u64| if *elapsed_ns == 0 { 0.0 } else { ns as f64 / *elapsed_ns as f64 * 100.0 };
    let programs_ns: u64 = counters.programs.iter().map(|program| program.run_ns).sum();
    // The kernel measures them in a part of the time only.
    let metered_ns = if counters.metered_ns == 0 { *elapsed_ns } else { counters.metered_ns };
    let programs_share = if metered_ns == 0 { 0.0 } else { programs_ns as f64 / metered_ns as f64 * 100.0 };
    let mut text = format!(
        "watched for {}: {}\n  {vms_seen} VMs, {frames} frames, {events} events, {lost} lost\n  one CPU: vmhop {:.2} %, \
         BPF programs {:.2} %; looking for VMs {:.2} %; memory {} MiB",
        humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
        printable(reason),
        share(counters.reader_cpu_ns),
        programs_share,
        share(state.scan_ns),
        state.resident_bytes >> 20,
    );
    let _ = write!(text, "\n  {} recordings", state.recordings);
    if let Some(folder) = folder {
        let _ = write!(text, ", {} kept in {}", state.kept, printable(&folder.display().to_string()));
    }
    if state.skipped > 0 {
        let _ =
            write!(text, ", {} without figures: they came faster than figures can be taken", state.skipped);
    }
    text
}

/// Standard error may be closed; then nobody wants to know.
fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{text}").and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::recording::{Counters, ProgramCost};

    #[test]
    fn the_summary_tells_time_losses_and_cost() {
        let program = ProgramCost { program: "p".to_owned(), runs: 1, run_ns: 600_000_000, missed: 0 };
        let counters = Counters {
            lost: BTreeMap::from([("tap.rx".to_owned(), 7)]),
            programs: vec![program],
            reader_cpu_ns: 1_200_000_000,
            ..Counters::default()
        };
        let state = WatchState {
            elapsed_ns: 60_000_000_000,
            frames: BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 4)]),
            events: 70,
            counters,
            resident_bytes: 30 << 20,
            scan_ns: 60_000_000,
            vms_seen: 2,
            recordings: 9,
            kept: 3,
            ..WatchState::default()
        };
        let folder = Some("/tmp/\u{1b}[2J".into());
        let stopped = Stopped { reason: "interrupted".to_owned(), failed: false, state, folder };
        insta::assert_snapshot!(summary(&stopped), @r"
        watched for 1m: interrupted
          2 VMs, 7 frames, 70 events, 7 lost
          one CPU: vmhop 2.00 %, BPF programs 1.00 %; looking for VMs 0.10 %; memory 30 MiB
          9 recordings, 3 kept in /tmp/\u{1b}[2J
        ");
    }
}
