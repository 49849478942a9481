//! `vmhop diff` on recordings whose difference is known: a golden one, repeated with times that vary a little, and with
//! a NIC that is slower by a millisecond; a lab's; and a real NIC that netem delays.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tests::{
    host::{able, skip},
    lab::TestLab,
    recording::Recordings,
    truth::{condition, scene::Scene},
    vmhop::Place,
};
use tracer::{
    decode::Event,
    record::{Item, RecordReader, RecordWriter},
    recording::{Header, Note},
};
use tracer_common::hop::Hop;

/// How often the golden recording's 20 exchanges are repeated.
const REPEATS: u64 = 10;
/// Between two repetitions.
const PAUSE_NS: u64 = 100_000_000;
/// In how many attempts two real recordings must be alike: the machine may have been elsewhere.
const ATTEMPTS: usize = 3;

/// What is changed in a copy of the golden recording.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    /// By how many thousandths times are stretched; each repetition by a few more.
    stretch: u64,
    /// By how much the driver gets frames later that the host sends.
    nic_ns: u64,
    /// Of how many events `nic.done` tells that they were lost.
    lost: u64,
}

fn golden() -> (Header, Vec<Event>, Vec<Note>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/echo-peer.vmhop");
    let mut reader = RecordReader::open(path).unwrap();
    let header = reader.header().clone();
    let (mut events, mut notes) = (Vec::new(), Vec::new());
    for item in reader.by_ref() {
        match item.unwrap() {
            Item::Event(event) => events.push(event),
            Item::Note(note) => notes.push(note),
        }
    }
    events.sort_by_key(|event| event.time_ns);
    (header, events, notes)
}

/// Writes a copy of the golden recording.
fn write(path: &Path, change: Change, rename: impl Fn(&mut Header)) {
    let (mut header, events, notes) = golden();
    rename(&mut header);
    let (first, last) = (events[0].time_ns, events[events.len() - 1].time_ns);
    let mut copies = Vec::new();
    for repeat in 0..REPEATS {
        let stretched = 1000 + change.stretch + repeat * 7 % 5;
        let start = first + repeat * (2 * (last - first) + PAUSE_NS);
        // Whatever follows an answer's way into the driver comes so much later, the next question too.
        let mut late = 0;
        copies.extend(events.iter().map(|event| {
            late += if event.hop == Hop::NicXmit { change.nic_ns } else { 0 };
            Event { time_ns: start + (event.time_ns - first) * stretched / 1000 + late, ..*event }
        }));
    }
    copies.sort_by_key(|event| event.time_ns);
    let mut writer = RecordWriter::create(File::create(path).unwrap(), &header).unwrap();
    copies.iter().for_each(|event| writer.event(event).unwrap());
    for mut note in notes {
        if let Note::Counters(counters) = &mut note {
            counters.lost.insert("nic.done".to_owned(), change.lost);
        }
        writer.note(&note).unwrap();
    }
    writer.finish().unwrap();
}

/// A folder with so many recordings, each stretched a little more.
fn condition_of(place: &Place, name: &str, count: u64, first: u64, change: Change) -> String {
    fs::create_dir(place.path(name)).unwrap();
    for run in 0..count {
        let stretch = first + 2 * run;
        write(&place.path(name).join(format!("{run}.vmhop")), Change { stretch, ..change }, |_| ());
    }
    name.to_owned()
}

/// Verdict and shift of each layer of the only group.
fn layers(diff: &Value) -> Vec<(String, String, f64)> {
    let rows = diff["groups"][0]["layers"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["name"]), text(&row["verdict"]), row["mean"]["shift_ns"].as_f64().unwrap()))
        .collect()
}

fn found(diff: &Value) -> Vec<String> {
    let found = layers(diff).into_iter().filter(|(_, verdict, _)| verdict == "found");
    found.map(|(name, ..)| name).collect()
}

const SLOWER: Change = Change { stretch: 0, nic_ns: 1_000_000, lost: 0 };

#[test]
fn a_millisecond_in_the_nic_is_found_in_nic_only() {
    let place = Place::new();
    write(&place.path("base.vmhop"), Change::default(), |_| ());
    write(&place.path("other.vmhop"), Change { stretch: 1, ..SLOWER }, |_| ());
    let base = condition_of(&place, "base", 5, 0, Change::default());
    let other = condition_of(&place, "other", 5, 1, SLOWER);
    for sides in [["base.vmhop", "other.vmhop"], [&base, &other]] {
        let done = place.run(&[&["diff"], &sides[..], &["--format", "json"]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        let diff = done.json();
        assert_eq!(diff["schema"], "vmhop.diff/1");
        assert_eq!(found(&diff), ["nic"], "{:?}", layers(&diff));
        let (.., shift) = layers(&diff).into_iter().find(|row| row.0 == "nic").unwrap();
        assert!((shift - 1e6).abs() < 1e4, "{shift}");
        let text = place.run(&[&["diff"], &sides[..]].concat()).stdout;
        assert!(text.contains("found: +1.00 ms (nic)"), "{text}");
        assert!(text.contains("= difference of the means +1.00 ms"), "{text}");
        let single = sides[0].ends_with(".vmhop");
        assert_eq!(text.contains("each side is a single recording"), single, "{text}");
    }
}

#[test]
fn two_halves_of_one_condition_do_not_differ() {
    let place = Place::new();
    let base = condition_of(&place, "base", 5, 0, Change::default());
    let other = condition_of(&place, "other", 5, 1, Change::default());
    for sides in [[&*base, &*other], ["base/0.vmhop", "other/0.vmhop"]] {
        let done = place.run(&[&["diff"], &sides[..], &["--format", "json"]].concat());
        assert_eq!(found(&done.json()), [""; 0], "{}", done.stdout);
        assert!(place.run(&[&["diff"], &sides[..]].concat()).stdout.contains("nothing found at 95 %"));
    }
}

#[test]
fn the_exit_code_tells_whether_a_bound_is_exceeded() {
    let place = Place::new();
    let base = condition_of(&place, "base", 5, 0, Change::default());
    let other = condition_of(&place, "other", 5, 1, SLOWER);
    for (bound, code, words) in [
        ("nic.mean 50us", 1, "EXCEEDED: nic.mean 50us (echo, asked by peer)"),
        ("nic.mean 2ms", 0, "within: nic.mean 2ms"),
        ("vmm.p99 10%", 0, "within: vmm.p99 10% (echo, asked by peer)"),
        ("nic.queue->nic.xmit.p50 10%", 1, "EXCEEDED"),
    ] {
        let done = place.run(&["diff", &base, &other, "--fail-above", bound]);
        assert_eq!(done.code, Some(code), "{bound}: {done:?}");
        assert!(done.stdout.contains(words), "{}", done.stdout);
    }
    let both =
        place.run(&["diff", &base, &other, "--fail-above", "vmm.p99 10%", "--fail-above", "total.mean 1%"]);
    assert_eq!(both.code, Some(1));
    for (bound, words) in [
        ("nic.p98 10%", "`p98` is no figure: they are mean, p50, p90 and p99"),
        ("nix.p99 10%", "the recordings have no layer `nix`: they have "),
    ] {
        let done = place.run(&["diff", &base, &other, "--fail-above", bound]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.error().contains(words), "{done:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_told_in_one_line() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    write(&place.path("a.vmhop"), Change::default(), |_| ());
    let whole = fs::read(place.path("a.vmhop")).unwrap();
    let mut damaged = whole.clone();
    // The description of the last batch, behind its mark and its length.
    let begins = |bytes: &[u8]| bytes[..4] == [0xff; 4] && bytes[4..] != [0; 4] && bytes[6..] == [0; 2];
    let last = whole.windows(8).rposition(begins).unwrap();
    damaged[last + 8..last + 72].fill(0xaa);
    fs::write(place.path("damaged.vmhop"), damaged).unwrap();
    fs::write(place.path("text.vmhop"), "no recording").unwrap();
    for (sides, options, code, words) in [
        (["a.vmhop", "empty"], &[][..], 2, "no recording (*.vmhop) is in the folder empty"),
        (["a.vmhop", "none.vmhop"], &[], 2, "none.vmhop"),
        (["a.vmhop", "text.vmhop"], &[], 2, "is not a vmhop recording"),
        (["a.vmhop", "damaged.vmhop"], &[], 1, "damaged.vmhop is damaged after"),
        (["a.vmhop", "a.vmhop"], &["-o", "a.vmhop"], 2, "would overwrite its recording"),
        (["a.vmhop", "a.vmhop"], &["--ignore-below", "much"], 2, "`much` is neither a share nor a time"),
    ] {
        let done = place.run(&[&["diff"], &sides[..], options].concat());
        assert_eq!(done.code, Some(code), "{sides:?} {options:?}: {done:?}");
        assert!(done.error().contains(words), "{done:?}");
    }
    assert_eq!(fs::read(place.path("a.vmhop")).unwrap(), whole);
}

#[test]
fn losses_and_hosts_that_differ_are_warned_of_and_mark_the_claim() {
    let place = Place::new();
    write(&place.path("base.vmhop"), Change::default(), |_| ());
    write(&place.path("other.vmhop"), Change { stretch: 1, lost: 20, ..SLOWER }, |header| {
        header.host.kernel = "7.3.0".to_owned();
    });
    let text = place.run(&["diff", "base.vmhop", "other.vmhop"]).stdout;
    for words in ["nic.done:", "of its events were lost in OTHER", "the kernels differ", "(nic; doubtful)"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn names_chosen_by_others_do_nothing_to_a_terminal_or_a_page() {
    let hostile = "<script>alert(1)</script>\u{1b}[2J\u{202e}";
    let place = Place::new();
    let file = "<b>\u{1b}.vmhop";
    write(&place.path("base.vmhop"), Change::default(), |_| ());
    write(&place.path(file), SLOWER, |header| {
        header.host.name = hostile.to_owned();
        header.host.kernel = hostile.to_owned();
    });
    for format in ["text", "html"] {
        let done = place.run(&["diff", "base.vmhop", file, "--format", format]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let out = done.stdout;
        assert!(
            !out.contains(|c: char| c.is_control() && c != '\n') && !out.contains('\u{202e}'),
            "{format}"
        );
        assert!(out.contains("\\u{1b}[2J"), "{format}");
        if format == "html" {
            assert!(!out.contains("<script") && !out.contains("<b>\\u"), "{out}");
            assert!(out.contains("&lt;script&gt;"));
        }
    }
}

#[test]
fn the_page_has_the_figures_of_the_json() {
    let place = Place::new();
    write(&place.path("base.vmhop"), Change::default(), |_| ());
    write(&place.path("other.vmhop"), SLOWER, |_| ());
    let diff = place.run(&["diff", "base.vmhop", "other.vmhop", "--format", "json"]).json();
    let done = place.run(&["diff", "base.vmhop", "other.vmhop", "--format", "html", "-o", "diff.html"]);
    assert_eq!((done.code, &*done.stdout), (Some(0), ""));
    let page = fs::read_to_string(place.path("diff.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"));
    for row in diff["groups"][0]["layers"].as_array().unwrap() {
        let mean = row["mean"]["base_ns"].as_f64().unwrap();
        assert!(page.contains(&format!("data-ns=\"{mean}\"")), "{row}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
}

#[test]
fn two_recordings_of_a_labs_guest_do_not_differ() {
    if !able() {
        return;
    }
    let lab = TestLab::up().unwrap();
    for attempt in 1..=ATTEMPTS {
        let recordings = Recordings::new();
        let record = |file: &str| {
            let ping = ["ping", "-q", "-c", "100", "-i", "0.02", "192.0.2.2"];
            let (path, done) = recordings.during(&lab, file, &[], "peer", &ping);
            assert_eq!(done.code, Some(0), "{done:?}");
            path.to_str().unwrap().to_owned()
        };
        let (one, two) = (record("one.vmhop"), record("two.vmhop"));
        let diff = Place::new().run(&["diff", &one, &two, "--format", "json"]).json();
        eprintln!("attempt {attempt}: {:?}", layers(&diff));
        if found(&diff).is_empty() {
            return;
        }
    }
    panic!("two recordings of one condition differ, {ATTEMPTS} times");
}

#[test]
#[ignore = "needs netem: cargo xtask test networks"]
fn netem_on_the_nic_is_found_in_nic_only() {
    const RUNS: usize = 5;
    let scene = Scene::toy(Path::new(env!("CARGO_BIN_EXE_toy-vmm"))).unwrap();
    if !condition::netem_works(&scene) {
        return skip("this kernel has no netem");
    }
    let place = Place::new();
    let delays = [("base", Duration::from_millis(2)), ("other", Duration::from_millis(3))];
    delays.iter().for_each(|(side, _)| fs::create_dir(place.path(side)).unwrap());
    // In turn, so that whatever drifts drifts in both.
    for run in 0..RUNS {
        for (side, delay) in delays {
            condition::record(&scene, delay, 100, place.path(side).join(format!("{run}.vmhop")));
        }
    }
    let compared = |sides: [&str; 2]| {
        let diff = place.run(&[&["diff"], &sides[..], &["--format", "json"]].concat()).json();
        eprintln!("{sides:?}: {:?}", layers(&diff));
        diff
    };
    let diff = compared(["base", "other"]);
    assert_eq!(found(&diff), ["nic"]);
    let (.., shift) = layers(&diff).into_iter().find(|row| row.0 == "nic").unwrap();
    assert!((shift - 1e6).abs() < 1e5, "{shift}");
    // One recording a side may show too little in an emulated host, and nothing that is not there.
    let single = found(&compared(["base/0.vmhop", "other/0.vmhop"]));
    assert!(single.iter().all(|layer| layer == "nic"), "{single:?}");
    let alike = place.run(&["diff", "base/0.vmhop", "base/1.vmhop", "--format", "json"]).json();
    assert_eq!(found(&alike), [""; 0], "{:?}", layers(&alike));
}
