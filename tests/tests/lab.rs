//! The lab on this machine: it does what the recordings of other tests rely on, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tests::{
    lab::{TestLab, root_or_skip},
    vmhop::binary,
};

const GUEST: [&str; 2] = ["192.0.2.2", "2001:db8::2"];
const HOST: &str = "192.0.2.1";
const PEER: [&str; 2] = ["192.0.2.3", "2001:db8::3"];

#[test]
fn guest_and_peer_answer_each_other() {
    if !root_or_skip("guest_and_peer_answer_each_other") {
        return;
    }
    let lab = TestLab::up().unwrap();
    for (place, targets) in [("guest", PEER), ("peer", GUEST), ("host", GUEST)] {
        for target in targets {
            let done = lab.exec(place, &["ping", "-c", "2", "-i", "0.2", target]).unwrap();
            assert_eq!(done.code, Some(0), "{place} to {target}: {done:?}");
        }
    }
    let servers = [("guest", PEER[0]), ("peer", GUEST[0]), ("peer", HOST), ("guest", HOST)];
    for (place, target) in servers {
        let fetch = format!("busybox wget -q -O - http://{target}/40MB | wc -c");
        let done = lab.exec(place, &["sh", "-c", &fetch]).unwrap();
        assert_eq!(done.text().trim(), "40000000", "{place}: {done:?}");
    }
    let done = lab.exec("peer", &["busybox", "wget", "-q", "-O", "-", "http://[2001:db8::2]/hello"]).unwrap();
    assert_eq!(done.text(), "hello from the vmhop lab\n");
    datagrams_come_back_after_the_time_that_was_told(&lab);
}

fn datagrams_come_back_after_the_time_that_was_told(lab: &TestLab) {
    let ask = ["vmhop", "lab", "ask", PEER[0], "--count", "3", "--interval", "10ms"];
    let unheard = lab.exec("guest", &ask).unwrap();
    assert_eq!((unheard.code, unheard.text().matches("no answer").count()), (Some(1), 3), "{unheard:?}");
    let binary = binary().to_str().unwrap();
    let words = ["exec", "peer", "--", binary, "lab", "respond", "--delay", "20ms"];
    let mut respond = lab.command(&words).unwrap().spawn().unwrap();
    let mut said = BufReader::new(respond.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    let heard = lab.exec("guest", &ask).unwrap();
    let text = heard.text();
    let times = text.lines().filter_map(|line| line.split_once("time=")?.1.strip_suffix(" ms")?.parse().ok());
    let times: Vec<f64> = times.collect();
    assert_eq!((heard.code, times.len()), (Some(0), 3), "{heard:?}");
    assert!(times.iter().all(|ms| *ms >= 20.0), "{text}");
    assert!(Command::new("kill").args(["-INT", &respond.id().to_string()]).status().unwrap().success());
    let mut end = String::new();
    said.read_to_string(&mut end).unwrap();
    assert!(respond.wait().unwrap().success() && end.starts_with("held 3, min/mean/max 20."), "{end}");
}

#[test]
fn exec_in_the_guest_is_like_running_it_here() {
    if !root_or_skip("exec_in_the_guest_is_like_running_it_here") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let done = lab.exec("guest", &["sh", "-c", "echo out; echo err >&2; exit 7"]).unwrap();
    assert_eq!((done.code, done.text().as_str(), done.stderr.as_str()), (Some(7), "out\n", "err\n"));
    assert_eq!(lab.exec("guest", &["no-such-command"]).unwrap().code, Some(127));
    assert_eq!(lab.exec("peer", &["no-such-command"]).unwrap().code, Some(127));
    assert_eq!(lab.exec("guest", &["sh", "-c", "kill -9 $$"]).unwrap().code, Some(137));
    // A child that lives on and holds the output open is not waited for.
    let started = Instant::now();
    assert_eq!(lab.exec("guest", &["sh", "-c", "sleep 60 & echo done"]).unwrap().text(), "done\n");
    assert!(started.elapsed() < Duration::from_secs(30));
    every_byte_passes_unchanged(&lab);
    execs_run_side_by_side(&lab);
    an_interrupted_command_ends_in_the_guest(&lab);
}

fn every_byte_passes_unchanged(lab: &TestLab) {
    let sent: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut command = lab.command(&["exec", "--stdin", "guest", "--", "cat"]).unwrap();
    let mut cat = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = cat.stdin.take().unwrap();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&copy).unwrap());
    let output = cat.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.stdout.len(), sent.len());
    assert!(output.stdout == sent);
}

/// More of them than the guest has ports, so that some must wait for others.
fn execs_run_side_by_side(lab: &TestLab) {
    let words = |n: u32| format!("sleep 0.3; echo {n}");
    let start = |n| lab.command(&["exec", "guest", "--", "sh", "-c", &words(n)]).unwrap().spawn().unwrap();
    let running: Vec<_> = (0..4).map(start).collect();
    for (n, child) in running.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), n.to_string());
    }
}

fn an_interrupted_command_ends_in_the_guest(lab: &TestLab) {
    let endless = "trap '' INT; echo started; while :; do sleep 1; done";
    // SIGINT is passed on, here to no avail; SIGKILL leaves nothing to pass on but the end of the connection.
    for (signal, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let mut exec = lab.command(&["exec", "guest", "--", "sh", "-c", endless]).unwrap().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1000));
        assert!(Command::new("kill").args([signal, &exec.id().to_string()]).status().unwrap().success());
        assert_eq!(exec.wait().unwrap().code(), code, "{signal}");
        let listed = lab.exec("guest", &["ps"]).unwrap().text();
        assert!(listed.contains("/init"), "{listed}");
        assert!(!listed.contains("trap"), "{signal}: {listed}");
    }
}

#[test]
fn down_leaves_nothing_even_after_qemu_was_killed() {
    if !root_or_skip("down_leaves_nothing_even_after_qemu_was_killed") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let status = lab.status().unwrap();
    assert_eq!(status["state"], "up", "{status}");
    let pid = status["qemu_pid"].as_i64().unwrap();
    // Something else that lives in the lab.
    let mut stranger = lab.command(&["exec", "peer", "--", "sleep", "1000"]).unwrap().spawn().unwrap();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    let degraded = lab.status().unwrap();
    assert_eq!(degraded["state"], "degraded");
    assert_eq!(degraded["problems"].as_array().unwrap().len(), 1, "{degraded}");
    let again = lab.run(&["up"]).unwrap();
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("vmhop lab down --name"), "{}", again.stderr);

    assert_eq!(lab.run(&["down"]).unwrap().code, Some(0));
    assert!(!stranger.wait().unwrap().success());
    assert_nothing_left(&lab);
    assert_eq!(lab.run(&["down"]).unwrap().code, Some(0), "down is not idempotent");
}

#[test]
fn an_interrupted_up_takes_down_what_it_has_made() {
    if !root_or_skip("an_interrupted_up_takes_down_what_it_has_made") {
        return;
    }
    for (signal, cleans_up) in [("-INT", true), ("-KILL", false)] {
        let lab = TestLab::new();
        let mut up = lab.command(&["up", "--accel", "tcg"]).unwrap().spawn().unwrap();
        let made = format!("/run/netns/vmhop-{}-peer", lab.name());
        let started = Instant::now();
        while !fs::exists(&made).unwrap() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(Command::new("kill").args([signal, &up.id().to_string()]).status().unwrap().success());
        assert!(!up.wait().unwrap().success());
        if !cleans_up {
            assert_eq!(lab.run(&["down"]).unwrap().code, Some(0));
        }
        assert_nothing_left(&lab);
    }
}

fn assert_nothing_left(lab: &TestLab) {
    for side in ["host", "peer"] {
        assert!(!fs::exists(format!("/run/netns/vmhop-{}-{side}", lab.name())).unwrap(), "{side}");
    }
    assert!(!fs::exists(format!("/run/vmhop/lab-{}", lab.name())).unwrap());
    let wanted = format!("guest={}", lab.vm());
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&wanted), "{} still runs", entry.path().display());
    }
    assert_eq!(lab.status().unwrap()["state"], "down");
}

#[test]
fn what_is_not_there_is_named_with_its_remedy() {
    if !root_or_skip("what_is_not_there_is_named_with_its_remedy") {
        return;
    }
    let lab = TestLab::new();
    for place in ["guest", "peer", "host"] {
        let done = lab.exec(place, &["true"]).unwrap();
        assert_eq!(done.code, Some(1));
        assert!(done.stderr.contains(&format!("vmhop lab up --name {}", lab.name())), "{}", done.stderr);
    }
    let mut up = lab.command(&["up"]).unwrap();
    let output = up.env("VMHOP_LAB_KERNEL", "/no/such/kernel").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/kernel"));
    assert_nothing_left(&lab);
}
