//! The four levels of a download and of a ping, against captures of the same frames: equal to the frame and byte.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::{
    fs,
    net::IpAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use tests::{
    host::skip,
    lab::{TestLab, root_or_skip},
    recording::Recordings,
};
use tracer::{
    analysis::analyse_with,
    correlate::Limits,
    levels::{Levels, Protocol, Selection},
    record::RecordReader,
};

const GUEST: &str = "192.0.2.2";
const PEER: &str = "192.0.2.3";
/// Payload of a segment with timestamps on Ethernet.
const SEGMENT: u64 = 1448;
/// How much the stamps of a capture may be off.
const STAMPS_NS: u64 = 20_000_000;

/// Where to capture, and the device at which vmhop counts the same frames.
const PLACES: [(&str, &str, &str); 3] =
    [("host", "nic0", "nic0"), ("host", "tap0", "tap0"), ("peer", "eth0", "nic0")];

/// One way of the four levels.
#[derive(Debug, Default, PartialEq, Eq)]
struct Way {
    frames: u64,
    bytes: [u64; 3],
    payload_frames: u64,
    payload_bytes: u64,
}

/// A capture that runs.
struct Dump(Child);

impl Dump {
    fn start(lab: &TestLab, (place, device, _): (&str, &str, &str), file: &Path) -> Dump {
        let line =
            ["exec", place, "--", "tcpdump", "-i", device, "-B", "65536", "-U", "-s", "128", "-w", "-"];
        let mut command = lab.command(&[&line[..], &["--time-stamp-precision=nano"]].concat()).unwrap();
        Dump(command.stdout(fs::File::create(file).unwrap()).spawn().unwrap())
    }

    fn end(self) {
        // SAFETY: sends a signal to a child of this process that has not been waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGINT) };
        let said = String::from_utf8(self.0.wait_with_output().unwrap().stderr).unwrap();
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
    }
}

/// Records a command and captures what passes meanwhile; gives the levels that vmhop counted.
fn record(
    lab: &TestLab,
    recordings: &Recordings,
    name: &str,
    place: &str,
    line: &str,
) -> (Levels, RecordReader) {
    let file = |device: &str, at: &str| recordings.path(&format!("{name}-{at}-{device}.pcap"));
    let dumps = PLACES.map(|which| Dump::start(lab, which, &file(which.1, which.0)));
    sleep(Duration::from_secs(2));
    // What ends a connection comes after the command's end.
    let words = ["sh", "-c", &format!("{line}; sleep 1")];
    let (path, done) = recordings.during(lab, &format!("{name}.vmhop"), &[], place, &words);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    dumps.into_iter().for_each(Dump::end);
    let mut reader = RecordReader::open(&path).unwrap();
    let mut levels = Levels::default();
    let report = analyse_with(&mut reader, Limits::default(), &mut levels).unwrap();
    assert_eq!(report.losses.ring_total, 0, "{:?}", report.losses);
    (levels, reader)
}

/// Fields of the frames of a capture that a display filter of tshark's lets pass.
fn fields(file: &Path, filter: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-Y", filter, "-T", "fields", "-E", "separator=,"]);
    command.args(names.iter().flat_map(|name| ["-e", name])).stderr(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Seconds and nanoseconds as ns.
fn nanoseconds(text: &str) -> u64 {
    let (seconds, fraction) = text.split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() * 1_000_000_000 + fraction.parse::<u64>().unwrap()
}

/// The levels of a capture's TCP, towards the peer and from it, by tshark's fields; a super-frame is cut by arithmetic.
fn captured(file: &Path) -> ([Way; 2], [u64; 2]) {
    let names = ["frame.len", "ip.len", "ip.hdr_len", "tcp.hdr_len", "ip.dst", "frame.time_epoch"];
    let mut ways = [Way::default(), Way::default()];
    let (mut times, mut payload_times) = (Vec::new(), Vec::new());
    for row in fields(file, "tcp.port == 80", &names) {
        let number = |at: usize| row[at].parse::<u64>().unwrap();
        let (length, headers) = (number(0), number(2) + number(3));
        // The total length of a super-frame means nothing, that of a short one tells its padding.
        let packet = if length > 1514 { length - 14 } else { number(1) };
        let payload = packet - headers;
        let frames = payload.div_ceil(SEGMENT).max(1);
        let way = &mut ways[usize::from(row[4] != PEER)];
        way.frames += frames;
        way.bytes[0] += length + (frames - 1) * (14 + headers);
        way.bytes[1] += packet + (frames - 1) * headers;
        way.bytes[2] += packet + (frames - 1) * headers - frames * number(2);
        times.push(nanoseconds(&row[5]));
        if payload > 0 {
            way.payload_frames += frames;
            way.payload_bytes += payload;
            payload_times.push(nanoseconds(&row[5]));
        }
    }
    let duration = |times: &[u64]| times.iter().max().unwrap() - times.iter().min().unwrap();
    (ways, [duration(&times), duration(&payload_times)])
}

fn slot(reader: &RecordReader, device: &str) -> u8 {
    reader.header().devices.iter().find(|entry| entry.device.name == device).unwrap().slot
}

fn select(reader: &RecordReader, device: &str, protocol: Protocol) -> Selection {
    let station = vec![PEER.parse::<IpAddr>().unwrap()];
    Selection { device: slot(reader, device), protocol, station, port: None }
}

fn a_download_has_the_levels_of_its_captures(lab: &TestLab, recordings: &Recordings) {
    let fetch = format!("busybox wget -q -O /dev/null http://{GUEST}/40MB");
    let (levels, reader) = record(lab, recordings, "download", "peer", &fetch);
    for (place, device, counted_at) in PLACES {
        let file = recordings.path(&format!("download-{place}-{device}.pcap"));
        let (captured, durations) = captured(&file);
        let table = levels.table(&Selection { port: Some(80), ..select(&reader, counted_at, Protocol::Tcp) });
        let rows = &table.rows;
        let counted = [false, true].map(|back| {
            let at = |level: usize| if back { rows[level].from } else { rows[level].towards };
            assert!([1, 2].iter().all(|&level| at(level).frames == at(0).frames));
            Way {
                frames: at(0).frames,
                bytes: [0, 1, 2].map(|level| at(level).bytes),
                payload_frames: at(3).frames,
                payload_bytes: at(3).bytes,
            }
        });
        assert_eq!(counted, captured, "{device}");
        assert_eq!(table.left_out, 0);
        // The file, its HTTP header, and no more.
        assert!((40_000_000..40_001_000).contains(&counted[0].payload_bytes), "{counted:?}");
        for (row, captured) in [(&rows[0], durations[0]), (&rows[3], durations[1])] {
            let off = row.both.duration_ns.abs_diff(captured);
            assert!(off < STAMPS_NS, "{device}: {} and {captured} ns", row.both.duration_ns);
        }
    }
}

fn a_ping_has_the_frames_of_its_captures(lab: &TestLab, recordings: &Recordings) {
    let (levels, reader) = record(lab, recordings, "ping", "guest", &format!("ping -c 4 {PEER}"));
    for (place, device, counted_at) in PLACES {
        let file = recordings.path(&format!("ping-{place}-{device}.pcap"));
        let ping = levels.ping(&select(&reader, counted_at, Protocol::Echo));
        for (kind, counted) in [(8, ping.requests), (0, ping.replies)] {
            let rows = fields(&file, &format!("icmp.type == {kind}"), &["frame.len", "frame.time_epoch"]);
            let bytes: u64 = rows.iter().map(|row| row[0].parse::<u64>().unwrap()).sum();
            assert_eq!((counted.frames, counted.bytes), (rows.len() as u64, bytes), "{device}");
            // As the study's tables have it.
            assert_eq!((counted.frames, counted.bytes), (4, 392), "{device}");
            let times: Vec<u64> = rows.iter().map(|row| nanoseconds(&row[1])).collect();
            let off = counted.duration_ns.abs_diff(times[3] - times[0]);
            assert!(off < STAMPS_NS, "{device}: {} ns and {times:?}", counted.duration_ns);
        }
    }
}

#[test]
fn the_four_levels_are_those_of_a_capture() {
    if !root_or_skip("the_four_levels_are_those_of_a_capture") {
        return;
    }
    for program in ["tcpdump", "tshark"] {
        if Command::new(program).arg("--version").output().is_err() {
            return skip(&format!("the four levels against a capture needs {program}"));
        }
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    a_download_has_the_levels_of_its_captures(&lab, &recordings);
    a_ping_has_the_frames_of_its_captures(&lab, &recordings);
}
