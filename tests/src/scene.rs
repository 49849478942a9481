//! Scenes of real traffic: each is recorded, and what the recording and its report say is held against what the
//! devices and the programs that made the traffic say.
//!
//! A scene begins and ends in a moment at which nothing passes the NIC, and the events between the two moments are
//! compared with the device's counters: frame for frame and byte for byte, without a tolerance.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]
#![expect(clippy::print_stderr, reason = "the figures are for whoever reads the log")]

use std::{env, fmt::Write as _, ops::Range, path::Path, process::Child};

use tracer::{
    correlate::exchange::Exchange,
    record::{Item, RecordReader},
    report::Report,
};
use tracer_common::hop::Hop;

use crate::{
    device::{Counters, Port},
    lab::TestLab,
    recording::{Recordings, analyse},
};

/// Of the frames that must have passed a hop, and of those seen there, how many may be missing.
const MISSING: f64 = 0.01;
/// How much more of an exchange may be unattributed behind an emulated NIC. Of what its driver tells to be sent only when
/// the answer is there, the NIC's time cannot be told from the wire's.
const LATE_DONE: f64 = 0.2;
/// Passages that may be ambiguous.
const AMBIGUOUS: f64 = 0.01;

/// Recordings of which one must show every frame. There are kernels that run no BPF program on top of certain processes:
/// frames that a softirq moves while it interrupts such a one pass unseen by all hooks, and only the device counts them.
const ATTEMPTS: usize = 3;

/// Traffic, and what its report must say.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// What it is about.
    pub name: &'static str,
    /// Lines for the shell before it, each with the place where it runs.
    pub before: &'static [(&'static str, &'static str)],
    /// Where the traffic begins.
    pub place: &'static str,
    /// A line for the shell that makes it.
    pub line: &'static str,
    /// Kind and initiator of exchanges, and how many there must be at least.
    pub exchanges: &'static [(&'static str, &'static str, u64)],
    /// How much of the mean exchange may be unattributed.
    pub residual: f64,
    /// Further copies of floods, at least.
    pub branches: u64,
    /// Frames that the peer sends to itself as well: its own copies of what it sends to everybody (ip_mc_output) arrive
    /// where those arrive that the NIC has sent.
    pub looped: u64,
    /// Bytes of each received frame that the device leaves out of its counters.
    pub uncounted: u64,
}

impl Scene {
    /// Of this name, made by `line` in `place`.
    pub const fn new(name: &'static str, place: &'static str, line: &'static str) -> Scene {
        Scene {
            name,
            before: &[],
            place,
            line,
            exchanges: &[],
            residual: 0.02,
            branches: 0,
            looped: 0,
            uncounted: 0,
        }
    }

    /// After these lines.
    pub const fn after(self, before: &'static [(&'static str, &'static str)]) -> Scene {
        Scene { before, ..self }
    }

    /// With at least these exchanges.
    pub const fn with(self, exchanges: &'static [(&'static str, &'static str, u64)]) -> Scene {
        Scene { exchanges, ..self }
    }

    /// The device counts what it has received without this many bytes of each frame: a veth that polls (veth_xdp_rcv_skb,
    /// drivers/net/veth.c) counts when eth_type_trans has taken the Ethernet header off.
    pub const fn without(self, uncounted: u64) -> Scene {
        Scene { uncounted, ..self }
    }

    /// What the device would have counted with all bytes.
    fn counted(&self, mut counters: Counters) -> Counters {
        counters.rx.bytes += self.uncounted * counters.rx.frames;
        counters
    }

    /// With so many frames that the peer sends to itself as well.
    pub const fn looped(self, looped: u64) -> Scene {
        Scene { looped, ..self }
    }

    /// With at least so many further copies of floods.
    pub const fn flooded(self, branches: u64) -> Scene {
        Scene { branches, ..self }
    }
}

/// What a NIC's counters count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// The frames that its driver hands on and takes, super-frames as one.
    Frames,
    /// The same, each with its FCS: so does QEMU's e1000e.
    FramesWithFcs,
    /// The segments that are on the wire: so does QEMU's igb.
    Segments,
}

impl Counts {
    fn of(self, passed: &Passed) -> Counters {
        match self {
            Counts::Frames => passed.frames,
            Counts::FramesWithFcs => passed.frames.with(FCS),
            Counts::Segments => passed.wire,
        }
    }
}

/// The frame check sequence, bytes (IEEE 802.3).
const FCS: u64 = 4;

/// A lab in which scenes are played, with what serves them.
pub struct Stage {
    /// The lab.
    pub lab: TestLab,
    /// The NIC.
    pub nic: Port,
    /// What it counts.
    pub counts: Counts,
    /// Frames that the host itself may send in a scene: those of a router, which asks by ARP, leave the bridge without having
    /// entered it.
    pub own: u64,
    recordings: Recordings,
    servers: Vec<Child>,
}

/// What a scene was, for further questions.
pub struct Played {
    /// The report.
    pub report: Report,
    /// Its exchanges.
    pub exchanges: Vec<Exchange>,
    /// What the NIC counted.
    pub counted: Counters,
    /// What was seen there.
    pub seen: Counters,
}

impl Played {
    /// Whether frames passed the NIC that were not seen.
    fn has_unseen(&self) -> bool {
        self.seen.rx.frames < self.counted.rx.frames || self.seen.tx.frames < self.counted.tx.frames
    }
}

impl Stage {
    /// A lab of these options, with an iperf3 server on the peer.
    pub fn new(options: &[&str]) -> Stage {
        let lab = TestLab::up_with(options).unwrap();
        let nic = Port { netns: format!("vmhop-{}-host", lab.name()), device: nic_of(options) };
        let server = lab.command(&["exec", "peer", "--", "iperf3", "-s"]).unwrap().spawn().unwrap();
        let recordings = Recordings::new();
        let stage = Stage { lab, nic, counts: Counts::Frames, own: 0, recordings, servers: vec![server] };
        stage.hear_guests_out();
        stage
    }

    /// Waits until the guests have said which multicast groups their new addresses are in, twice within two seconds (RFC 3810,
    /// 9.14): a host that routes is asked to take these frames itself, and drops them.
    fn hear_guests_out(&self) {
        for number in 0..self.vms().len() {
            let tap = Port { netns: self.nic.netns.clone(), device: format!("tap{number}") };
            tap.when_quiet();
        }
    }

    /// With a NIC that counts this.
    pub fn counting(mut self, counts: Counts) -> Stage {
        self.counts = counts;
        self
    }

    /// With so many frames of the host's own in a scene.
    pub fn with_own(mut self, own: u64) -> Stage {
        self.own = own;
        self
    }

    /// The peer's namespace.
    pub fn peer(&self) -> String {
        format!("vmhop-{}-peer", self.lab.name())
    }

    /// All its VMs.
    fn vms(&self) -> Vec<String> {
        let status = self.lab.status().unwrap();
        let guests = status["guests"].as_array().unwrap();
        guests.iter().map(|guest| guest["vm"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs a line for the shell; it failing fails the test.
    pub fn shell(&self, place: &str, line: &str) -> String {
        let done = self.lab.exec(place, &["sh", "-c", line]).unwrap();
        assert_eq!(done.code, Some(0), "{place}: {line}: {}{}", done.text(), done.stderr);
        done.text()
    }

    /// Plays the scenes one after the other; what is wrong with any of them is told at the end.
    pub fn play(&self, scenes: &[Scene]) {
        let mut wrong = String::new();
        for scene in scenes {
            let (_, faults) = self.one(scene);
            wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}\n", scene.name)));
        }
        assert!(wrong.is_empty(), "{wrong}");
    }

    /// Plays one scene; gives what was recorded, and what is wrong with it.
    pub fn one(&self, scene: &Scene) -> (Played, Vec<String>) {
        self.acted(scene, || drop(self.shell(scene.place, scene.line)))
    }

    /// As [`Stage::one`], with traffic that `act` makes.
    pub fn acted(&self, scene: &Scene, act: impl Fn()) -> (Played, Vec<String>) {
        scene.before.iter().for_each(|(place, line)| drop(self.shell(place, line)));
        let mut played = self.attempt(scene, &act);
        for _ in 1..ATTEMPTS {
            let report = &played.0.report;
            if !played.0.has_unseen() && report.losses.late <= may_be_late(report) {
                break;
            }
            played = self.attempt(scene, &act);
        }
        played
    }

    fn attempt(&self, scene: &Scene, act: &dyn Fn()) -> (Played, Vec<String>) {
        let file = format!("{}.vmhop", scene.name.replace(' ', "-"));
        let (path, (from, to)) = self.recordings.around(&self.vms(), &file, || {
            let from = self.nic.when_quiet();
            act();
            (from, self.nic.when_quiet())
        });
        let (report, exchanges) = analyse(&path);
        let passed = at_nic(&path, &self.nic, from.time_ns..to.time_ns);
        let seen = self.counts.of(&passed);
        let counted = scene.counted(to.counters - from.counters);
        let played = Played { report, exchanges, counted, seen };
        eprintln!("{}: {}", scene.name, summary(&played));
        let mut faults = faults(scene, self, &played.report);
        if seen != counted {
            faults.push(format!("at the NIC: seen {seen:?}, counted {counted:?}"));
        }
        let whole = at_nic(&path, &self.nic, 0..u64::MAX);
        let reported = reported(&played.report, &self.nic);
        if whole != reported {
            faults.push(format!("at the NIC: recorded {whole:?}, reported {reported:?}"));
        }
        (played, faults)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // `vmhop lab down` ends what lives in the lab; these are the processes that were waiting for it.
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The NIC of a lab: its own, or the one that it was lent.
fn nic_of(options: &[&str]) -> String {
    let wire = options.iter().position(|option| *option == "--wire").and_then(|at| options.get(at + 1));
    wire.and_then(|pair| pair.split(',').next()).unwrap_or("nic0").to_owned()
}

/// What passed a NIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Super-frames as one, with their bytes as they are in the host.
    pub frames: Counters,
    /// Their segments, each with headers of its own.
    pub wire: Counters,
}

/// What a recording has of a NIC's frames within a time.
pub fn at_nic(recording: &Path, nic: &Port, within: Range<u64>) -> Passed {
    let mut reader = RecordReader::open(recording).unwrap();
    let is_nic = |device: &tracer::topology::Device| {
        device.name == nic.device && device.netns_name.as_deref() == Some(&nic.netns)
    };
    let slot = reader.header().devices.iter().find(|entry| is_nic(&entry.device)).unwrap().slot;
    let mut passed = Passed::default();
    for item in reader.by_ref() {
        let Item::Event(event) = item.unwrap() else { continue };
        if event.device != Some(slot) || !within.contains(&event.time_ns) {
            continue;
        }
        let (frames, wire) = match event.hop {
            Hop::NicRx => (&mut passed.frames.rx, &mut passed.wire.rx),
            Hop::NicXmit => (&mut passed.frames.tx, &mut passed.wire.tx),
            _ => continue,
        };
        let (segments, len) = (u64::from(event.wire_frames()), u64::from(event.len));
        frames.add(1, len);
        wire.add(segments, len + (segments - 1) * u64::from(event.overhead));
    }
    passed
}

/// What a report says of a NIC.
fn reported(report: &Report, nic: &Port) -> Passed {
    let mut passed = Passed::default();
    for row in report.nics.iter().filter(|row| row.device == nic.device && row.netns == nic.netns) {
        let (frames, wire) = match &*row.way {
            "receive" => (&mut passed.frames.rx, &mut passed.wire.rx),
            _ => (&mut passed.frames.tx, &mut passed.wire.tx),
        };
        frames.add(row.frames, row.bytes);
        wire.add(row.wire_frames, row.wire_bytes);
    }
    passed
}

/// Hops of frames, at which coverage means something.
fn is_frame_hop(hop: &str) -> bool {
    !["vmm.kick", "vmm.runnable", "vmm.wake", "vmm.irq", "vcpu.enter", "nic.irq"].contains(&hop)
}

/// How many events may come too late: an emulated processor can be away for longer than the correlator waits.
fn may_be_late(report: &Report) -> u64 {
    if env::var_os("VMHOP_VM").is_some() { report.recording.events / 200 } else { 0 }
}

/// What of a report is not as it must be.
fn faults(scene: &Scene, stage: &Stage, report: &Report) -> Vec<String> {
    let late_done = if stage.counts == Counts::Frames { 0.0 } else { LATE_DONE };
    let mut faults = Vec::new();
    let mut check = |good: bool, what: String| faults.extend((!good).then_some(what));
    for row in report.hops.iter().filter(|row| is_frame_hop(&row.hop)) {
        let coverage = row.coverage.unwrap_or(1.0);
        check(coverage > 1.0 - MISSING, format!("{} of {} covered by {coverage:.4}", row.expected, row.hop));
        let unborn = match &*row.hop {
            "nic.done" => scene.looped,
            "bridge.out" => stage.own,
            _ => 0,
        };
        let seen = row.seen.saturating_sub(unborn);
        let whole = row.matched as f64 >= seen as f64 * (1.0 - MISSING);
        check(whole, format!("{} of {seen} seen at {} joined", row.matched, row.hop));
    }
    for segment in &report.segments {
        let (from, to) = (&segment.from, &segment.to);
        check(segment.negative == 0, format!("{} negative from {from} to {to}", segment.negative));
    }
    let losses = &report.losses;
    check(
        losses.ring_total + losses.undecoded + losses.evicted == 0 && losses.late <= may_be_late(report),
        format!("{} lost, {} late, {} given up", losses.ring_total, losses.late, losses.evicted),
    );
    check(losses.drops.is_empty(), format!("dropped: {:?}", losses.drops));
    let passages = &report.passages;
    let ambiguous = passages.ambiguous as f64 / passages.count.max(1) as f64;
    check(ambiguous < AMBIGUOUS, format!("{} of {} ambiguous", passages.ambiguous, passages.count));
    check(passages.branches >= scene.branches, format!("{} branches", passages.branches));
    for (kind, initiator, least) in scene.exchanges {
        let groups = || report.exchanges.groups.iter();
        let group = groups().find(|group| group.kind == *kind && group.initiator == *initiator);
        let count = group.map_or(0, |group| group.count);
        check(count >= *least, format!("{count} exchanges of {kind} by {initiator}, expected {least}"));
        let Some(group) = group.filter(|group| group.count > 0) else { continue };
        let share = group.residual_mean_ns.unwrap_or(0.0) / group.mean_ns.unwrap();
        check(
            share <= scene.residual + late_done,
            format!("{share:.3} of {kind} by {initiator} unattributed"),
        );
    }
    faults
}

/// The figures of a scene in a line or two.
fn summary(played: &Played) -> String {
    let Played { report, counted, .. } = played;
    let passages = &report.passages;
    let mut text = format!(
        "NIC {}/{} frames {}/{} bytes in/out; {} passages, {} out, {} in, {} between, {} elsewhere, {} unfinished, \
         {} dropped, {} ambiguous, {} branches",
        counted.rx.frames,
        counted.tx.frames,
        counted.rx.bytes,
        counted.tx.bytes,
        passages.count,
        passages.transmitted,
        passages.received,
        passages.between_guests,
        passages.elsewhere,
        passages.unfinished,
        passages.dropped,
        passages.ambiguous,
        passages.branches,
    );
    for group in &report.exchanges.groups {
        let share = group.residual_mean_ns.unwrap_or(0.0) / group.mean_ns.unwrap_or(1.0);
        let _ = write!(
            text,
            "\n    {} by {}: {}, {} unanswered, {} ambiguous, {} overtaken, residual {:.2} %",
            group.kind,
            group.initiator,
            group.count,
            group.unanswered,
            group.ambiguous,
            group.overtaken,
            share * 100.0
        );
    }
    for row in report.hops.iter().filter(|row| is_frame_hop(&row.hop) && row.seen > 0) {
        if row.matched < row.seen || row.coverage.is_some_and(|coverage| coverage < 1.0) {
            let coverage = row.coverage.unwrap_or(1.0);
            let _ = write!(
                text,
                "\n    {}: {} of {} joined, coverage {coverage:.4}",
                row.hop, row.matched, row.seen
            );
        }
    }
    text
}
