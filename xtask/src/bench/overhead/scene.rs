//! Where frames are written: a tap that a process holds as a VMM does, a bridge, a veth, and a peer that drops all. In
//! network namespaces of their own, which go when it is dropped.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::process::{look_out, on_cpu, spawn};
use crate::shell::{command, output};

/// The tap.
pub const TAP: &str = "tap0";
/// The port of the bridge towards the peer.
pub const NIC: &str = "nic0";

/// Devices, namespaces and the process that writes.
pub struct Scene {
    /// The namespace with tap and bridge.
    pub host: Namespace,
    _peer: Namespace,
    writer: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// How long it took, ns.
    pub ns: u64,
    /// How long the writer had the CPU meanwhile, ns.
    pub cpu_ns: u64,
}

impl Written {
    /// For each frame, ns.
    pub fn ns_a_frame(self) -> f64 {
        self.ns as f64 / self.frames.max(1) as f64
    }
}

impl Scene {
    /// Makes it, with the program `bench-frames` on one CPU.
    pub fn new(program: &Path, cpu: usize) -> anyhow::Result<Scene> {
        let (host, peer) = (Namespace::new("host")?, Namespace::new("peer")?);
        host.ip(&format!("link add {NIC} type veth peer name eth0 netns {}", peer.0))?;
        peer.ip("link set eth0 up")?;
        host.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")?;
        let mut command = on_cpu(cpu, &["ip", "netns", "exec", &host.0].map(str::to_owned));
        command.arg(program).arg(TAP).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut writer = spawn(&mut command)?;
        let orders = writer.stdin.take().context("the writer has no input")?;
        let answers = BufReader::new(writer.stdout.take().context("the writer has no output")?);
        let mut scene = Scene { host, _peer: peer, writer, orders, answers };
        scene.answer().context("the writer of frames did not start")?;
        for device in [TAP, NIC] {
            scene.host.ip(&format!("link set {device} master br0 up"))?;
        }
        scene.host.ip("link set br0 up")?;
        // The bridge forwards from its ports' first moments on, but what they say at their start is to be over.
        (0..25).try_for_each(|_| look_out())?;
        Ok(scene)
    }

    /// The process that holds the tap.
    pub fn pid(&self) -> u32 {
        self.writer.id()
    }

    /// Writes so many frames at full rate.
    pub fn run(&mut self, frames: u64) -> anyhow::Result<Written> {
        self.order(&format!("run {frames}"))
    }

    /// Writes frames at full rate for so long, a second at a time, so that Ctrl-C is heard.
    pub fn flood(&mut self, time: Duration) -> anyhow::Result<Written> {
        let (mut left, mut all) = (time, Written { frames: 0, ns: 0, cpu_ns: 0 });
        while !left.is_zero() {
            let now = left.min(Duration::from_secs(1));
            let Written { frames, ns, cpu_ns } = self.order(&format!("flood {}", now.as_millis()))?;
            all.frames += frames;
            all.ns += ns;
            all.cpu_ns += cpu_ns;
            left -= now;
        }
        Ok(all)
    }

    fn order(&mut self, line: &str) -> anyhow::Result<Written> {
        look_out()?;
        writeln!(self.orders, "{line}").context("the writer of frames has ended")?;
        let answer = self.answer()?;
        let numbers: Vec<u64> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [frames, ns, cpu_ns] => Ok(Written { frames, ns, cpu_ns }),
            _ => bail!("the writer of frames answers `{answer}`"),
        }
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the writer of frames has ended");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.writer.kill();
        let _ = self.writer.wait();
    }
}

/// A named network namespace.
pub struct Namespace(pub String);

impl Namespace {
    fn new(what: &str) -> anyhow::Result<Namespace> {
        let namespace = Namespace(format!("vmhop-frames-{}-{what}", std::process::id()));
        ip(&["netns", "add", &namespace.0])?;
        // No frames but the bench's.
        let quiet = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
        // A kernel without IPv6 has no such switch.
        let _ = output(&mut command(&["ip", "netns", "exec", &namespace.0, "sh", "-c", quiet]));
        Ok(namespace)
    }

    fn ip(&self, words: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = words.split(' ').collect();
        ip(&[&["-n", &self.0], &words[..]].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.0]);
    }
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    crate::shell::run(&mut command(&[&["ip"], words].concat()))
}
