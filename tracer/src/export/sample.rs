//! Reports made by hand, for the tests of what is made of reports.

use crate::{
    recording::{Host, Mode, ProgramCost},
    report::{
        Cost, CpuCount, Drop, Exchanges, FlowRow, Group, HopCount, HopRow, LayerRow, Losses, NicRow,
        Passages, ProgramCount, Recording, Report, RuleCount, SCHEMA, SegmentRow, ThreadRow, VanishedRow,
        VcpuTimeKind, VcpuTimeRow, VmBill, WarningRow,
    },
    topology::Topology,
};

/// Nothing was recorded.
pub(crate) fn empty() -> Report {
    let exchanges = Exchanges {
        count: 0,
        mean_ns: None,
        p50_ns: None,
        p90_ns: None,
        p99_ns: None,
        max_ns: None,
        residual_mean_ns: None,
        groups: Vec::new(),
    };
    Report {
        schema: SCHEMA.to_owned(),
        host: Host {
            name: "kvm1".to_owned(),
            kernel: "6.18.0".to_owned(),
            arch: "x86_64".to_owned(),
            cpus: 2,
            vmhop: "0.1.0".to_owned(),
        },
        recording: Recording {
            started: "2026-11-22T18:00:00Z".to_owned(),
            duration_ns: 0,
            vms: vec!["lab".to_owned()],
            sampled: None,
            mode: Mode::default(),
            not_known: Vec::new(),
            filter: String::new(),
            command: Vec::new(),
            complete: true,
            ended: Some("interrupted".to_owned()),
            failed: false,
            events: 0,
        },
        topology: Topology::default(),
        hops: vec![hop("tap.rx", "tp_btf:netif_receive_skb", 0, 0), unserved("vmm.kick", "no KVM here")],
        segments: Vec::new(),
        layers: Vec::new(),
        exchanges,
        passages: Passages::default(),
        nics: Vec::new(),
        flows: Vec::new(),
        flows_left_out: 0,
        losses: Losses::default(),
        bill: Vec::new(),
        cost: Cost::default(),
        warnings: Vec::new(),
    }
}

/// 120 echo exchanges asked by the peer, with some of everything that can go wrong.
pub(crate) fn full() -> Report {
    let mut report = empty();
    report.recording.duration_ns = 12_345_678_901;
    report.recording.filter = "icmp".to_owned();
    report.recording.command = vec!["ping".to_owned(), "-c".to_owned(), "120".to_owned()];
    report.recording.ended = Some("command ended".to_owned());
    report.recording.events = 2_640;
    report.hops = hops();
    report.segments = segments();
    report.layers = layers();
    report.exchanges = exchanges();
    report.passages = Passages {
        count: 243,
        transmitted: 121,
        received: 122,
        between_guests: 0,
        elsewhere: 0,
        complete: 240,
        dropped: 1,
        unfinished: 2,
        ambiguous: 0,
        branches: 3,
        polled: 2,
        unannounced: 1,
        bytes: 23_814,
        segments: 4,
        wire_frames: 260,
    };
    report.nics = vec![nic("receive", 122, 11_956), nic("transmit", 119, 11_662)];
    report.flows = vec![
        flow("198.51.100.2:40000 > 192.0.2.3:80 tcp", Some("192.0.2.1:40000 > 192.0.2.3:80 tcp"), 3, 12_000),
        flow("192.0.2.3 > 192.0.2.2 icmp", None, 120, 11_760),
    ];
    report.flows_left_out = 5;
    report.losses = losses();
    report.cost = cost();
    report.warnings = vec![
        WarningRow { grave: true, text: "a grave thing: it matters; do this".to_owned() },
        WarningRow { grave: false, text: "a lesser thing: it matters less; do that".to_owned() },
    ];
    report
}

fn losses() -> Losses {
    Losses {
        ring: vec![HopCount { hop: "vmm.wake".to_owned(), count: 2 }],
        ring_by_cpu: vec![CpuCount { cpu: 1, count: 2 }],
        ring_total: 2,
        skipped: vec![ProgramCount { program: "consume_skb".to_owned(), count: 1 }],
        undecoded: 0,
        late: 0,
        evicted: 0,
        given_up: Vec::new(),
        drops: vec![Drop {
            function: Some("tun_net_xmit [tun]".to_owned()),
            after: "tap.queue".to_owned(),
            device: "tap0".to_owned(),
            reason: "FULL_RING".to_owned(),
            count: 1,
        }],
        vanished: vec![VanishedRow {
            after: "nic.stack".to_owned(),
            how: "freed elsewhere, as what the host takes in".to_owned(),
            count: 2,
        }],
    }
}

fn nic(way: &str, frames: u64, bytes: u64) -> NicRow {
    let (device, netns, way) = ("nic0".to_owned(), "vmhop-lab-host".to_owned(), way.to_owned());
    NicRow { device, netns, way, frames, bytes, wire_frames: frames + 9, wire_bytes: bytes + 486 }
}

fn flow(flow: &str, translated: Option<&str>, passages: u64, bytes: u64) -> FlowRow {
    FlowRow { flow: flow.to_owned(), translated: translated.map(str::to_owned), passages, bytes }
}

fn hops() -> Vec<HopRow> {
    vec![
        unserved("vmm.kick", "no hook on this kernel sees ioeventfd: load kvm, or trace a host with KVM"),
        hop("tap.write", "raw_tp:sys_enter", 121, 1),
        HopRow { lost: 2, ..hop("vmm.wake", "tp_btf:sched_switch", 1_234_567, 120) },
        hop("tap.rx", "tp_btf:netif_receive_skb", 121, 120),
        HopRow { coverage: Some(0.9), expected: 133, ..hop("bridge.in", "fentry:br_handle_frame", 120, 120) },
        hop("nic.done", "tp_btf:netif_rx", 120, 120),
    ]
}

fn hop(name: &str, hook: &str, seen: u64, expected: u64) -> HopRow {
    HopRow {
        hop: name.to_owned(),
        hook: hook.to_owned(),
        unserved: None,
        seen,
        matched: seen,
        ambiguous: 0,
        lost: 0,
        expected,
        coverage: (expected > 0).then_some(1.0),
        rules: vec![RuleCount { rule: "pointer".to_owned(), count: seen }],
    }
}

/// A hop that no hook serves.
pub(crate) fn unserved(name: &str, reason: &str) -> HopRow {
    HopRow { hook: String::new(), unserved: Some(reason.to_owned()), ..hop(name, "", 0, 0) }
}

fn segment(way: &str, from: &str, to: &str, layer: &str, mean_ns: f64) -> SegmentRow {
    SegmentRow {
        way: way.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        layer: layer.to_owned(),
        count: 120,
        mean_ns: Some(mean_ns),
        p50_ns: Some(mean_ns as u64 - 100),
        p90_ns: Some(mean_ns as u64 * 2),
        p99_ns: Some(mean_ns as u64 * 3),
        max_ns: Some(mean_ns as u64 * 10),
        negative: 0,
    }
}

fn segments() -> Vec<SegmentRow> {
    vec![
        segment("receive", "nic.rx", "nic.stack", "nic", 1_100.0),
        segment("receive", "nic.stack", "bridge.in", "vmnet", 900.0),
        segment("receive", "bridge.in", "tap.queue", "vmnet", 2_900.0),
        segment("receive", "tap.queue", "tap.ring", "vmnet", 700.0),
        segment("receive", "tap.ring", "vmm.wake", "vmm", 31_000.0),
        segment("receive", "vmm.wake", "vmm.read", "vmm", 11_400.0),
        segment("turn", "vmm.read", "tap.write", "guest+vmm", 340_000.0),
        segment("transmit", "tap.write", "tap.rx", "vmnet", 3_100.0),
        segment("transmit", "tap.rx", "bridge.in", "vmnet", 1_000.0),
        segment("transmit", "bridge.in", "nic.queue", "vmnet", 2_800.0),
        segment("transmit", "nic.queue", "nic.xmit", "nic", 1_900.0),
        segment("transmit", "nic.xmit", "nic.done", "nic", 1_200.0),
    ]
}

fn layers() -> Vec<LayerRow> {
    let row = |layer: &str, mean_ns: f64| LayerRow {
        layer: layer.to_owned(),
        mean_ns,
        share: mean_ns / 400_000.0,
        p50_ns: Some(mean_ns as u64),
        p90_ns: Some((mean_ns * 1.5) as u64),
        p99_ns: Some((mean_ns * 3.0) as u64),
        max_ns: Some((mean_ns * 4.0) as u64),
    };
    vec![
        row("guest+vmm", 340_000.0),
        row("vmm", 42_400.0),
        row("vmnet", 11_400.0),
        row("nic", 4_200.0),
        row("unattributed", 2_000.0),
    ]
}

fn exchanges() -> Exchanges {
    let group = Group {
        kind: "echo".to_owned(),
        initiator: "peer".to_owned(),
        count: 120,
        unanswered: 1,
        ambiguous: 0,
        overtaken: 0,
        mean_ns: Some(400_000.0),
        p50_ns: Some(380_000),
        p90_ns: Some(510_000),
        p99_ns: Some(912_000),
        max_ns: Some(1_250_000),
        residual_mean_ns: Some(2_000.0),
        layers: layers(),
        segments: segments(),
    };
    Exchanges {
        count: 120,
        mean_ns: group.mean_ns,
        p50_ns: group.p50_ns,
        p90_ns: group.p90_ns,
        p99_ns: group.p99_ns,
        max_ns: group.max_ns,
        residual_mean_ns: group.residual_mean_ns,
        groups: vec![group],
    }
}

/// The bill of a VM with two vCPUs on KVM.
pub(crate) fn bill() -> VmBill {
    use VcpuTimeKind::{Derived, Exit, Guest, Idle, Rest};
    let row = |what: &str, kind, ms: i64, on_cpu_share, count: Option<u64>| VcpuTimeRow {
        what: what.to_owned(),
        kind,
        ns: ms * 1_000_000,
        share: ms as f64 / 20_000.0,
        on_cpu_share,
        count,
        per_frame: count.map(|count| count as f64 / 4_000.0),
        mean_ns: count.map(|count| (ms * 1_000_000) as f64 / count as f64),
    };
    let threads = |what: &str, derived, threads, ms: i64| ThreadRow {
        what: what.to_owned(),
        derived,
        threads: Some(threads),
        cpu_ns: ms * 1_000_000,
        share: ms as f64 / 10_000.0,
        cpu_ns_per_frame: Some(ms as f64 * 250.0),
        wait_ns_per_frame: Some(ms as f64 * 2.0),
    };
    let nobody = ThreadRow {
        threads: None,
        cpu_ns_per_frame: None,
        wait_ns_per_frame: None,
        ..threads("the rest of the host", false, 0, 1_340)
    };
    VmBill {
        vm: "lab".to_owned(),
        wall_ns: 10_000_000_000,
        frames: 4_000,
        per_frames: Some(4_000),
        vcpus: 2,
        vcpu_time: vec![
            row("guest", Guest, 3_120, Some(0.156), Some(45_201)),
            row("EPT_MISCONFIG", Exit, 420, Some(0.021), Some(8_012)),
            row("MSR_WRITE", Exit, 130, Some(0.0065), Some(21_400)),
            row("other reasons (7)", Exit, 61, Some(0.003), Some(26)),
            row("idle (HLT)", Idle, 16_200, Some(0.012), Some(15_763)),
            row("the rest", Rest, 69, None, None),
            row("all exits but idle", Derived, 611, Some(0.0305), Some(29_438)),
            row("the same, per frame", Derived, 611, Some(0.0305), Some(4_000)),
        ],
        vcpu_time_missing: None,
        threads: vec![
            threads("vCPU threads", false, 2, 3_900),
            threads("vhost workers", false, 1, 210),
            threads("VMM I/O threads", false, 1, 40),
            nobody,
            threads("VMM and vhost together", true, 2, 250),
            threads("all of this VM", true, 4, 4_150),
        ],
    }
}

fn cost() -> Cost {
    let program =
        |name: &str, runs, run_ns| ProgramCost { program: name.to_owned(), runs, run_ns, missed: 0 };
    Cost {
        metered_ns: 0,
        programs: vec![
            program("netif_receive_skb", 4_821, 1_205_250),
            program("sched_switch", 90_311, 8_127_990),
        ],
        programs_ns: 9_333_240,
        reader_cpu_ns: 61_000_000,
        wall_ns: 12_400_000_000,
        programs_share: 0.00075,
        reader_share: 0.0049,
        events_per_exchange: Some(22.0),
        programs_ns_per_passage: Some(38_408.0),
    }
}
