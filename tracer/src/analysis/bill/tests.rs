//! The arithmetic of the bill: its parts are the whole, and absent is absent.

use super::*;
use crate::{
    export::sample,
    recording::{DeviceSlot, Mode},
    topology::{Device, DeviceKind, Thread, Topology, Vm, Vmm},
};

const SECOND: u64 = 1_000_000_000;

fn tap(slot: u8, vm: &str) -> DeviceSlot {
    let device = Device {
        name: format!("tap{slot}"),
        ifindex: slot.into(),
        netns: 1,
        netns_name: None,
        kind: DeviceKind::Tap,
        driver: None,
        mac: None,
        mtu: 1_500,
        up: true,
        far_end: None,
        irqs: Vec::new(),
        queues: 1,
        via: Vec::new(),
    };
    DeviceSlot { slot, role: "tap".to_owned(), vm: vm.to_owned(), device }
}

fn header(kvm: bool) -> Header {
    let vm = Vm {
        name: "lab".to_owned(),
        vmm: Vmm::Qemu,
        pid: 7,
        start_time: 1,
        threads: vec![Thread { tid: 8, name: "CPU 0/KVM".to_owned(), role: ThreadRole::Vcpu(0) }],
        taps: Vec::new(),
        kvm,
    };
    let names = [(12, "HLT"), (30, "IO_INSTRUCTION"), (49, "EPT_MISCONFIG")];
    let names = names.map(|(code, name)| (code, name.to_owned()));
    Header {
        host: sample::empty().host,
        started_unix_ns: 0,
        started_monotonic_ns: 0,
        topology: Topology { vms: vec![vm] },
        vms: vec!["lab".to_owned()],
        devices: vec![tap(3, "lab"), tap(4, "other")],
        plan: Vec::new(),
        filter: String::new(),
        command: Vec::new(),
        drop_reasons: BTreeMap::new(),
        exit_reasons: BTreeMap::from([(1, BTreeMap::from(names))]),
        user_hops: Vec::new(),
        sampled: None,
        mode: Mode::default(),
    }
}

fn exit(code: u32, count: u64, ns: u64, off_ns: u64) -> ExitUse {
    ExitUse { reason: ExitReason::Told { isa: 1, code }, count, ns, off_ns }
}

fn thread(tid: i32, role: ThreadRole, cpu_ns: u64, wait_ns: Option<u64>) -> ThreadUse {
    ThreadUse { tid, name: "x".to_owned(), role, cpu_ns, wait_ns }
}

/// Two vCPUs for ten seconds: 20 s, of which 1 s is not accounted for.
fn book() -> BillBook {
    let used = VmUse {
        vm: "lab".to_owned(),
        vcpus: 2,
        entries: 50_000,
        guest_ns: 4 * SECOND,
        exits: vec![
            exit(12, 9_000, 12 * SECOND, 11 * SECOND),
            exit(30, 1_000, SECOND / 100, 0),
            exit(49, 40_000, 2 * SECOND, SECOND / 2),
            exit(0x51, 10, SECOND / 50, 0),
            ExitUse { reason: ExitReason::Before, count: 0, ns: SECOND * 97 / 100, off_ns: 0 },
        ],
        threads: vec![
            thread(8, ThreadRole::Vcpu(0), 6 * SECOND, Some(SECOND)),
            thread(9, ThreadRole::Vhost, SECOND, Some(SECOND / 10)),
            thread(7, ThreadRole::Io, SECOND / 2, None),
            thread(10, ThreadRole::Other, SECOND / 4, Some(0)),
        ],
    };
    let bill = Bill { wall_ns: 10 * SECOND, host_ns: Some(9 * SECOND), vms: vec![used] };
    BillBook { frames: BTreeMap::from([(3, 20_000), (4, 7)]), bill }
}

fn bill(book: &BillBook, header: &Header) -> VmBill {
    book.lay_out(header).remove(0)
}

fn row<'a>(bill: &'a VmBill, what: &str) -> &'a VcpuTimeRow {
    let found = bill.vcpu_time.iter().find(|row| row.what == what);
    found.unwrap_or_else(|| panic!("no {what}: {bill:#?}"))
}

fn parts(bill: &VmBill) -> f64 {
    let parts = bill.vcpu_time.iter().filter(|row| row.kind != VcpuTimeKind::Derived);
    parts.map(|row| row.share).sum()
}

#[test]
fn rows_that_are_not_derived_are_all_of_the_time() {
    let bill = bill(&book(), &header(true));
    assert!((parts(&bill) - 1.0).abs() < 1e-9, "{bill:#?}");
    let names: Vec<&str> = bill.vcpu_time.iter().map(|row| row.what.as_str()).collect();
    let expected = [
        "guest",
        "EPT_MISCONFIG",
        "other reasons (2)",
        "idle (HLT)",
        "outside since before the recording",
        "the rest",
        "all exits but idle",
        "the same, per frame",
    ];
    assert_eq!(names, expected);
    assert_eq!(row(&bill, "the rest").ns, SECOND as i64);
    assert!(row(&bill, "the rest").count.is_none());
}

#[test]
fn idle_is_no_cost_of_exits() {
    let bill = bill(&book(), &header(true));
    let cost = row(&bill, "all exits but idle");
    assert_eq!((cost.count, cost.ns), (Some(41_010), 2_030_000_000));
    assert!(cost.on_cpu_share.is_some_and(|share| (share - 0.0765).abs() < 1e-9), "{cost:?}");
    assert_eq!(row(&bill, "the same, per frame").mean_ns, Some(101_500.0));
    assert_eq!(row(&bill, "idle (HLT)").kind, VcpuTimeKind::Idle);
}

#[test]
fn figures_are_per_frame_of_this_vm() {
    let bill = bill(&book(), &header(true));
    assert_eq!((bill.frames, bill.per_frames), (20_000, Some(20_000)));
    let misconfig = row(&bill, "EPT_MISCONFIG");
    assert_eq!((misconfig.per_frame, misconfig.mean_ns), (Some(2.0), Some(50_000.0)));
    assert_eq!(bill.threads[1].cpu_ns_per_frame, Some(50_000.0));
    assert_eq!(bill.threads[1].wait_ns_per_frame, Some(5_000.0));
    // The kernel keeps no waits of one of them.
    assert_eq!(bill.threads[2].wait_ns_per_frame, None);
}

#[test]
fn threads_and_the_rest_are_the_host() {
    let bill = bill(&book(), &header(true));
    let share = |what: &str| bill.threads.iter().find(|row| row.what == what).map(|row| row.share);
    let parts: f64 = bill.threads.iter().filter(|row| !row.derived).map(|row| row.share).sum();
    assert!((parts - 0.9).abs() < 1e-9);
    assert_eq!(share("the rest of the host"), Some(0.125));
    assert_eq!(share("VMM and vhost together"), Some(0.175));
    assert_eq!(share("all of this VM"), Some(0.775));
}

#[test]
fn without_frames_nothing_is_per_frame() {
    let bill = bill(&BillBook { frames: BTreeMap::new(), ..book() }, &header(true));
    assert_eq!((bill.frames, bill.per_frames), (0, None));
    assert!(bill.vcpu_time.iter().all(|row| row.per_frame.is_none()));
    assert!(bill.threads.iter().all(|row| row.cpu_ns_per_frame.is_none()));
    assert!((parts(&bill) - 1.0).abs() < 1e-9);
}

#[test]
fn with_a_filter_nothing_is_per_frame() {
    let bill = bill(&book(), &Header { filter: "icmp".to_owned(), ..header(true) });
    assert_eq!((bill.frames, bill.per_frames), (20_000, None));
}

#[test]
fn an_emulated_guest_has_threads_only() {
    let mut book = book();
    (book.bill.vms[0].vcpus, book.bill.vms[0].exits) = (0, Vec::new());
    let bill = bill(&book, &header(false));
    assert!(bill.vcpu_time.is_empty() && !bill.threads.is_empty());
    assert!(bill.vcpu_time_missing.is_some_and(|why| why.contains("emulated")));
}

#[test]
fn half_of_the_turns_are_no_table() {
    for (entries, exits, why) in [(0, 5, "kvm_entry"), (5, 0, "kvm_exit")] {
        let mut book = book();
        book.bill.vms[0].entries = entries;
        book.bill.vms[0].exits = vec![exit(12, exits, 5, 0)];
        let bill = bill(&book, &header(true));
        assert!(bill.vcpu_time.is_empty());
        assert!(bill.vcpu_time_missing.is_some_and(|missing| missing.contains(why)));
    }
}

#[test]
fn a_reason_without_a_name_has_its_number() {
    let mut book = book();
    book.bill.vms[0].exits[3].ns = SECOND;
    assert_eq!(row(&bill(&book, &header(true)), "0x51").count, Some(10));
}

#[test]
fn without_reasons_idle_is_among_the_exits_and_they_say_so() {
    let mut book = book();
    book.bill.vms[0].exits =
        vec![ExitUse { reason: ExitReason::Untold, count: 9, ns: 15 * SECOND, off_ns: 0 }];
    let bill = bill(&book, &header(true));
    assert_eq!(row(&bill, "reason not told").ns, row(&bill, "all exits, idle among them").ns);
    assert!((parts(&bill) - 1.0).abs() < 1e-9);
}

#[test]
fn figures_beyond_reason_do_no_harm() {
    let mut book = book();
    let used = &mut book.bill.vms[0];
    (used.vcpus, used.guest_ns, used.entries) = (u32::MAX, u64::MAX, u64::MAX);
    used.exits = vec![exit(1, u64::MAX, u64::MAX, u64::MAX), exit(12, u64::MAX, u64::MAX, u64::MAX)];
    used.threads = vec![thread(1, ThreadRole::Io, u64::MAX, Some(u64::MAX)); 3];
    (book.bill.wall_ns, book.bill.host_ns) = (u64::MAX, Some(0));
    bill(&book, &header(true));
    book.bill.wall_ns = 0;
    bill(&book, &header(true));
}

#[test]
fn a_flooded_frame_was_sent_once() {
    let mut book = BillBook::default();
    book.frame(false, Side::Guest(1), Side::Wire(2));
    book.frame(true, Side::Guest(1), Side::Guest(3));
    book.frame(false, Side::Wire(2), Side::Guest(1));
    assert_eq!(book.frames, BTreeMap::from([(1, 2), (3, 1)]));
}
