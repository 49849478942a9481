//! Whether every event is either recorded or counted as lost, and how fast the reader is.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{sys::signal::Signal, unistd::Pid};
use serde::Serialize;

use super::{
    Bench,
    process::{Started, look_out},
    recorded::Recorded,
    tools::{HOPS, strings},
};

/// The reader is taken to have nothing to do after two looks so far apart between which it had the CPU less than this.
const LOOK: Duration = Duration::from_millis(100);
const IDLE_NS: u64 = 8_000_000;
/// It has emptied the largest ring long before.
const PATIENCE: Duration = Duration::from_secs(20);
/// Memory that a recorded event takes at most, bytes.
const BYTES_AN_EVENT: u64 = 100;

/// Frames at full rate, and what became of their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Flood {
    /// Frames written.
    pub sent: u64,
    /// How long that took, ns.
    pub ns: u64,
    /// Of each hop that every frame passes: its name, events seen, events lost.
    pub hops: Vec<(String, u64, u64)>,
    /// CPU time in which the reader took what had waited, ns; none where it was never stopped.
    pub drained_in_ns: Option<u64>,
}

impl Flood {
    /// Events lost.
    pub fn lost(&self) -> u64 {
        self.hops.iter().map(|(_, _, lost)| lost).sum()
    }

    /// Events too few or too many: each frame is to be seen or lost at each hop once.
    pub fn unaccounted(&self) -> u64 {
        self.hops.iter().map(|(_, seen, lost)| (seen + lost).abs_diff(self.sent)).sum()
    }

    /// How many millions of records the reader takes in a second of its CPU time.
    pub fn million_records_a_second(&self) -> Option<f64> {
        let seen: u64 = self.hops.iter().map(|(_, seen, _)| seen).sum();
        self.drained_in_ns.filter(|ns| *ns > 0).map(|ns| seen as f64 * 1000.0 / ns as f64)
    }
}

/// Frames at full rate for so long; the reader runs.
pub fn flood(bench: &mut Bench, time: Duration) -> anyhow::Result<Flood> {
    let frames = time.as_secs_f64() * 1e9 / bench.ns_a_frame;
    bench.has_room((frames * 3.0) as u64 * BYTES_AN_EVENT)?;
    measure(bench, time, false)
}

/// Frames at full rate for so long, while the reader is stopped; then it takes what the kernel could keep.
pub fn stall(bench: &mut Bench, time: Duration) -> anyhow::Result<Flood> {
    measure(bench, time, true)
}

fn measure(bench: &mut Bench, time: Duration, stopped: bool) -> anyhow::Result<Flood> {
    let vmhop = match bench.record(&bench.scene_vm(), &strings(&["--hops", HOPS]))? {
        Started::Running(process) => process,
        Started::Refused(why) => bail!("vmhop does not start: {why}"),
    };
    if stopped {
        vmhop.signal(Signal::SIGSTOP)?;
    }
    let written = bench.scene.flood(time)?;
    let before = cpu_ns(vmhop.pid())?;
    if stopped {
        vmhop.signal(Signal::SIGCONT)?;
    }
    let after = when_idle(vmhop.pid())?;
    let json = vmhop.stop()?;
    let recorded = Recorded::parse(&json).context("vmhop's report has no hops")?;
    let asked = recorded.hops.into_iter().filter(|hop| HOPS.split(',').any(|name| name == hop.hop));
    Ok(Flood {
        sent: written.frames,
        ns: written.ns,
        hops: asked.map(|hop| (hop.hop, hop.seen, hop.lost)).collect(),
        drained_in_ns: stopped.then(|| after - before),
    })
}

/// Waits until a process has nothing to do any more; gives the CPU time that its main thread has had until then, ns.
fn when_idle(pid: Pid) -> anyhow::Result<u64> {
    let end = Instant::now() + PATIENCE;
    let mut before = cpu_ns(pid)?;
    loop {
        let look = Instant::now() + LOOK;
        while Instant::now() < look {
            look_out()?;
        }
        let now = cpu_ns(pid)?;
        if now - before < IDLE_NS {
            return Ok(before);
        }
        if Instant::now() > end {
            bail!("the reader is still at work {} s after the last frame", PATIENCE.as_secs());
        }
        before = now;
    }
}

fn cpu_ns(pid: Pid) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.with_context(|| format!("{path} has no CPU time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_too_many_does_not_make_up_for_one_too_few() {
        let hops = vec![("tap.rx".to_owned(), 11, 0), ("nic.queue".to_owned(), 5, 4)];
        let flood = Flood { sent: 10, hops, ..Flood::default() };
        assert_eq!((flood.lost(), flood.unaccounted()), (4, 2));
    }

    #[test]
    fn the_readers_rate_is_of_what_it_took_in_its_own_time() {
        let hops = vec![("tap.rx".to_owned(), 1_000_000, 7), ("nic.queue".to_owned(), 1_000_000, 7)];
        let flood = Flood { sent: 0, hops, ..Flood::default() };
        assert_eq!(flood.million_records_a_second(), None);
        let rate = Flood { drained_in_ns: Some(500_000_000), ..flood }.million_records_a_second();
        assert_eq!(rate, Some(4.0));
    }
}
