//! What goes wrong while recording: each time one clear line, the exit code, nothing left attached, and what
//! was recorded kept.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use tests::{
    lab::{Done, TestLab, root_or_skip},
    recording::{Recordings, analyse},
    vmhop::binary,
};

/// Ids of the BPF programs that a process holds, from its descriptors.
fn programs_of(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let id =
        |text: String| Some(text.lines().find_map(|line| line.strip_prefix("prog_id:"))?.trim().to_owned());
    texts.filter_map(id).collect()
}

/// Whether bpftool still knows a program.
fn exists(program: &str) -> bool {
    Command::new("bpftool").args(["prog", "show", "id", program]).output().unwrap().status.success()
}

fn all_gone(programs: &[String]) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if !programs.iter().any(|program| exists(program)) {
            return true;
        }
        sleep(Duration::from_millis(50));
    }
    false
}

/// Waits until a recording runs with its programs attached and has written rows behind its header.
fn recording(child: &Child, path: &Path) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(20);
    let mut header = 0;
    loop {
        let programs = programs_of(child.id());
        let written = fs::metadata(path).map_or(0, |file| file.len());
        // The header goes to the file at once and as a whole.
        header = if header == 0 { written } else { header };
        if programs.len() >= 8 && written > header + 16_384 {
            return programs;
        }
        assert!(Instant::now() < end, "the recording does not begin");
        sleep(Duration::from_millis(100));
    }
}

fn ping_in_background(lab: &TestLab) -> Child {
    lab.command(&["exec", "peer", "--", "ping", "-q", "-i", "0.02", "-w", "30", "192.0.2.2"])
        .unwrap()
        .spawn()
        .unwrap()
}

fn last_line(done: &Done) -> &str {
    done.stderr.lines().last().unwrap_or_default()
}

#[test]
fn killing_vmhop_leaves_no_program_and_a_readable_recording() {
    if !root_or_skip("kill -9 of vmhop") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let mut ping = ping_in_background(&lab);
    let mut child = recordings.command(&lab, "killed.vmhop", &[]).spawn().unwrap();
    let path = recordings.path("killed.vmhop");
    let programs = recording(&child, &path);
    assert!(programs.iter().all(|program| exists(program)));
    sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(all_gone(&programs), "{programs:?} are still there");
    let (report, exchanges) = analyse(&path);
    assert!(!report.recording.complete);
    assert!(exchanges.len() > 5, "{} exchanges", exchanges.len());
    assert!(report.warnings.iter().any(|warning| warning.text.contains("cut off")), "{:?}", report.warnings);
    ping.kill().unwrap();
    ping.wait().unwrap();
    nothing_passing_is_said(&lab, &recordings);
}

fn nothing_passing_is_said(lab: &TestLab, recordings: &Recordings) {
    // Only what the filter passes counts, and nobody speaks to this port.
    let options = ["--duration", "500ms", "--filter", "udp port 9"];
    let done: Done = recordings.command(lab, "nothing.vmhop", &options).output().unwrap().into();
    assert_eq!(done.code, Some(1));
    assert!(last_line(&done).contains("no frame of"), "{}", done.stderr);
    assert!(!done.stderr.contains("panicked"));
}

#[test]
fn a_guest_that_is_killed_ends_the_recording_with_a_word() {
    if !root_or_skip("kill -9 of the guest") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let mut ping = ping_in_background(&lab);
    let child = recordings.command(&lab, "guest.vmhop", &[]).spawn().unwrap();
    let path = recordings.path("guest.vmhop");
    let programs = recording(&child, &path);
    let guest = lab.status().unwrap()["qemu_pid"].as_i64().unwrap() as i32;
    // SAFETY: sends a signal to the lab's own QEMU.
    unsafe { libc::kill(guest, libc::SIGKILL) };
    let done: Done = child.wait_with_output().unwrap().into();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(last_line(&done).contains(&lab.vm()) && last_line(&done).contains("kept"), "{}", done.stderr);
    assert!(all_gone(&programs));
    assert!(analyse(&path).0.passages.count > 10);
    ping.kill().unwrap();
    ping.wait().unwrap();
}

#[test]
fn a_device_that_goes_away_and_a_full_disk_keep_what_was_recorded() {
    if !root_or_skip("device gone, disk full") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let mut ping = ping_in_background(&lab);
    a_full_disk(&lab, &recordings);
    let child = recordings.command(&lab, "device.vmhop", &[]).spawn().unwrap();
    let path = recordings.path("device.vmhop");
    let programs = recording(&child, &path);
    lab.exec("host", &["ip", "link", "del", "nic0"]).unwrap();
    let done: Done = child.wait_with_output().unwrap().into();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(last_line(&done).contains("nic0"), "{}", done.stderr);
    assert!(all_gone(&programs));
    assert!(analyse(&path).0.passages.count > 10);
    ping.kill().unwrap();
    ping.wait().unwrap();
}

/// A file system of 256 KiB, unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn new(path: std::path::PathBuf) -> SmallDisk {
        fs::create_dir(&path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&path).status();
        assert!(mounted.unwrap().success());
        SmallDisk(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn a_full_disk(lab: &TestLab, recordings: &Recordings) {
    let disk = SmallDisk::new(recordings.path("disk"));
    let options = ["--duration", "60s"];
    let done: Done = recordings.command(lab, "disk/full.vmhop", &options).output().unwrap().into();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(last_line(&done).contains("No space left"), "{}", done.stderr);
    let (report, exchanges) = analyse(&disk.0.join("full.vmhop"));
    assert!(!report.recording.complete && exchanges.len() > 10, "{} exchanges", exchanges.len());
}

#[test]
fn what_is_no_recording_is_said_in_one_line() {
    let report =
        |path: &Path| -> Done { Command::new(binary()).arg("report").arg(path).output().unwrap().into() };
    let recordings = Recordings::new();
    let path = recordings.path("text");
    for content in ["", "hello", "ARROW1\0\0 and then something else"] {
        fs::write(&path, content).unwrap();
        let done = report(&path);
        assert_eq!(done.code, Some(2), "{}", done.stderr);
        assert!(
            done.stderr.contains("not a vmhop recording") && done.stderr.lines().count() == 1,
            "{}",
            done.stderr
        );
    }
    let done = report(&recordings.path("nothing"));
    assert_eq!(done.code, Some(2), "{}", done.stderr);
}
