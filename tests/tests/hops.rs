//! Hops of the user's own, and the self-test of hooks, on this kernel.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{fs, path::Path, thread::sleep, time::Duration};

use serde_json::Value;
use tests::{
    host::{Holder, Netns, able, unique},
    vmhop::Place,
};

/// Whether this kernel has kprobes.
fn has_kprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe/type").exists()
}

fn check<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    diagnosis["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[test]
fn words_that_are_no_hop_are_answered_on_one_line() {
    let place = Place::new();
    fs::write(place.path("own.toml"), "name = \"own\"\n[[hop]]\nname = \"a\"\nhook = \"ip_rcv\"\n").unwrap();
    for (typed, part) in [
        (["--hop", "x"], "--hop `x` is not NAME=kprobe:FUNCTION(skb=argN)"),
        (["--hop", "x=kprobe:ip_rcv(skb=first)"], "where arg0 is the function's first argument"),
        (["--hop", "tap.rx=kprobe:ip_rcv(skb=arg0)"], "tap.rx is one of vmhop's own hops"),
        (["--profile", "own.toml"], "own.toml, line 4: key hook: `ip_rcv` is not kprobe:FUNCTION(skb=argN)"),
        (
            ["--profile", "nothing"],
            "`nothing` is neither one of vmhop's own (macvtap, ovs, vmnet) nor a file",
        ),
    ] {
        for command in ["record", "doctor"] {
            let outcome = place.run(&[&[command], &typed[..]].concat());
            assert_eq!(outcome.code, Some(2), "{outcome:?}");
            assert!(outcome.error().contains(part), "{outcome:?}");
        }
    }
}

#[test]
fn a_function_that_cannot_be_probed_is_told_before_anything_is_attached() {
    if !able() {
        return;
    }
    let host = Netns::new("host");
    let name = unique("vm");
    let _vm = Holder::qemu(&name, host.tun("tap0", libc::IFF_TAP), None);
    let place = Place::new();
    let hop = ["--hop", "x=kprobe:ip_rcv_no_such(skb=arg0)"];
    let says = if has_kprobes() { "no such function" } else { "this kernel has no kprobes: boot one with" };
    let outcome = place.run(&[&["record", "--vm", &name, "-o", "r.vmhop"], &hop[..]].concat());
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.error().starts_with("hop x (--hop): ") && outcome.error().contains(says), "{outcome:?}");
    assert!(!place.path("r.vmhop").exists());
    let outcome = place.run(&[&["doctor", "--json"], &hop[..]].concat());
    assert_eq!((outcome.code, &check(&outcome.json(), "own hops")["ok"]), (Some(2), &Value::Bool(false)));
    assert!(outcome.stdout.contains(says), "{outcome:?}");
}

#[test]
fn a_profile_is_a_file_that_can_be_copied() {
    let place = Place::new();
    let listed = place.run(&["profiles"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    for name in ["ovs", "macvtap", "vmnet"] {
        assert!(listed.stdout.lines().any(|line| line.starts_with(name)), "{listed:?}");
        let shown = place.run(&["profiles", name]);
        fs::write(place.path("copy.toml"), &shown.stdout).unwrap();
        // The file is read; what this kernel has of it is another matter.
        let outcome = place.run(&["doctor", "--json", "--profile", "copy.toml"]);
        assert!(outcome.json()["hops"].as_array().unwrap().len() > tracer::plan::REPORTED_HOPS.len());
    }
    assert_eq!(place.run(&["profiles", "nothing"]).code, Some(2));
}

#[test]
fn the_self_test_tells_of_every_planned_hook_whether_it_fires() {
    if !able() {
        return;
    }
    let place = Place::new();
    let outcome = place.run(&["doctor", "--self-test", "--json"]);
    let diagnosis = outcome.json();
    let rows = diagnosis["self_test"].as_array().unwrap();
    let row = |hop: &str| rows.iter().find(|row| row["hop"] == hop && !row["fired"].is_null());
    for hop in
        ["vmm.wake", "tap.write", "tap.rx", "nic.queue", "nic.done", "nic.rx", "tap.ring", "vmm.read.end"]
    {
        assert!(row(hop).unwrap()["fired"].as_u64().unwrap() > 0, "{hop}: {rows:?}");
    }
    // What is not exercised says why, and nothing is silent on any kernel known so far.
    for row in rows {
        assert_eq!(row["fired"].is_null(), row["why"].is_string(), "{row}");
    }
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn a_self_test_that_is_killed_leaves_nothing() {
    if !able() {
        return;
    }
    let place = Place::new();
    let devices = || fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let before = devices();
    let mut vmhop = place.command(&["doctor", "--self-test"]).spawn().unwrap();
    sleep(Duration::from_millis(1500));
    vmhop.kill().unwrap();
    vmhop.wait().unwrap();
    assert_eq!(devices(), before);
    assert!(tests::host::run("ip netns list").lines().all(|name| !name.contains("self")));
}
