//! What vmhop answers to what is typed: help, exit codes, errors. Nothing is recorded.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    fs::{self, OpenOptions},
    io::Read as _,
    process::Stdio,
};

use serde_json::Value;
use tests::{
    host::{Holder, Netns, able, skip, unique},
    vmhop::Place,
};

/// Hops that doctor and every report show.
const HOPS: usize = tracer::plan::REPORTED_HOPS.len();

#[test]
fn help_teaches_by_example_and_tells_exit_codes() {
    let place = Place::new();
    for command in
        [&[][..], &["doctor"], &["topology"], &["record"], &["live"], &["watch"], &["report"], &["lab"]]
    {
        let help = place.run(&[command, &["--help"]].concat());
        assert_eq!(help.code, Some(0), "{help:?}");
        for part in ["Examples:\n", "Exit status:\n", "  2  "] {
            assert!(help.stdout.contains(part), "{command:?} lacks {part:?}: {}", help.stdout);
        }
        let wide = help.stdout.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{command:?}");
    }
}

#[test]
fn an_unknown_word_is_wrong_usage() {
    let place = Place::new();
    for typed in
        [&["recrod"][..], &[], &["record", "--xdp", "fast"], &["report"], &["report", "a", "--format", "xml"]]
    {
        assert_eq!(place.run(typed).code, Some(2), "{typed:?}");
    }
}

#[test]
fn a_wrong_value_is_answered_on_one_line_before_anything_else() {
    let place = Place::new();
    fs::write(place.path("notes"), "text").unwrap();
    for (typed, part) in [
        (["--duration", "10"], "`10` is no duration, such as 500ms, 10s or 2m"),
        (["--duration", "0s"], "is no time at all"),
        (["--ring-size", "33MiB"], "no power of two, as the kernel needs it: give 32MiB or 64MiB"),
        (["--ring-size", "lots"], "`lots` is no size, such as 4MiB"),
        (["--hops", "tap.rx,nic.quue"], "no hop is called `nic.quue`, nic.queue perhaps; they are vmm.kick,"),
        (["-o", "nowhere/file"], "there is no folder nowhere"),
        (["-o", "."], "is a folder"),
        (["-o", "notes"], "is no vmhop recording: name another file with -o, or add --force"),
    ] {
        let outcome = place.run(&[&["record"], &typed[..]].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.error().contains(part), "{outcome:?}");
    }
    for (typed, part) in [
        (["--listen", "9429"], "`9429` is no address with a port, such as 127.0.0.1:9429"),
        (["--print", "10"], "--print `10` is no duration"),
        (["--every", "0s"], "--every `0s` is no time at all"),
        (["--size", "1KiB"], "is too small for a recording: give 64KiB or more"),
        (["--keep", "0"], "leave -o out, or give 1 or more"),
        (["-o", "nowhere"], "cannot record to nowhere: it is no folder; make it first"),
        (["--xdp", "native"], "leave --xdp out"),
        (["--sample", "auto"], "give --sample 1/64 or the like"),
    ] {
        let outcome = place.run(&[&["watch"], &typed[..]].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.error().contains(part), "{outcome:?}");
    }
    assert_eq!(fs::read_to_string(place.path("notes")).unwrap(), "text");
}

#[test]
fn a_wrong_filter_is_answered_with_the_place() {
    let outcome = Place::new().run(&["record", "--filter", "icmp and hots 192.0.2.1"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.starts_with("vmhop: filter: \"hots\" is not supported here"), "{outcome:?}");
    assert!(outcome.stderr.ends_with("\n  icmp and hots 192.0.2.1\n           ^^^^\n"), "{outcome:?}");
}

#[test]
fn what_is_no_recording_is_no_report() {
    let place = Place::new();
    fs::write(place.path("notes"), "text").unwrap();
    for (file, part) in
        [("nothing", "No such file"), ("notes", "is not a vmhop recording"), (".", "directory")]
    {
        let outcome = place.run(&["report", file, "-o", "out"]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.error().contains(part), "{outcome:?}");
        assert!(!place.path("out").exists(), "nothing is written for {file}");
    }
    let outcome = place.run(&["report", "notes", "-o", "notes"]);
    assert!(outcome.code == Some(2) && outcome.error().contains("would overwrite"), "{outcome:?}");
    assert_eq!(fs::read_to_string(place.path("notes")).unwrap(), "text");
}

#[test]
fn a_report_is_made_within_the_frames_that_are_allowed() {
    let place = Place::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/data/download.vmhop");
    let evicted = |limit: &str| {
        let report = place.run(&["report", golden, "--format", "json", "--limit-frames", limit]);
        assert_eq!((report.code, report.stderr.as_str()), (Some(0), ""));
        report.json()["losses"]["evicted"].as_u64().unwrap()
    };
    assert_eq!(evicted("256k"), 0);
    // One frame after another: there never are two.
    assert_eq!(evicted("1"), 0);
    let outcome = place.run(&["report", golden, "--limit-frames", "few"]);
    assert!(outcome.code == Some(2) && outcome.error().contains("such as 100000, 256k or 1M"), "{outcome:?}");
}

#[test]
fn without_a_vm_there_is_nothing_to_record_and_an_empty_topology() {
    if !able() {
        return;
    }
    let place = Place::new();
    for typed in [&["record"][..], &["record", "--vm", "web1"]] {
        let outcome = place.run_alone(typed);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.error().contains("no process holds a tap"), "{outcome:?}");
        assert!(outcome.error().contains("`vmhop lab up`"), "{outcome:?}");
    }
    let tree = place.run_alone(&["topology"]);
    assert_eq!((tree.code, tree.stderr.as_str()), (Some(0), ""));
    assert!(tree.stdout.starts_with("No VM found"), "{tree:?}");
    assert_eq!(place.run_alone(&["topology", "--json"]).json(), serde_json::json!({ "vms": [] }));
    // No VM is no fault of the host.
    let doctor = place.run_alone(&["doctor", "--json"]);
    assert_eq!((doctor.code, &doctor.json()["vms"]), (Some(0), &serde_json::json!([])));
}

#[test]
fn a_wrong_name_is_answered_with_what_exists() {
    if !able() {
        return;
    }
    let (place, host, name) = (Place::new(), Netns::new("host"), unique("vm"));
    let _vm = Holder::qemu(&name, host.tun("tap0", libc::IFF_TAP), None);
    let wrong = place.run(&["record", "--vm", "no-such-vm"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    for part in ["`no-such-vm`", &name, "tap tap0", "`vmhop topology`"] {
        assert!(wrong.error().contains(part), "{wrong:?} lacks {part}");
    }
    let wrong = place.run(&["record", "--vm", &name, "--nic", "no0"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    for part in ["no device `no0`", &host.name, "lo, tap0"] {
        assert!(wrong.error().contains(part), "{wrong:?} lacks {part}");
    }
    let tap = place.run(&["record", "--vm", &name, "--nic", "tap0"]);
    assert!(tap.code == Some(2) && tap.error().contains("`tap0` is a tap"), "{tap:?}");
    let topology = place.run(&["topology", "--json"]).json();
    let vm = topology["vms"].as_array().unwrap().iter().find(|vm| vm["name"] == name.as_str()).cloned();
    assert_eq!(vm.unwrap()["taps"][0]["device"]["name"], "tap0");
    // Refused before a file was made.
    let files: Vec<_> =
        fs::read_dir(place.path(".")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["vmhop"]);
}

#[test]
fn a_silent_vm_leaves_a_recording_that_anyone_can_read_and_the_next_may_replace() {
    if !able() {
        return;
    }
    let (place, host, name) = (Place::new(), Netns::new("host"), unique("vm"));
    let _vm = Holder::qemu(&name, host.tun("tap0", libc::IFF_TAP), None);
    let record = ["record", "--vm", &name, "--duration", "300ms", "-o", "a.vmhop", "--json"];
    for _ in 0..2 {
        let outcome = place.run(&record);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let (said, last) = outcome.stderr.trim_end().rsplit_once('\n').unwrap();
        assert!(said.contains("recorded to a.vmhop"), "{outcome:?}");
        assert!(last.starts_with("vmhop: no frame of") && last.contains(&name), "{outcome:?}");
        assert_eq!(outcome.json()["recording"]["vms"], serde_json::json!([name]));
    }
    let before = fs::read(place.path("a.vmhop")).unwrap();
    let typo = place.run(&["record", "--vm", &name, "-o", "a.vmhop", "--", "/no/such/command"]);
    assert!(typo.code == Some(2) && typo.error().contains("/no/such/command"), "{typo:?}");
    assert_eq!(fs::read(place.path("a.vmhop")).unwrap(), before, "a mistyped command costs no recording");
    let report = place.run_as_ordinary(&["report", "a.vmhop", "--format", "json"]);
    assert_eq!((report.code, report.stderr.as_str()), (Some(0), ""));
    assert_eq!(report.json()["hops"].as_array().unwrap().len(), HOPS);
    let report = place.run(&["report", "a.vmhop", "-o", "a.vmhop"]);
    assert!(report.code == Some(2) && report.error().contains("would overwrite"), "{report:?}");
    let report = place.run(&["report", "a.vmhop", "-o", "no/report"]);
    assert!(report.code == Some(2) && report.error().contains("failed to create no/report"), "{report:?}");
    assert_eq!(place.run(&["report", "a.vmhop"]).code, Some(0), "the recording is still whole");
}

#[test]
fn root_of_a_user_namespace_is_told_to_leave_it() {
    if !able() {
        return;
    }
    let outcome = Place::new().run_in_user_namespace(&["record"]);
    if outcome.stderr.starts_with("unshare:") {
        // Hosts can forbid user namespaces, and a chroot always does.
        return skip(outcome.stderr.trim());
    }
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.error().contains("user namespace"), "{outcome:?}");
}

#[test]
fn an_ordinary_user_is_told_on_one_line_to_become_root() {
    if !able() {
        return;
    }
    let place = Place::new();
    for typed in [&["record"][..], &["record", "--vm", "web1", "-v"], &["topology"], &["topology", "--json"]]
    {
        let outcome = place.run_as_ordinary(typed);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        assert!(outcome.error().contains("CAP_SYS_PTRACE"), "{outcome:?}");
        assert!(outcome.error().ends_with("run vmhop as root (sudo)"), "{outcome:?}");
    }
}

fn assert_whole(diagnosis: &Value) {
    let hops = diagnosis["hops"].as_array().unwrap();
    assert_eq!(hops.len(), HOPS);
    for hop in hops {
        let served = !hop["hooks"].as_array().unwrap().is_empty();
        assert_eq!(served, hop["unserved"].is_null(), "served, or told why not: {hop}");
        assert!(hop["describe"].as_str().is_some_and(|words| !words.is_empty()), "{hop}");
    }
    for check in diagnosis["checks"].as_array().unwrap() {
        assert!(check["why"].is_string() && check["found"].is_string(), "{check}");
        assert_eq!(
            check["ok"] == false,
            check["remedy"].is_string(),
            "what is missing has a remedy: {check}"
        );
    }
    assert!(diagnosis["host"]["kernel"].as_str().is_some_and(|kernel| kernel.contains('.')), "{diagnosis}");
}

fn check<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let checks = diagnosis["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn doctor_shows_every_hop_and_the_kernel_takes_every_program() {
    if !able() {
        return;
    }
    let place = Place::new();
    let outcome = place.run(&["doctor", "--json"]);
    let diagnosis = outcome.json();
    assert_whole(&diagnosis);
    assert_eq!((outcome.code, &diagnosis["can_record"]), (Some(0), &Value::Bool(true)), "{outcome:?}");
    for name in ["privileges", "BTF", "ring buffer", "programs"] {
        assert_eq!(check(&diagnosis, name)["ok"], true, "{}", check(&diagnosis, name));
    }
    let text = place.run(&["doctor"]);
    assert_eq!(text.code, Some(0));
    for hop in diagnosis["hops"].as_array().unwrap() {
        assert!(text.stdout.contains(&format!("\n  {} ", hop["hop"].as_str().unwrap())), "{text:?}");
    }
    assert!(text.stdout.contains("This host can record"), "{text:?}");
}

#[test]
fn doctor_tells_an_ordinary_user_what_it_could_not_check() {
    if !able() {
        return;
    }
    let place = Place::new();
    let outcome = place.run_as_ordinary(&["doctor", "--json"]);
    let diagnosis = outcome.json();
    assert_whole(&diagnosis);
    assert_eq!((outcome.code, &diagnosis["can_record"]), (Some(2), &Value::Bool(false)), "{outcome:?}");
    assert_eq!(check(&diagnosis, "privileges")["ok"], false);
    for name in ["programs", "ring buffer", "VMs"] {
        assert!(check(&diagnosis, name)["ok"].is_null(), "{}", check(&diagnosis, name));
    }
    let text = place.run_as_ordinary(&["doctor"]);
    assert!(text.stdout.contains("This host cannot record: privileges."), "{text:?}");
}

#[test]
fn a_reader_that_went_away_is_no_error_and_a_full_disk_is_one() {
    if !able() {
        return;
    }
    let place = Place::new();
    let mut command = place.command(&["topology", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));

    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place.command(&["topology"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("vmhop: failed to write the output: No space left"), "{said}");
}
