//! A VMM that writes to its tap by io_uring. Needs kprobes: for the VMs of `cargo xtask test networks`.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    env,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use io_uring::{IoUring, opcode::Write, squeue::Flags, types::Fd};
use tests::{
    host::{Netns, run},
    recording::analyse,
    vmhop::Place,
};

/// Set for the process that is the VMM; its standard input is the tap.
const VMM: &str = "VMHOP_TEST_URING";

/// How many frames it writes at least while a recording lasts.
const FRAMES: u64 = 50;

/// A UDP datagram to nobody, of this number.
fn frame(number: u16) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [0xff; 6])
        .ipv4([192, 0, 2, 2], [192, 0, 2, 255], 64)
        .udp(1000, number);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"by io_uring").unwrap();
    frame
}

/// Writes frames until it is killed: one in the thread that asks, one in a worker of io_uring's.
#[test]
#[ignore = "is the VMM of the other test"]
fn writes_by_io_uring() {
    assert!(env::var_os(VMM).is_some(), "is started by the other test");
    let mut ring = IoUring::new(4).unwrap();
    for number in 1.. {
        let frame = frame(number);
        let flags = if number % 2 == 0 { Flags::ASYNC } else { Flags::empty() };
        let write = Write::new(Fd(0), frame.as_ptr(), frame.len() as u32).build().flags(flags);
        // SAFETY: the frame outlives the write, which is waited for.
        unsafe { ring.submission().push(&write) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.completion().next().unwrap().result(), frame.len() as i32);
        sleep(Duration::from_millis(5));
    }
}

/// Ends the VMM with the test.
struct Vmm(Child);

impl Drop for Vmm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs kprobes: cargo xtask test networks"]
fn frames_written_by_io_uring_pass_tap_write() {
    let host = Netns::new("host");
    let tap = host.tun("tap0", libc::IFF_TAP);
    host.ip("link set tap0 up");
    let place = Place::new();
    let program = place.path("qemu-system-x86_64");
    run(&format!("cp {} {}", env::current_exe().unwrap().display(), program.display()));
    let mut command = Command::new(&program);
    command.args(["--ignored", "--exact", "writes_by_io_uring"]).env(VMM, "1").stdin(Stdio::from(tap));
    let _vmm = Vmm(command.stdout(Stdio::null()).spawn().unwrap());
    sleep(Duration::from_millis(500));
    let outcome = place.run(&["record", "--vm", "tap0", "--duration", "5s", "-o", "r.vmhop"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let (report, _) = analyse(&place.path("r.vmhop"));
    let row = |name: &str| report.hops.iter().find(|row| row.hop == name).unwrap();
    let (written, born) = (row("tap.write"), row("tap.rx"));
    assert_eq!(written.hook, "kprobe:tun_chr_write_iter");
    assert!(written.matched >= FRAMES && written.matched == written.seen, "{written:?}");
    assert!(born.seen.abs_diff(written.seen) <= 1, "{born:?} {written:?}");
}
