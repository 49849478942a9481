//! Recordings made in a lab, and what a test asks of them.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]
#![expect(clippy::print_stderr, reason = "a failed test says where to look")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tracer::{
    analysis::{EachExchange, analyse_with},
    correlate::{Limits, exchange::Exchange},
    latency::Layer,
    latency::charge,
    latency::charge_turn,
    record::RecordReader,
    report::Report,
};

use crate::{
    lab::{Done, TestLab},
    vmhop::binary,
};

/// A folder for recordings. Those of a test that failed are kept, and it is said where.
pub struct Recordings {
    dir: TempDir,
}

impl Drop for Recordings {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("its recordings are in {}", self.dir.path().display());
        }
    }
}

impl Recordings {
    /// An empty one.
    pub fn new() -> Recordings {
        Recordings { dir: tempfile::tempdir().unwrap() }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `vmhop record --vm LAB -o FILE OPTIONS…`, not started yet.
    pub fn command(&self, lab: &TestLab, file: &str, options: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["record", "--vm", &lab.vm(), "-o"]).arg(self.path(file)).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Records while `words` run in `place`; gives the recording's path and what was printed.
    pub fn during(
        &self,
        lab: &TestLab,
        file: &str,
        options: &[&str],
        place: &str,
        words: &[&str],
    ) -> (PathBuf, Done) {
        let mut command = self.command(lab, file, options);
        command.arg("--").arg(binary()).args(["lab", "exec", "--name", lab.name(), place, "--"]).args(words);
        let done: Done = command.output().unwrap().into();
        (self.path(file), done)
    }
}

/// How long vmhop may take to attach, in a machine that is emulated and busy.
const ATTACHED_WITHIN: Duration = Duration::from_secs(300);

impl Recordings {
    /// Records these VMs while the test itself does something: what vmhop runs meanwhile only waits for its end.
    pub fn around<T>(&self, vms: &[String], file: &str, work: impl FnOnce() -> T) -> (PathBuf, T) {
        let (ready, over) = (self.path("ready"), self.path("over"));
        for flag in [&ready, &over] {
            let _ = fs::remove_file(flag);
        }
        let wait = format!(": > {}; until [ -e {} ]; do sleep 0.1; done", ready.display(), over.display());
        let mut command = Command::new(binary());
        command.arg("record").args(vms.iter().flat_map(|vm| ["--vm", vm]));
        command.arg("-o").arg(self.path(file)).args(["--", "sh", "-c", &wait]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut recorder = Recorder { child: Some(command.spawn().unwrap()), over };
        recorder.attached(&ready);
        let result = work();
        let done = recorder.finish();
        assert_eq!(done.code, Some(0), "{}{}", done.text(), done.stderr);
        (self.path(file), result)
    }
}

/// A vmhop that records; told to end when dropped.
struct Recorder {
    child: Option<Child>,
    over: PathBuf,
}

impl Recorder {
    /// Waits until all programs are attached.
    fn attached(&mut self, ready: &Path) {
        let end = Instant::now() + ATTACHED_WITHIN;
        while !ready.exists() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none() && Instant::now() < end, "{:?}", self.finish());
            sleep(Duration::from_millis(50));
        }
    }

    fn finish(&mut self) -> Done {
        fs::write(&self.over, "").unwrap();
        self.child.take().unwrap().wait_with_output().unwrap().into()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.finish();
        }
    }
}

impl Default for Recordings {
    fn default() -> Recordings {
        Recordings::new()
    }
}

/// The report of a recording, with its exchanges.
pub fn analyse(path: &Path) -> (Report, Vec<Exchange>) {
    let mut reader = RecordReader::open(path).unwrap();
    let mut exchanges = Vec::new();
    let mut each = EachExchange(|exchange: &Exchange| exchanges.push(exchange.clone()));
    let report = analyse_with(&mut reader, Limits::default(), &mut each).unwrap();
    (report, exchanges)
}

/// Time of an exchange by layer, ns, from its stamps.
pub fn time_in(exchange: &Exchange, layers: &[Layer]) -> u64 {
    let pairs = exchange.stamps.windows(2).enumerate();
    let in_layers = pairs.filter(|(index, pair)| {
        let turn = index + 1 == exchange.turn;
        let layer =
            if turn { charge_turn(pair[0].hop, pair[1].hop) } else { charge(pair[0].hop, pair[1].hop) };
        layers.contains(&layer)
    });
    in_layers.map(|(_, pair)| pair[1].time_ns - pair[0].time_ns).sum()
}

/// Asserts what holds for every honest report: layers add up to the mean, no segment is negative.
pub fn assert_additive(report: &Report) {
    for group in report.exchanges.groups.iter().filter(|group| group.count > 0) {
        let sum: f64 = group.layers.iter().map(|layer| layer.mean_ns).sum();
        let mean = group.mean_ns.unwrap();
        assert!(
            (sum - mean).abs() <= mean / 1000.0,
            "{} by {}: layers {sum}, mean {mean}",
            group.kind,
            group.initiator
        );
    }
    for segment in &report.segments {
        assert_eq!(segment.negative, 0, "{} to {}", segment.from, segment.to);
    }
}
