//! Histogram mode beside a recording of the same frames: the same counts at each hop and in each segment, nothing of frames that
//! the filter leaves out, and what it cannot know is named.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use tests::{
    lab::{Done, TestLab, root_or_skip},
    recording::{Recordings, analyse},
    vmhop::binary,
};
use tracer::report::{Report, SegmentRow};

const PINGS: u16 = 200;

/// Segments of frames that each ping and each answer has once, on any kernel.
const SEGMENTS: [(&str, &str); 6] = [
    ("tap.write", "tap.rx"),
    ("nic.queue", "nic.xmit"),
    ("nic.xmit", "nic.done"),
    ("nic.rx", "nic.stack"),
    ("tap.queue", "tap.ring"),
    ("vmm.read", "vmm.read.end"),
];

fn segment<'a>(report: &'a Report, (from, to): (&str, &str)) -> Option<&'a SegmentRow> {
    report.segments.iter().find(|row| row.from == from && row.to == to)
}

fn seen(report: &Report, hop: &str) -> u64 {
    report.hops.iter().find(|row| row.hop == hop).map_or(0, |row| row.seen)
}

/// What both saw: the same frames, at nearly the same times.
fn assert_alike(counted: &Report, recorded: &Report) {
    for hops in SEGMENTS {
        let (Some(own), Some(other)) = (segment(counted, hops), segment(recorded, hops)) else {
            panic!("{hops:?} is not in both: {:?}", counted.segments)
        };
        assert_eq!((own.count, &own.layer), (u64::from(PINGS), &other.layer), "{hops:?}");
        // Not how long they are, but that both mean the same by it.
        let (mean, median) = (own.mean_ns.unwrap(), own.p50_ns.unwrap() as f64);
        let theirs = other.p50_ns.unwrap() as f64;
        assert!(median < 10.0 * theirs && theirs < 10.0 * median, "{hops:?}: {median}, recorded {theirs}");
        assert!(mean <= own.max_ns.unwrap() as f64 && own.p50_ns <= own.p99_ns, "{hops:?}: {own:?}");
    }
}

#[test]
fn the_kernels_histograms_count_what_a_recording_of_all_events_has() {
    if !root_or_skip("histogram mode") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let ping = ["ping", "-q", "-c", &PINGS.to_string(), "-i", "0.02", "192.0.2.2"];
    let options = ["--mode", "histogram", "--filter", "icmp"];
    let (all, (path, done)) = recordings.around(&[lab.vm()], "all.vmhop", || {
        recordings.during(&lab, "counted.vmhop", &options, "peer", &ping)
    });
    assert_eq!(done.code, Some(0), "{}{}", done.text(), done.stderr);
    assert!(!done.text().contains("could not be attached"), "{}", done.text());
    let ((counted, _), (recorded, exchanges)) = (analyse(&path), analyse(&all));
    assert!(exchanges.len() >= usize::from(PINGS), "{}", exchanges.len());
    let passages = &counted.passages;
    let both = (passages.transmitted, passages.received, passages.complete, passages.dropped);
    assert_eq!(both, (PINGS.into(), PINGS.into(), 2 * u64::from(PINGS), 0), "{passages:?}");
    assert_eq!(passages.bytes, 2 * u64::from(PINGS) * 98);
    for hop in
        ["tap.rx", "nic.queue", "nic.xmit", "nic.done", "nic.stack", "tap.queue", "tap.ring", "vmm.read"]
    {
        assert_eq!(seen(&counted, hop), u64::from(PINGS), "{hop}");
    }
    assert_alike(&counted, &recorded);
    let shares: f64 = counted.layers.iter().map(|row| row.share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{:?}", counted.layers);
    assert_eq!(counted.bill[0].frames, 2 * u64::from(PINGS));
    assert!(counted.recording.not_known.iter().any(|what| what.contains("exchanges")));
    assert!(done.text().contains("Not known in histogram mode"), "{}", done.text());
}

#[test]
fn what_histogram_mode_cannot_do_is_refused_with_the_remedy() {
    if !root_or_skip("options of histogram mode") {
        return;
    }
    for words in [
        &["record", "--mode", "histogram", "--sample", "1/4"][..],
        &["record", "--mode", "histogram", "--xdp", "generic"],
    ] {
        let done: Done = Command::new(binary()).args(words).output().unwrap().into();
        assert!(done.code == Some(2) && done.stderr.contains("take --mode stream"), "{words:?}: {done:?}");
    }
}
