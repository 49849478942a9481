//! The tools that are held against each other, how each is started, and what it came to.

use std::time::Duration;

use serde::Serialize;

use super::{
    Bench,
    ftrace::Ftrace,
    process::{End, Process, Ready, Started},
    recorded::Recorded,
    scene::{NIC, TAP},
    stats::{Pair, Summary},
};

/// The floor at all five hits of a forwarded frame.
pub const FLOOR: &str = "floor";
/// The floor at the hits of three of vmhop's hops.
pub const FLOOR_HOPS: &str = "floor-hops";
/// vmhop with three hops.
pub const STREAM_HOPS: &str = "stream-hops";
/// vmhop with five hits.
pub const STREAM_FIVE: &str = "stream-five";
/// The same, in the other modes.
pub const SAMPLE_HOPS: &str = "sample-hops";
/// See above.
pub const HISTOGRAM_HOPS: &str = "histogram-hops";
/// See above.
pub const HISTOGRAM_FIVE: &str = "histogram-five";
/// bpftrace's latency from point to point, four points.
pub const BPFTRACE_FOUR: &str = "bpftrace-latency-4";
/// ftrace at the same tracepoints.
pub const FTRACE: &str = "ftrace";

/// Hops that are served by three of the tracepoints and nothing else: 4 hits, 3 records.
pub const HOPS: &str = "tap.rx,nic.queue,nic.xmit";
/// With the arrival at the far end: 5 hits, 4 records.
const FIVE: &str = "tap.rx,nic.queue,nic.xmit,nic.done";

const TRACEPOINTS: [&str; 4] = ["netif_receive_skb", "net_dev_queue", "net_dev_start_xmit", "net_dev_xmit"];

/// A tool.
pub struct Tool {
    /// What it is called in the table and by `--only`.
    pub name: &'static str,
    /// How often a frame meets one of its programs.
    pub hits: u32,
    kind: Kind,
}

enum Kind {
    /// Programs that read the clock, at these tracepoints.
    Floor(&'static [&'static str]),
    /// `vmhop record` with these options.
    Vmhop(&'static [&'static str]),
    Bpftrace(&'static str),
    Ftrace,
    /// At these tracepoints.
    Perf(&'static [&'static str]),
    /// On tap and NIC.
    Tcpdump,
}

const fn tool(name: &'static str, hits: u32, kind: Kind) -> Tool {
    Tool { name, hits, kind }
}

/// All of them. A forwarded frame meets netif_receive_skb twice: from the tap and at the peer.
pub const TOOLS: &[Tool] = &[
    tool(FLOOR, 5, Kind::Floor(&TRACEPOINTS)),
    tool(FLOOR_HOPS, 4, Kind::Floor(&["netif_receive_skb", "net_dev_queue", "net_dev_start_xmit"])),
    // Beside the five: tap.write by sys_enter, nic.done by netif_rx, the peer's drop by kfree_skb.
    tool("stream", 7, Kind::Vmhop(&[])),
    tool(STREAM_FIVE, 5, Kind::Vmhop(&["--hops", FIVE])),
    tool(STREAM_HOPS, 4, Kind::Vmhop(&["--hops", HOPS])),
    tool("stream-hops-ring", 4, Kind::Vmhop(&["--buffers", "ring", "--hops", HOPS])),
    tool("sample", 7, Kind::Vmhop(&["--sample", "1/64"])),
    tool(SAMPLE_HOPS, 4, Kind::Vmhop(&["--sample", "1/64", "--hops", HOPS])),
    tool("histogram", 7, Kind::Vmhop(&["--mode", "histogram"])),
    tool(HISTOGRAM_FIVE, 5, Kind::Vmhop(&["--mode", "histogram", "--hops", FIVE])),
    tool(HISTOGRAM_HOPS, 4, Kind::Vmhop(&["--mode", "histogram", "--hops", HOPS])),
    tool(
        "bpftrace-count-2",
        3,
        Kind::Bpftrace("rt:netif_receive_skb { @[1] = count(); } rt:net_dev_start_xmit { @[2] = count(); }"),
    ),
    tool(
        "bpftrace-count-4",
        5,
        Kind::Bpftrace(
            "rt:netif_receive_skb { @[1] = count(); } rt:net_dev_queue { @[2] = count(); } \
             rt:net_dev_start_xmit { @[3] = count(); } rt:net_dev_xmit { @[4] = count(); }",
        ),
    ),
    tool(
        "bpftrace-latency-2",
        3,
        Kind::Bpftrace(
            "rt:netif_receive_skb { @at[arg0] = nsecs; } \
             rt:net_dev_start_xmit /@at[arg0]/ { @ns = hist(nsecs - @at[arg0]); delete(@at[arg0]); }",
        ),
    ),
    tool(
        BPFTRACE_FOUR,
        5,
        Kind::Bpftrace(
            "rt:netif_receive_skb { @at[arg0] = nsecs; } \
             rt:net_dev_queue /@at[arg0]/ { @bridge = hist(nsecs - @at[arg0]); @at[arg0] = nsecs; } \
             rt:net_dev_start_xmit /@at[arg0]/ { @queue = hist(nsecs - @at[arg0]); @at[arg0] = nsecs; } \
             rt:net_dev_xmit /@at[arg0]/ { @driver = hist(nsecs - @at[arg0]); delete(@at[arg0]); }",
        ),
    ),
    tool(FTRACE, 5, Kind::Ftrace),
    tool("perf-2", 3, Kind::Perf(&["netif_receive_skb", "net_dev_start_xmit"])),
    tool("perf-4", 5, Kind::Perf(&TRACEPOINTS)),
    tool("tcpdump", 2, Kind::Tcpdump),
];

/// What a tool came to.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    /// The tool.
    pub name: String,
    /// How often a frame meets one of its programs.
    pub hits: u32,
    /// ns a frame.
    pub pairs: Vec<Pair>,
    /// Events that it recorded, where it says so.
    pub seen: Option<u64>,
    /// Events that it lost, where it says so.
    pub lost: Option<u64>,
    /// Why it was not measured.
    pub absent: Option<String>,
}

impl Row {
    /// What the pairs come to; nothing where it was not measured.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.pairs)
    }

    /// What a hit adds, ns.
    pub fn added_a_hit(&self) -> Option<f64> {
        self.summary().map(|summary| summary.added / f64::from(self.hits))
    }
}

/// A tool at work; dropping it ends it.
pub enum Attached {
    /// vmhop, which tells what it saw and lost.
    Vmhop(Process),
    /// Other programs.
    Processes(Vec<Process>),
    /// The kernel's own tracer.
    Ftrace(Ftrace),
}

impl Attached {
    /// Detaches; gives what was recorded, where the tool says.
    pub fn stop(self) -> anyhow::Result<Option<Recorded>> {
        match self {
            Attached::Vmhop(process) => Ok(Recorded::parse(&process.stop()?)),
            Attached::Processes(processes) => {
                processes.into_iter().try_for_each(|process| process.stop().map(drop))?;
                Ok(None)
            }
            Attached::Ftrace(ftrace) => ftrace.stop().map(|()| None),
        }
    }
}

impl Tool {
    /// Starts it; or says why it is not there.
    pub fn attach(&self, bench: &Bench) -> anyhow::Result<Result<Attached, String>> {
        match self.kind {
            Kind::Floor(tracepoints) => {
                let words = [&[bench.built("bench-floor")], &strings(tracepoints)[..]].concat();
                bench.start(&words, Ready::Says("attached"), End::Input).map(one)
            }
            Kind::Vmhop(options) => bench.record(&bench.scene_vm(), &strings(options)).map(vmhop),
            Kind::Bpftrace(script) => {
                let bpftrace = match bench.bpftrace() {
                    Ok(words) => words,
                    Err(why) => return Ok(Err(why)),
                };
                // Probes are attached before the first interval is over.
                let script = format!("{script} interval:ms:300 {{ printf(\"attached\\n\"); }}");
                let words = [bpftrace, strings(&["-B", "line", "-e", &script])].concat();
                bench.start(&words, Ready::Says("attached\n"), End::Interrupt).map(one)
            }
            Kind::Ftrace => Ok(Ok(Attached::Ftrace(Ftrace::attach(&bench.tracefs()?, &TRACEPOINTS)?))),
            Kind::Perf(tracepoints) => perf(bench, tracepoints),
            Kind::Tcpdump => tcpdump(bench),
        }
    }
}

fn one(started: Started) -> Result<Attached, String> {
    match started {
        Started::Running(process) => Ok(Attached::Processes(vec![process])),
        Started::Refused(why) => Err(why),
    }
}

fn vmhop(started: Started) -> Result<Attached, String> {
    match started {
        Started::Running(process) => Ok(Attached::Vmhop(process)),
        Started::Refused(why) => Err(why),
    }
}

fn perf(bench: &Bench, tracepoints: &[&str]) -> anyhow::Result<Result<Attached, String>> {
    if let Err(why) = installed("perf", "linux-perf") {
        return Ok(Err(why));
    }
    bench.tracefs()?;
    let events = tracepoints.iter().map(|name| format!("net:{name}")).collect::<Vec<_>>().join(",");
    let words = strings(&["perf", "record", "-a", "-e", &events, "-o", &bench.scratch_file("perf.data")]);
    bench.start(&words, Ready::After(Duration::from_millis(1500)), End::Interrupt).map(one)
}

fn tcpdump(bench: &Bench) -> anyhow::Result<Result<Attached, String>> {
    if let Err(why) = installed("tcpdump", "tcpdump") {
        return Ok(Err(why));
    }
    let mut processes = Vec::new();
    for device in [TAP, NIC] {
        let netns = ["ip", "netns", "exec", &bench.scene_netns()].map(str::to_owned);
        let words = [&netns[..], &strings(&["tcpdump", "-n", "-i", device, "-w", "/dev/null"])].concat();
        match bench.start(&words, Ready::Says("listening on"), End::Interrupt)? {
            Started::Running(process) => processes.push(process),
            Started::Refused(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(Attached::Processes(processes)))
}

/// Whether a program is there, and if not, how to get it.
pub fn installed(program: &str, package: &str) -> Result<(), String> {
    match crate::setup::find(program) {
        Some(_) => Ok(()),
        None => Err(format!("not installed: apt-get install {package}")),
    }
}

/// Words of one's own.
pub fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_name_of_its_own() {
        for (index, tool) in TOOLS.iter().enumerate() {
            assert!(TOOLS[..index].iter().all(|other| other.name != tool.name), "{}", tool.name);
        }
    }

    #[test]
    fn what_is_judged_is_measured() {
        let judged = [
            FLOOR,
            FLOOR_HOPS,
            STREAM_HOPS,
            STREAM_FIVE,
            SAMPLE_HOPS,
            HISTOGRAM_HOPS,
            HISTOGRAM_FIVE,
            BPFTRACE_FOUR,
            FTRACE,
        ];
        assert!(judged.iter().all(|name| TOOLS.iter().any(|tool| tool.name == *name)));
    }

    #[test]
    fn what_is_compared_hop_by_hop_has_the_same_hits() {
        let hits = |name: &str| TOOLS.iter().find(|tool| tool.name == name).map(|tool| tool.hits);
        for name in [STREAM_HOPS, SAMPLE_HOPS, HISTOGRAM_HOPS] {
            assert_eq!(hits(name), hits(FLOOR_HOPS), "{name}");
        }
        for name in [STREAM_FIVE, HISTOGRAM_FIVE, BPFTRACE_FOUR, FTRACE] {
            assert_eq!(hits(name), hits(FLOOR), "{name}");
        }
    }
}
