//! What vmhop does to real traffic in a lab: ping's round trip, and what iperf3 gets from guest to peer.

use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::{
    Bench,
    process::{Process, Started, look_out},
    stats::{Pair, Summary, median, median_of_rounded},
    tools::strings,
};
use crate::shell::{command, note, output, run};

/// The lab's addresses.
const GUEST: &str = "192.0.2.2";
const PEER: &str = "192.0.2.3";

/// Pairs, and what they come to.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Each: the median round trip, ns; or bits a second.
    pub pairs: Vec<Pair>,
    /// Of all.
    pub summary: Summary,
}

/// How long it takes until all is attached, and until all is detached again, ns: medians.
#[derive(Debug, Serialize)]
pub struct Attachment {
    /// From the start of vmhop to that of the command that it records.
    pub attach_ns: f64,
    /// From the end of that command to that of vmhop, frames on their way awaited and the report made.
    pub detach_ns: f64,
}

/// A lab; dropping it takes it down.
pub struct Lab {
    vmhop: String,
    name: String,
}

impl Lab {
    /// Makes it, its guest with iperf3 where that is wanted.
    pub fn up(bench: &Bench, with_iperf3: bool) -> anyhow::Result<Lab> {
        let lab = Lab { vmhop: bench.built("vmhop"), name: format!("bench-{}", std::process::id()) };
        let mut up = command(&[&lab.vmhop, "lab", "up", "--name", &lab.name]);
        if with_iperf3 {
            let iperf3 =
                crate::setup::find("iperf3").context("iperf3 is not installed: apt-get install iperf3")?;
            up.arg("--with").arg(iperf3);
        }
        run(&mut up)?;
        Ok(lab)
    }

    /// Attaches and detaches so many times.
    pub fn attach(&self, bench: &Bench, times: usize) -> anyhow::Result<Attachment> {
        let (mut attach, mut detach) = (Vec::new(), Vec::new());
        for _ in 0..times {
            let started = Instant::now();
            let vmhop = self.record(bench)?;
            attach.push(started.elapsed().as_nanos() as f64);
            // Without a frame there is no report.
            self.exec("peer", &["ping", "-c", "1", GUEST])?;
            let stopped = Instant::now();
            vmhop.stop()?;
            detach.push(stopped.elapsed().as_nanos() as f64);
        }
        let middle = |values: &[f64]| median(values).context("nothing was attached");
        Ok(Attachment { attach_ns: middle(&attach)?, detach_ns: middle(&detach)? })
    }

    /// vmhop, attached.
    fn record(&self, bench: &Bench) -> anyhow::Result<Process> {
        match bench.record(&format!("vmhop-{}", self.name), &strings(&[]))? {
            Started::Running(process) => Ok(process),
            Started::Refused(why) => bail!("vmhop does not start: {why}"),
        }
    }

    /// Round trips, the echo requests asked by the peer.
    pub fn ping(&self, bench: &Bench, pairs: usize) -> anyhow::Result<Compared> {
        self.compare(bench, pairs, || {
            let said = self.exec("peer", &["ping", "-c", "60", "-i", "0.01", GUEST])?;
            let times = round_trips_ns(&said);
            median_of_rounded(&times).with_context(|| format!("ping told no times: {said}"))
        })
    }

    /// Bits a second from guest to peer by TCP.
    pub fn iperf3(&self, bench: &Bench, pairs: usize) -> anyhow::Result<Compared> {
        self.compare(bench, pairs, || {
            self.exec("peer", &["iperf3", "-s", "-1", "-D"])?;
            // Until it listens.
            (0..25).try_for_each(|_| look_out())?;
            let said = self.exec("guest", &["iperf3", "-c", PEER, "-t", "3", "-J"])?;
            bits_a_second(&said).with_context(|| format!("iperf3 told no rate: {said}"))
        })
    }

    fn exec(&self, place: &str, words: &[&str]) -> anyhow::Result<String> {
        look_out()?;
        let exec = [&self.vmhop, "lab", "exec", "--name", &self.name, place, "--"];
        let mut command = command(&[&exec, words].concat());
        output(&mut command).with_context(|| format!("`{}` failed in the lab's {place}", words.join(" ")))
    }

    /// Without, with, with, without; and so on.
    fn compare(
        &self,
        bench: &Bench,
        pairs: usize,
        measure: impl Fn() -> anyhow::Result<f64>,
    ) -> anyhow::Result<Compared> {
        let mut all = Vec::new();
        for turn in 1..=pairs.div_ceil(2) {
            note(&format!("bench: lab, turn {turn} of {}", pairs.div_ceil(2)));
            let first = measure()?;
            let vmhop = self.record(bench)?;
            let (second, third) = (measure()?, measure()?);
            vmhop.stop()?;
            all.extend([Pair { without: first, with: second }, Pair { without: measure()?, with: third }]);
        }
        let summary = Summary::of(&all).context("no pair was measured")?;
        Ok(Compared { pairs: all, summary })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = run(&mut command(&[&self.vmhop, "lab", "down", "--name", &self.name])) {
            note(&format!("bench: failed to take the lab down: {error:#}"));
        }
    }
}

/// What ping says: `64 bytes from 192.0.2.2: icmp_seq=1 ttl=64 time=0.512 ms`.
fn round_trips_ns(said: &str) -> Vec<f64> {
    let time = |line: &str| {
        let (_, behind) = line.split_once("time=")?;
        behind.split(' ').next()?.parse::<f64>().ok().map(|ms| ms * 1e6)
    };
    // The first one waits for addresses to be resolved.
    said.lines().filter_map(time).skip(1).collect()
}

/// What arrived, by iperf3's JSON.
fn bits_a_second(said: &str) -> Option<f64> {
    let json: serde_json::Value = serde_json::from_str(said).ok()?;
    json["end"]["sum_received"]["bits_per_second"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_read_but_for_the_first() {
        let said = "PING 192.0.2.2 (192.0.2.2) 56(84) bytes of data.\n\
                    64 bytes from 192.0.2.2: icmp_seq=1 ttl=64 time=1.50 ms\n\
                    64 bytes from 192.0.2.2: icmp_seq=2 ttl=64 time=0.500 ms\n\
                    rtt min/avg/max/mdev = 0.500/1.0/1.5/0.5 ms\n";
        assert_eq!(round_trips_ns(said), [500_000.0]);
    }

    #[test]
    fn a_rate_is_what_arrived() {
        let said =
            r#"{"end": {"sum_sent": {"bits_per_second": 9.0}, "sum_received": {"bits_per_second": 8.5}}}"#;
        assert_eq!(bits_a_second(said), Some(8.5));
        assert_eq!(bits_a_second("iperf3: error"), None);
    }
}
