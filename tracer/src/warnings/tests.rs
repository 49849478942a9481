//! Each figure that should give a warning, at its limit and beyond.

use super::*;
use crate::{
    export::sample,
    report::{Drop, ProgramCount, RuleCount, VmBill},
};

/// A report that gives no warning.
fn quiet() -> Report {
    let mut report = sample::full();
    report.losses = crate::report::Losses::default();
    for hop in &mut report.hops {
        hop.unserved = None;
        hop.coverage = hop.coverage.map(|_| 1.0);
        hop.rules = vec![RuleCount { rule: "pointer".to_owned(), count: 1 }];
    }
    report.exchanges.groups[0].unanswered = 0;
    report.passages.polled = 0;
    report
}

/// A bill in which this share of the vCPUs' time is not accounted for.
fn with_rest(share: f64) -> VmBill {
    let mut bill = sample::bill();
    for row in bill.vcpu_time.iter_mut().filter(|row| row.kind == VcpuTimeKind::Rest) {
        row.share = share;
    }
    bill
}

type Change = fn(&mut Report);

/// The warnings of a changed report: grave ones with `!` before.
fn after(change: Change) -> String {
    let mut report = quiet();
    change(&mut report);
    let shown = |warning: &Warning| {
        let text = warning.to_string();
        assert!(!text.contains('\n') && text.contains(": ") && text.contains("; "), "{text}");
        let what = text.split_once(": ").map_or("", |(what, _)| what);
        format!("{}{what}", if warning.is_grave() { "!" } else { "" })
    };
    of(&report).iter().map(shown).collect::<Vec<_>>().join(" | ")
}

/// Holds each change against the warnings that it gives.
fn hold(cases: &[(Change, &str)]) {
    for (change, expected) in cases {
        assert_eq!(after(*change), *expected);
    }
}

#[test]
fn a_good_report_has_no_warning() {
    assert_eq!(after(|_| ()), "");
}

#[test]
fn figures_up_to_their_limit_give_no_warning() {
    let warnings = after(|report| {
        report.hops[1].coverage = Some(0.95);
        report.exchanges.groups[0].residual_mean_ns = Some(20_000.0);
        report.exchanges.groups[0].ambiguous = 1;
        report.exchanges.groups[0].unanswered = 6;
        report.passages.ambiguous = 2;
        report.cost.programs_share = 0.05;
        report.cost.reader_share = 0.05;
    });
    assert_eq!(warnings, "");
}

#[test]
fn each_figure_beyond_its_limit_gives_its_warning() {
    let cases: &[(Change, &str)] = &[
        (|it| it.losses.ring_total = 1, "1 event (<0.1 %) found the buffers full"),
        (|it| it.losses.ring_total = 100, "!100 events (3.6 %) found the buffers full"),
        (|it| it.losses.undecoded = 1, "!1 record could not be decoded"),
        (|it| it.recording.complete = false, "!the recording was cut off"),
        (
            |it| {
                it.recording.failed = true;
                it.recording.ended = Some("tap tap0 of VM lab went away".to_owned());
            },
            "!the recording ended early (tap tap0 of VM lab went away)",
        ),
        (|it| *it = sample::empty(), "!no frame of lab was seen"),
        (|it| it.exchanges = sample::empty().exchanges, "!243 frames but no exchange"),
        (|it| it.hops[4].coverage = Some(0.9), "!bridge.in saw 90.0 % of the 133 frames that went by"),
        (
            |it| it.exchanges.groups[0].residual_mean_ns = Some(40_000.0),
            "!40.0 µs (10.0 %) of the mean of echo exchanges asked by peer is not attributed",
        ),
        (|it| it.segments[0].negative = 3, "!nic.stack was stamped before nic.rx 3 times"),
    ];
    hold(cases);
}

#[test]
fn what_does_not_change_the_conclusions_is_told_as_well() {
    let cases: &[(Change, &str)] = &[
        (|it| it.passages.ambiguous = 24, "9.9 % of frames could be one of several"),
        (
            |it| it.exchanges.groups[0].ambiguous = 120,
            "50.0 % of echo exchanges asked by peer could be one of several",
        ),
        (|it| it.losses.evicted = 7, "7 passages given up because too many were open at once"),
        (
            |it| {
                it.cost.programs[0].runs = 900;
                it.losses.skipped = vec![ProgramCount { program: "consume_skb".to_owned(), count: 3 }];
            },
            "the kernel skipped 3 runs of BPF programs (<0.1 %)",
        ),
        (|it| it.losses.late = 1, "1 event came too late to be put in order"),
        (
            |it| {
                let drop = |reason: &str, count| Drop {
                    function: None,
                    after: "tap.queue".to_owned(),
                    device: "tap0".to_owned(),
                    reason: reason.to_owned(),
                    count,
                };
                it.losses.drops = vec![drop("FULL_RING", 5), drop("NO_SOCKET", 1)];
            },
            "the kernel dropped 6 frames, chiefly FULL_RING at tap0 after tap.queue",
        ),
        (
            |it| it.exchanges.groups[0].unanswered = 40,
            "25.0 % of the questions of echo exchanges asked by peer got no answer",
        ),
        (|it| it.cost.reader_share = 0.3, "measuring took 30.1 % of one CPU"),
        (|it| it.bill = vec![with_rest(0.06)], "6.0 % of the time of the vCPUs of lab is not accounted for"),
        (
            |it| it.bill = vec![with_rest(-0.02)],
            "the vCPUs of lab are billed for 2.0 % more time than there was",
        ),
        (|it| it.bill = vec![with_rest(0.05), with_rest(-0.001)], ""),
        (
            |it| {
                it.hops[0] = sample::unserved("vmm.kick", "load kvm");
                it.layers[0].layer = "guest+vmm".to_owned();
            },
            "guest and vmm cannot be told apart where vmm.kick is missing",
        ),
        (|it| it.passages.polled = 3, "guests sent 3 frames and not one kick was seen"),
        (
            |it| {
                it.passages.polled = 3;
                it.hops[0].seen = 1;
            },
            "",
        ),
    ];
    hold(cases);
}

#[test]
fn the_gravest_come_first() {
    let warnings = after(|report| {
        report.losses.ring_total = 3;
        report.segments[0].negative = 1;
        report.recording.complete = false;
        report.losses.late = 2;
    });
    assert_eq!(
        warnings,
        "!the recording was cut off | !nic.stack was stamped before nic.rx 1 time | 3 events (0.1 %) found the \
         buffers full | 2 events came too late to be put in order"
    );
}

#[test]
fn an_empty_report_asks_for_traffic_filter_and_vm() {
    let mut report = sample::empty();
    report.recording.filter = "port 80".to_owned();
    let warnings = of(&report);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(
        warning.to_string(),
        "no frame of lab was seen: there is nothing to conclude; check that there is traffic, that the filter \
         \"port 80\" passes it, and that vmhop topology shows the VM and the NIC that you mean"
    );
    assert_eq!(WarningRow::from(warning), WarningRow { grave: true, text: warning.to_string() });
}

#[test]
fn what_others_named_cannot_steer_the_terminal() {
    let mut report = quiet();
    report.recording.failed = true;
    report.recording.ended = Some("tap \u{1b}[2J went away".to_owned());
    assert!(of(&report)[0].to_string().contains("tap \\u{1b}[2J went away"));
}
