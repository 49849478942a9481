//! Recordings of a real guest's real traffic, held against what other instruments say: ping's own round-trip
//! times, tcpdump's stamps, the devices' counters.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, process::Stdio, thread::sleep, time::Duration};

use tests::{
    lab::{TestLab, root_or_skip},
    recording::{Recordings, analyse, assert_additive, time_in},
};
use tracer::{latency::Layer, report::Report};

const PINGS: usize = 60;

/// Round-trip times that ping printed, ns, in the order of their sequence numbers.
fn round_trips(text: &str) -> Vec<u64> {
    let number = |line: &str, key: &str| -> Option<f64> {
        let rest = &line[line.find(key)? + key.len()..];
        rest.split_whitespace().next()?.parse().ok()
    };
    let replies = text.lines().filter_map(|line| number(line, "time=").map(|ms| (ms * 1e6) as u64));
    replies.collect()
}

fn hop<'a>(report: &'a Report, name: &str) -> &'a tracer::report::HopRow {
    report.hops.iter().find(|hop| hop.hop == name).unwrap()
}

#[test]
fn each_echo_asked_by_the_peer_spends_less_in_the_host_than_ping_says() {
    if !root_or_skip("echo by the peer") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let ping = ["ping", "-c", &PINGS.to_string(), "-i", "0.05", "192.0.2.2"];
    let (path, done) = recordings.during(&lab, "ping.vmhop", &[], "peer", &ping);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (report, exchanges) = analyse(&path);
    assert_additive(&report);
    let trips = round_trips(&done.text());
    assert_eq!((trips.len(), exchanges.len()), (PINGS, PINGS), "{}", done.text());
    for (trip, exchange) in trips.iter().zip(&exchanges) {
        assert!(exchange.total_ns() < *trip, "{} in the host, {trip} round trip", exchange.total_ns());
    }
    assert_eq!(report.losses.ring_total, 0);
    for name in [
        "tap.write",
        "tap.rx",
        "nic.queue",
        "nic.xmit",
        "nic.done",
        "nic.rx",
        "nic.stack",
        "tap.queue",
        "tap.ring",
        "vmm.read",
        "vmm.read.end",
    ] {
        assert_eq!(hop(&report, name).coverage, Some(1.0), "{name}");
        assert!(hop(&report, name).seen >= PINGS as u64, "{name}");
    }
    the_guests_own_ping_leaves_room_for_the_guest(&lab, &recordings);
}

/// The guest asks: host-side segments are below the round trip, and with wire and peer they fill it up to what
/// the guest itself needs.
fn the_guests_own_ping_leaves_room_for_the_guest(lab: &TestLab, recordings: &Recordings) {
    let ping = ["ping", "-c", &PINGS.to_string(), "-i", "0.05", "192.0.2.3"];
    let (path, done) = recordings.during(lab, "guest.vmhop", &[], "guest", &ping);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (report, exchanges) = analyse(&path);
    assert_additive(&report);
    let trips = round_trips(&done.text());
    assert_eq!((trips.len(), exchanges.len()), (PINGS, PINGS), "{}", done.text());
    let host_side = [Layer::Vmm, Layer::Vmnet, Layer::Nic, Layer::Host];
    for (trip, exchange) in trips.iter().zip(&exchanges) {
        // The last stretch, from the copy to the vCPU's entry, may end after the guest took the frame: another
        // vCPU of the emulation, or the same one a little later.
        assert!(time_in(exchange, &host_side) < *trip, "{exchange:?} against {trip}");
    }
}

/// Mean time from tap to NIC by tcpdump's own stamps, ns, over the guest's echo replies.
fn tcpdump_mean(tap: &str, nic: &str) -> f64 {
    let stamps = |text: &str| -> Vec<(String, u64)> {
        let replies = text.lines().filter(|line| line.contains("echo reply") && line.contains("192.0.2.2 >"));
        let parse = |line: &str| {
            let (seconds, nanos) = line.split_whitespace().next()?.split_once('.')?;
            let seq = line.split("seq ").nth(1)?.split(',').next()?.to_owned();
            Some((seq, seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?))
        };
        replies.filter_map(parse).collect()
    };
    let at_nic = stamps(nic);
    let delays: Vec<u64> = stamps(tap)
        .iter()
        .filter_map(|(seq, entered)| Some(at_nic.iter().find(|(other, _)| other == seq)?.1 - entered))
        .collect();
    assert!(delays.len() > PINGS / 2, "tcpdump saw {} replies on both devices", delays.len());
    delays.iter().sum::<u64>() as f64 / delays.len() as f64
}

#[test]
fn tap_to_nic_agrees_with_tcpdump() {
    if !root_or_skip("tap to NIC against tcpdump") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let dump = |device: &str| {
        let mut command = lab
            .command(&[
                "exec",
                "host",
                "--",
                "tcpdump",
                "-i",
                device,
                "-U",
                "-w",
                "-",
                "--time-stamp-precision=nano",
                "icmp",
            ])
            .unwrap();
        let capture = fs::File::create(recordings.path(device)).unwrap();
        command.stdout(capture).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut dumps = [dump("tap0"), dump("nic0")];
    sleep(Duration::from_secs(2));
    let ping = ["ping", "-q", "-c", &PINGS.to_string(), "-i", "0.05", "192.0.2.2"];
    let (path, done) = recordings.during(&lab, "ping.vmhop", &[], "peer", &ping);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for dump in &mut dumps {
        // SAFETY: sends a signal to a child of this process that has not been waited for.
        unsafe { libc::kill(dump.id() as i32, libc::SIGINT) };
        dump.wait().unwrap();
    }
    let read = |device: &str| {
        let file = recordings.path(device);
        let output = std::process::Command::new("tcpdump")
            .args(["-tt", "-nn", "--nano", "-r"])
            .arg(file)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let theirs = tcpdump_mean(&read("tap0"), &read("nic0"));
    let (report, _) = analyse(&path);
    let mean = |from: &str, to: &str| {
        report.segments.iter().find(|row| row.from == from && row.to == to).unwrap().mean_ns.unwrap()
    };
    let ours = mean("tap.rx", "nic.queue") + mean("nic.queue", "nic.xmit");
    eprintln!("tap to NIC: vmhop {ours:.0} ns, tcpdump {theirs:.0} ns");
    assert!((ours - theirs).abs() < (0.2 * theirs).max(20_000.0), "vmhop {ours} ns, tcpdump {theirs} ns");
}

fn counters(lab: &TestLab, device: &str) -> (u64, u64) {
    let shown = lab.exec("host", &["ip", "-s", "-j", "link", "show", device]).unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let packets = |way: &str| shown[0]["stats64"][way]["packets"].as_u64().unwrap();
    (packets("rx"), packets("tx"))
}

#[test]
fn a_download_of_40_mb_is_seen_whole() {
    if !root_or_skip("download") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let before = counters(&lab, "nic0");
    let fetch = ["busybox", "wget", "-q", "-O", "/dev/null", "http://192.0.2.2/40MB"];
    let (path, done) = recordings.during(&lab, "http.vmhop", &[], "peer", &fetch);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let after = counters(&lab, "nic0");
    let (report, exchanges) = analyse(&path);
    assert_additive(&report);
    assert!(exchanges.len() > 100, "{} exchanges", exchanges.len());
    assert!(report.passages.bytes > 40_000_000);
    assert!(report.passages.ambiguous * 100 < report.passages.count, "{:?}", report.passages);
    assert_eq!(report.losses.ring_total, 0);
    // A few frames of neighbour discovery may fall between the counters and the recording.
    for (name, count) in [("nic.rx", after.0 - before.0), ("nic.xmit", after.1 - before.1)] {
        let seen = hop(&report, name).seen;
        assert!(seen.abs_diff(count) <= 8, "{name}: {seen} seen, {count} by the device");
    }
    a_filter_is_applied_in_the_kernel(&lab, &recordings);
}

fn a_filter_is_applied_in_the_kernel(lab: &TestLab, recordings: &Recordings) {
    let ping = ["ping", "-q", "-c", "10", "-i", "0.05", "192.0.2.2"];
    let filter = ["--filter", "icmp and host 192.0.2.3", "--json"];
    let (path, done) = recordings.during(lab, "icmp.vmhop", &filter, "peer", &ping);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&json["schema"], &json["exchanges"]["count"]), (&"vmhop.report/1".into(), &10.into()));
    assert!(done.stderr.contains("10 received"), "{}", done.stderr);
    let (report, exchanges) = analyse(&path);
    assert_eq!((exchanges.len(), report.passages.count), (10, 20), "{:?}", report.passages);
    let filter = ["--filter", "tcp port 80 and not host 192.0.2.3"];
    let (_, done) = recordings.during(lab, "none.vmhop", &filter, "peer", &ping);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("no frame"), "{}", done.stderr);
}

#[test]
fn xdp_on_request_serves_its_hops_and_changes_no_others() {
    if !root_or_skip("XDP") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let ping = ["ping", "-q", "-c", "20", "-i", "0.05", "192.0.2.2"];
    for mode in ["generic", "native"] {
        let (path, done) = recordings.during(&lab, mode, &["--xdp", mode], "peer", &ping);
        assert_eq!(done.code, Some(0), "{mode}: {}", done.stderr);
        let (report, exchanges) = analyse(&path);
        assert_additive(&report);
        assert_eq!(exchanges.len(), 20, "{mode}: {:?}", report.passages);
        // Generic XDP runs behind netif_rx and netif_receive_skb, so it is never the first to see a frame.
        let first = if mode == "native" { "xdp" } else { "tp_btf:netif_rx" };
        assert_eq!(hop(&report, "nic.rx").hook, first, "{mode}: {:?}", report.warnings);
    }
    let left = lab.exec("host", &["ip", "link", "show"]).unwrap().text();
    assert!(!left.contains("xdp"), "{left}");
}
