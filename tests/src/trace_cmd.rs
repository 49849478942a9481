//! trace-cmd, the instrument that vmhop is held against under KVM: it uses the kernel's own ring buffer and the kernel's
//! own formats, nothing of vmhop's. It gives hits; what belongs to a frame, [`crate::walk`] finds in them.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::host::{load_modules, skip};

/// For trace-cmd to begin and to end, in an emulated VM on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const KPROBES: &str = "/sys/kernel/tracing/kprobe_events";
const GROUP: &str = "vmhop_check";

/// The kernel's tracepoints.
const EVENTS: &[&str] = &[
    "sched:sched_waking",
    "sched:sched_switch",
    "kvm:kvm_entry",
    "kvm:kvm_exit",
    "kvm:kvm_msi_set_irq",
    "kvm:kvm_apic_accept_irq",
    "net:netif_rx",
    "net:netif_receive_skb",
    "net:net_dev_queue",
    "net:net_dev_start_xmit",
    "skb:skb_copy_datagram_iovec",
];

/// Functions of vmlinux and of modules that a lab has loaded, without a tracepoint, with where x86-64 passes the frame.
const FUNCTIONS: &[(&str, &str)] = &[
    ("ioeventfd_write", ""),
    ("tun_sendmsg", ""),
    ("tun_chr_write_iter", ""),
    ("tap_sendmsg", ""),
    ("tap_write_iter", ""),
    ("tap_handle_frame", "skbaddr=+0(%di):x64"),
    ("br_handle_frame", "skbaddr=+0(%di):x64"),
    ("br_dev_queue_push_xmit", "skbaddr=%dx:x64"),
    ("ip_forward", "skbaddr=%di:x64"),
    ("ip_finish_output2", "skbaddr=%dx:x64"),
];

/// One thing that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// The thread that ran.
    pub tid: u32,
    /// Tracepoint or function.
    pub point: String,
    /// The frame, by its address, where one is named.
    pub skb: u64,
    /// The device, where one is named.
    pub device: String,
    /// The thread that is woken, or that runs next.
    pub other: u32,
}

impl Hit {
    /// A line of `trace-cmd report -t`: `COMM-TID [CPU] SECONDS.NANOSECONDS: POINT: …`.
    fn parse(line: &str) -> Option<Hit> {
        let (task, rest) = line.split_once(" [")?;
        let tid = task.trim().rsplit_once('-')?.1.parse().ok()?;
        let (time, said) = rest.split_once(']')?.1.split_once(": ")?;
        let (seconds, nanos) = time.trim().split_once('.')?;
        let time_ns = seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?;
        let (point, said) = said.split_once(':')?;
        let mut hit = Hit { time_ns, tid, point: point.to_owned(), ..Hit::default() };
        // sched_switch: `COMM:TID [PRIORITY] STATE ==> COMM:TID [PRIORITY]`.
        if let Some((_, next)) = said.split_once("==> ") {
            hit.other = next.rsplit_once(" [")?.0.rsplit_once(':')?.1.parse().ok()?;
        }
        for (key, value) in said.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "skbaddr" => hit.skb = u64::from_str_radix(value.trim_start_matches("0x"), 16).ok()?,
                "dev" => hit.device = value.to_owned(),
                "pid" => hit.other = value.parse().ok()?,
                _ => {}
            }
        }
        Some(hit)
    }
}

/// Whether trace-cmd is installed; prints that it is not.
pub fn trace_cmd_or_skip() -> bool {
    let found = Command::new("trace-cmd").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip("needs trace-cmd: cargo xtask setup");
    }
    found
}

/// A recording by trace-cmd that goes on; its probes are removed when it is dropped.
pub struct TraceCmd {
    child: Child,
    file: PathBuf,
}

impl TraceCmd {
    /// Starts it; it records when this returns.
    pub fn start(folder: &Path) -> TraceCmd {
        load_modules(&["kvm", "vhost_net", "tun", "bridge", "macvtap"]);
        fs::write(KPROBES, "").unwrap();
        for (function, argument) in FUNCTIONS {
            let probe = format!("p:{GROUP}/{function} {function} {argument}");
            // Opened anew for each, for appending: what is there would be removed otherwise.
            let mut file = fs::OpenOptions::new().append(true).open(KPROBES).unwrap();
            std::io::Write::write_all(&mut file, probe.as_bytes())
                .unwrap_or_else(|error| panic!("{probe}: {error}"));
        }
        let file = folder.join("trace.dat");
        let mut command = Command::new("trace-cmd");
        command.args(["record", "-q", "-C", "mono", "-b", "20000", "-o"]).arg(&file).args(["-e", GROUP]);
        for event in EVENTS {
            command.args(["-e", event]);
        }
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let trace = TraceCmd { child, file };
        let end = Instant::now() + PATIENCE;
        while !is_on() {
            assert!(Instant::now() < end, "trace-cmd does not begin");
            sleep(Duration::from_millis(100));
        }
        // Its readers start when all events are on.
        sleep(Duration::from_secs(2));
        trace
    }

    /// Ends it and gives what it has seen, in the order of time.
    pub fn stop(mut self) -> Vec<Hit> {
        // SAFETY: sends a signal to a child of this process that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "trace-cmd does not end");
            sleep(Duration::from_millis(50));
        }
        let output = Command::new("trace-cmd").args(["report", "-t", "-i"]).arg(&self.file).output().unwrap();
        parse(&String::from_utf8_lossy(&output.stdout))
    }
}

/// All hits of a report, in the order of time.
pub fn parse(report: &str) -> Vec<Hit> {
    let mut hits: Vec<Hit> = report.lines().filter_map(Hit::parse).collect();
    hits.sort_by_key(|hit| hit.time_ns);
    hits
}

/// Whether the last one of the events is on.
fn is_on() -> bool {
    let events = EVENTS.iter().map(|event| event.replace(':', "/"));
    let on = |event: String| {
        let state = fs::read_to_string(format!("/sys/kernel/tracing/events/{event}/enable"));
        state.is_ok_and(|state| state.starts_with('1'))
    };
    events.chain([GROUP.to_owned()]).all(on)
}

impl Drop for TraceCmd {
    fn drop(&mut self) {
        // Where the test has failed it still runs, and holds the probes.
        if matches!(self.child.try_wait(), Ok(None)) {
            // SAFETY: as above.
            unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
            let _ = self.child.wait();
        }
        let _ = fs::write(KPROBES, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_to_its_hits() {
        let report = "cpus=2
       CPU 0/KVM-237   [000]   152.358506168: sched_waking:         comm=vhost-234 pid=236 prio=120 target_cpu=000
       CPU 0/KVM-237   [000]   152.359261669: sched_switch:         CPU 0/KVM:237 [120] S ==> vhost-234:236 [120]
       vhost-234-236   [000]   152.359926149: netif_receive_skb:    dev=tap0 skbaddr=0xffff888004c0c100 len=84
       vhost-234-236   [000]   152.362032612: br_handle_frame:      (ffffffffc05c9ae4) skbaddr=0xffff888004c0c100";
        let hit = |time_ns, tid, point: &str| Hit { time_ns, tid, point: point.to_owned(), ..Hit::default() };
        let skb = 0xffff_8880_04c0_c100;
        let expected = [
            Hit { other: 236, ..hit(152_358_506_168, 237, "sched_waking") },
            Hit { other: 236, ..hit(152_359_261_669, 237, "sched_switch") },
            Hit { skb, device: "tap0".to_owned(), ..hit(152_359_926_149, 236, "netif_receive_skb") },
            Hit { skb, ..hit(152_362_032_612, 236, "br_handle_frame") },
        ];
        assert_eq!(parse(report), expected);
    }
}
