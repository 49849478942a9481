//! `vmhop watch` beside VMs that come and go: what it serves, records and deletes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::Duration,
};

use tests::{
    host::{able, eventually},
    python::python_or_skip,
    recording::{analyse, assert_additive},
    truth::toy::Toy,
    vmhop::Place,
    watching::{Scrape, Watching, ask, recordings},
};
use tracer::record::{Item, RecordReader};
use tracer_common::hop::Hop;

fn toy(tap: &str) -> Toy {
    Toy::on(Path::new(env!("CARGO_BIN_EXE_toy-vmm")), tap)
}

/// No other test of this file makes namespaces meanwhile: a new one can have the number of one that has just gone, and until a
/// watch has looked again, its tap is that one's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that no other tap of this host has, short enough for one.
fn tap(which: char) -> String {
    format!("w{}{which}", std::process::id())
}

/// Frames to and from guests in a recording, by the name of the tap.
fn frames(recording: &Path, tap: &str) -> u64 {
    let mut reader = RecordReader::open(recording).unwrap();
    let mut devices = reader.header().devices.clone();
    let mut count = 0;
    for item in reader.by_ref() {
        match item.unwrap() {
            Item::Event(event) => {
                let slot = devices.iter().find(|entry| Some(entry.slot) == event.device);
                let here = slot.is_some_and(|entry| entry.device.name == tap);
                count += u64::from(here && matches!(event.hop, Hop::TapRx | Hop::TapRing));
            }
            Item::Note(tracer::recording::Note::Warning { came: Some(came), .. }) => {
                devices.extend(came.devices)
            }
            Item::Note(_) => {}
        }
    }
    assert!(!reader.truncated(), "{}", recording.display());
    count
}

fn sum(recordings: &[PathBuf], tap: &str) -> u64 {
    recordings.iter().map(|recording| frames(recording, tap)).sum()
}

#[test]
fn vms_come_and_go_and_every_frame_is_in_one_recording() {
    if !able() || !python_or_skip() {
        return;
    }
    let _alone = alone();
    let (first, second) = (tap('a'), tap('b'));
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let words = [
        "--mode", "stream", "--vm", &first, "--vm", &second, "-o", folder, "--every", "700ms", "--keep",
        "1000",
    ];
    let mut watching = Watching::start(&words);
    let one = toy(&first);
    // The first VM of its kind has programs attached for it.
    watching.until(&format!("with tap {first}"));
    ask(&one, 300);
    let other = toy(&second);
    watching.until(&format!("with tap {second}"));
    (0..6).for_each(|_| {
        ask(&other, 50);
        sleep(Duration::from_millis(200));
    });
    let names = [&one, &other].map(|toy| format!("toy-vmm-{}", toy.pid()));
    let sample = |scrape: &Scrape, vm: &str| scrape.find("vmhop_watch_frames_total", &[("vm", vm)]);
    let before = eventually("all frames are served", || {
        let scrape = watching.scrape();
        (names.iter().all(|name| sample(&scrape, name) == Some(600.0))).then_some(scrape)
    });
    drop(one);
    watching.until("went away");
    ask(&other, 100);
    let after = eventually("further frames are served, and the report of a recording", || {
        let scrape = watching.scrape();
        let exchanges = scrape.find("vmhop_exchanges_total", &[("kind", "udp")]).unwrap_or_default();
        (sample(&scrape, &names[1]) == Some(800.0) && exchanges > 600.0).then_some(scrape)
    });
    after.assert_not_below(&before);
    let find = |name: &str| after.find(name, &[]).unwrap();
    assert_eq!((find("vmhop_watch_vms"), find("vmhop_watch_vms_seen_total")), (1.0, 2.0));
    // At the start, for the first VM, and again for the bridge that its tap was not on yet when it was found.
    assert!((2.0..=3.0).contains(&find("vmhop_watch_attached_total")));
    assert_eq!(find("vmhop_watch_events_lost_total"), 0.0);
    for name in [
        "vmhop_watch_cpu_seconds_total",
        "vmhop_watch_resident_memory_bytes",
        "vmhop_watch_programs_time_seconds_total",
    ] {
        assert!(find(name) > 0.0, "{name}");
    }
    check_recordings(watching, dir.path(), &[(&first, 600), (&second, 800)]);
}

/// What is served once it counts so many frames of these VMs.
fn counted(watching: &Watching, vms: &[String; 2], frames: [f64; 2]) -> Scrape {
    eventually("all frames are served", || {
        let scrape = watching.scrape();
        let of = |vm: &String| scrape.find("vmhop_watch_frames_total", &[("vm", vm)]);
        let crossed = [("from", "tap.queue"), ("to", "tap.ring")];
        let segment = scrape.find("vmhop_passage_segments_total", &crossed);
        let all = vms.each_ref().map(of) == frames.map(Some);
        (all && segment == Some((frames[0] + frames[1]) / 2.0)).then_some(scrape)
    })
}

#[test]
fn the_kernels_histograms_are_served_and_kept_while_vms_come_and_go() {
    if !able() || !python_or_skip() {
        return;
    }
    let _alone = alone();
    let (first, second) = (tap('h'), tap('i'));
    let dir = tempfile::tempdir().unwrap();
    let one = toy(&first);
    let words = ["--vm", &first, "--vm", &second, "-o", dir.path().to_str().unwrap(), "--every", "1500ms"];
    let mut watching = Watching::start(&words);
    ask(&one, 300);
    let other = toy(&second);
    watching.until(&format!("with tap {second}"));
    (0..6).for_each(|_| {
        ask(&other, 50);
        sleep(Duration::from_millis(500));
    });
    let names = [&one, &other].map(|toy| format!("toy-vmm-{}", toy.pid()));
    let before = counted(&watching, &names, [600.0, 600.0]);
    drop(one);
    watching.until("went away");
    ask(&other, 100);
    let after = counted(&watching, &names, [600.0, 800.0]);
    after.assert_not_below(&before);
    let (code, said) = watching.stop();
    assert!(code == Some(0) && said.contains("2 VMs, 1400 frames, 0 events, 0 lost"), "{said}");
    let found = recordings(dir.path());
    assert!(found.len() > 1, "{found:?}");
    let reports: Vec<_> = found.iter().map(|recording| analyse(recording).0).collect();
    for (name, frames) in names.iter().zip([600, 800]) {
        let bills = reports.iter().flat_map(|report| &report.bill).filter(|bill| bill.vm == *name);
        assert_eq!(bills.map(|bill| bill.frames).sum::<u64>(), frames, "{name}: {said}");
    }
    assert!(reports.iter().all(|report| report.recording.complete), "{said}");
}

/// Stops the watch: its recordings are whole and hold as many frames of each tap as passed.
fn check_recordings(watching: Watching, folder: &Path, taps: &[(&str, u64)]) {
    let (code, said) = watching.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 VMs, 1400 frames") && said.contains(" 0 lost"), "{said}");
    let found = recordings(folder);
    assert!(found.len() > 2, "{found:?}");
    for (tap, frames) in taps {
        assert_eq!(sum(&found, tap), *frames, "{tap}: {said}");
    }
    let mut exchanges = 0;
    for recording in &found {
        let (report, _) = analyse(recording);
        assert_additive(&report);
        assert!(report.recording.complete && !report.recording.failed, "{}", recording.display());
        exchanges += report.exchanges.count;
    }
    // At most one exchange was on its way at each of the cuts.
    assert!(exchanges <= 700 && exchanges + found.len() as u64 >= 700, "{exchanges} in {}", found.len());
}

#[test]
fn a_folder_keeps_the_newest_recordings_and_what_is_not_a_watchs() {
    if !able() {
        return;
    }
    let _alone = alone();
    let tap = tap('c');
    let toy = toy(&tap);
    let dir = tempfile::tempdir().unwrap();
    let others =
        ["watch-notes.vmhop", "vmhop-20200101-000000.vmhop", "watch-20200101-000000-000001.vmhop.gz"];
    others.iter().for_each(|name| fs::write(dir.path().join(name), "x").unwrap());
    // One of an earlier watch.
    let earlier = dir.path().join("watch-20200101-000000-000001.vmhop");
    fs::write(&earlier, "x").unwrap();
    let folder = dir.path().to_str().unwrap();
    let mut watching = Watching::start(&["--vm", &tap, "-o", folder, "--every", "300ms", "--keep", "2"]);
    let mut seen: Vec<PathBuf> = Vec::new();
    while seen.len() < 8 {
        ask(&toy, 5);
        for path in recordings(dir.path()).into_iter().filter(|path| *path != earlier) {
            if !seen.contains(&path) && !path.ends_with(others[0]) {
                seen.push(path);
            }
        }
    }
    assert!(!earlier.exists());
    drop(toy);
    watching.until("went away");
    let (code, said) = watching.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 kept in "), "{said}");
    let left = recordings(dir.path());
    let own = left.iter().filter(|path| !path.ends_with(others[0])).count();
    assert_eq!(own, 2, "{left:?}");
    assert!(others.iter().all(|name| dir.path().join(name).exists()));
    assert!(seen.iter().rev().take(3).any(|path| left.contains(path)), "{left:?} of {seen:?}");
}

#[test]
fn a_server_says_what_it_has_and_nothing_else() {
    if !able() {
        return;
    }
    let watching = Watching::start(&["--vm", &tap('d')]);
    let (head, body) = watching.get("/metrics");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n") && body.contains("\nvmhop_watch_vms 0"), "{body}");
    let (head, body) = watching.get("/");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("/metrics"), "{head} {body}");
    for path in ["/metrics/", "/../etc/passwd", "/metricsx"] {
        assert!(watching.get(path).0.starts_with("HTTP/1.1 404 "), "{path}");
    }
    let (code, said) = watching.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 VMs, 0 frames"), "{said}");
}

#[test]
fn clients_that_say_nothing_hold_up_no_tracing_and_others_not_for_ever() {
    if !able() {
        return;
    }
    let _alone = alone();
    let tap = tap('e');
    let toy = toy(&tap);
    let watching = Watching::start(&["--mode", "stream", "--vm", &tap]);
    let silent: Vec<_> = (0..40).map(|_| watching.connect()).collect();
    ask(&toy, 100);
    let (head, body) = watching.get("/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let name = format!("vmhop_watch_frames_total{{vm=\"toy-vmm-{}\"}} 200", toy.pid());
    assert!(body.contains(&name), "{body}");
    drop(silent);
}

#[test]
fn a_port_that_is_in_use_is_answered_with_what_to_do() {
    if !able() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = Place::new().run(&["watch", "--listen", &address]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.error().contains(&address) && outcome.error().contains("--listen"), "{outcome:?}");
}

#[test]
fn figures_are_printed_when_it_is_time() {
    if !able() {
        return;
    }
    let outcome = Place::new().run(&["watch", "--vm", &tap('f'), "--print", "300ms", "--duration", "2s"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.matches("# EOF\n").count() > 2, "{outcome:?}");
    assert!(!outcome.stderr.contains("serving") && outcome.stderr.contains("the time was up"), "{outcome:?}");
}
