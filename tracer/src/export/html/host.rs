//! Sections on the host: hops and how well they were covered, NICs, flows, losses, what VMs and measuring cost.

use maud::{Markup, html};

use super::{
    page::section,
    table::{Cell, Column, Row, Table},
    tables::column,
};
use crate::{
    export::{
        numbers::{ABSENT, count, counted, mean, name, percent},
        text::bill::{footnote, number},
    },
    report::{
        Cost, Drop, FlowRow, HopRow, Losses, NicRow, Passages, ThreadRow, VanishedRow, VcpuTimeKind,
        VcpuTimeRow, VmBill,
    },
};

const HOPS: [Column; 7] = [
    column("hop", ""),
    column("hook", ""),
    column("seen", "seen"),
    column("matched", "matched"),
    column("ambiguous", "ambiguous"),
    column("lost", "lost"),
    column("coverage", "coverage"),
];
const NICS: [Column; 7] = [
    column("NIC", ""),
    column("namespace", ""),
    column("way", ""),
    column("frames", "frames"),
    column("bytes", "bytes"),
    column("on the wire", "wire_frames"),
    column("bytes", "wire_bytes"),
];
const FLOWS: [Column; 4] =
    [column("flow", ""), column("translated", ""), column("frames", "passages"), column("bytes", "bytes")];
const DROPS: [Column; 5] = [
    column("after", ""),
    column("device", ""),
    column("reason", ""),
    column("in", ""),
    column("count", "count"),
];
const VANISHED: [Column; 3] = [column("after", ""), column("what is known", ""), column("count", "count")];
const VCPUS: [Column; 6] = [
    column("vCPU time", ""),
    column("of it all", "share"),
    column("on a CPU", "on_cpu_share"),
    column("count", "count"),
    column("per frame", "per_frame"),
    column("average", "mean_ns"),
];
const THREADS: [Column; 5] = [
    column("CPU time", ""),
    column("threads", "threads"),
    column("of one CPU", "share"),
    column("per frame", "cpu_ns_per_frame"),
    column("waiting per frame", "wait_ns_per_frame"),
];
const PROGRAMS: [Column; 4] =
    [column("program", ""), column("runs", "runs"), column("time", "run_ns"), column("per run", "")];

fn words(text: &str) -> Cell {
    Cell::Words(text.to_owned())
}

fn or_absent(text: Option<&str>) -> Cell {
    words(text.unwrap_or(ABSENT))
}

fn table(kind: &str, caption: &str, columns: &[Column], rows: Vec<Row>) -> Markup {
    Table { kind, caption: caption.to_owned(), columns, rows }.markup()
}

pub(super) fn hops(rows: &[HopRow]) -> Markup {
    let row = |row: &HopRow| Row {
        key: row.hop.clone(),
        head: words(&row.hop),
        cells: vec![
            Cell::Markup(html! { span.code { (name(&row.hook)) } }),
            Cell::count(row.seen),
            Cell::count(row.matched),
            Cell::count(row.ambiguous),
            Cell::count(row.lost),
            Cell::Share(row.coverage),
        ],
    };
    let served: Vec<Row> = rows.iter().filter(|row| row.unserved.is_none()).map(row).collect();
    let unserved: Vec<(&str, &str)> =
        rows.iter().filter_map(|row| Some((row.hop.as_str(), row.unserved.as_deref()?))).collect();
    let body = html! {
        p.how { "Of the frames that must have passed a hop, as they were seen before and after it, coverage is the share that \
                 was seen there." }
        @if !served.is_empty() { (table("hops", "Hops and their coverage", &HOPS, served)) }
        @if !unserved.is_empty() {
            h3.further { "Not served on this host" }
            dl.unserved { @for (hop, why) in unserved { dt { (name(hop)) } dd { (name(why)) } } }
        }
    };
    section("hops", "Hops", &body)
}

pub(super) fn nics(rows: &[NicRow]) -> Markup {
    let row = |row: &NicRow| Row {
        key: format!("{}|{}|{}", row.netns, row.device, row.way),
        head: words(&row.device),
        cells: [words(&row.netns), words(&row.way)]
            .into_iter()
            .chain([row.frames, row.bytes, row.wire_frames, row.wire_bytes].map(Cell::count))
            .collect(),
    };
    section("nics", "NICs", &table("nics", "What passed each NIC", &NICS, rows.iter().map(row).collect()))
}

pub(super) fn flows(rows: &[FlowRow], left_out: u64) -> Markup {
    let row = |row: &FlowRow| Row {
        key: row.flow.clone(),
        head: words(&row.flow),
        cells: vec![or_absent(row.translated.as_deref()), Cell::count(row.passages), Cell::count(row.bytes)],
    };
    let body = html! {
        (table("flows", "Flows with the most bytes", &FLOWS, rows.iter().map(row).collect()))
        @if left_out > 0 { p.quiet { "And " (counted(left_out, "further flow")) "." } }
    };
    section("flows", "Flows", &body)
}

pub(super) fn passages(passages: &Passages) -> Markup {
    let facts = [
        ("frames", passages.count),
        ("bytes", passages.bytes),
        ("sent by guests", passages.transmitted),
        ("received by guests", passages.received),
        ("between guests", passages.between_guests),
        ("seen to the end", passages.complete),
        ("unfinished", passages.unfinished),
        ("ambiguous", passages.ambiguous),
        ("copies of floods", passages.branches),
        ("on the wire", passages.wire_frames),
        ("cut by the kernel", passages.segments),
        ("picked up by polling", passages.polled),
        ("without an interrupt", passages.unannounced),
    ];
    let body = html! {
        dl.facts { @for (word, number) in facts { div { dt { (word) } dd data-value=(number) { (count(number)) } } } }
    };
    section("passages", "Passages", &body)
}

pub(super) fn losses(losses: &Losses) -> Markup {
    let mut facts = vec![
        ("lost in the buffers".to_owned(), losses.ring_total),
        ("undecoded".to_owned(), losses.undecoded),
        ("too late".to_owned(), losses.late),
        ("given up".to_owned(), losses.evicted),
    ];
    facts.extend(losses.given_up.iter().map(|row| (format!("forgotten: {}", row.what), row.count)));
    let lost = |row: &&crate::report::HopCount| row.count > 0;
    facts.extend(
        losses.ring.iter().filter(lost).map(|row| (format!("lost at {}", name(&row.hop)), row.count)),
    );
    facts.extend(losses.ring_by_cpu.iter().map(|row| (format!("lost on CPU {}", row.cpu), row.count)));
    let skipped = losses.skipped.iter();
    facts.extend(skipped.map(|row| (format!("runs skipped: {}", name(&row.program)), row.count)));
    let body = html! {
        dl.facts { @for (word, number) in facts { div { dt { (word) } dd data-value=(number) { (count(number)) } } } }
        @if losses.drops.is_empty() { p { "No frame was dropped by the kernel." } }
        @else { (table("drops", "Frames dropped by the kernel", &DROPS, losses.drops.iter().map(drop_row).collect())) }
        @if !losses.vanished.is_empty() {
            (table(
                "vanished",
                "Frames of which no end was seen; none is known to be lost",
                &VANISHED,
                losses.vanished.iter().map(vanished_row).collect(),
            ))
        }
    };
    section("losses", "Losses", &body)
}

fn drop_row(row: &Drop) -> Row {
    Row {
        key: format!("{}|{}|{}", row.after, row.device, row.reason),
        head: words(&row.after),
        cells: vec![
            words(&row.device),
            words(&row.reason),
            or_absent(row.function.as_deref()),
            Cell::count(row.count),
        ],
    }
}

fn vanished_row(row: &VanishedRow) -> Row {
    Row {
        key: format!("{}|{}", row.after, row.how),
        head: words(&row.after),
        cells: vec![words(&row.how), Cell::count(row.count)],
    }
}

/// What the VMs cost.
pub(super) fn bills(bills: &[VmBill]) -> Markup {
    let body = html! { @for bill in bills { (vm(bill)) } };
    section("bill", "CPU bill", &body)
}

fn vm(bill: &VmBill) -> Markup {
    let frames = counted(bill.frames, "frame");
    let caption = |what: &str| format!("{what} of {}, {frames}", name(&bill.vm));
    let vcpus = bill.vcpu_time.iter().map(vcpu_row).collect();
    html! {
        @if let Some(why) = &bill.vcpu_time_missing {
            p { "Not known where the time of " (name(&bill.vm)) "'s vCPUs went: " (name(why)) }
        } @else { (table("vcpu-time", &caption("Time of the vCPUs"), &VCPUS, vcpus)) }
        (table("threads", &caption("CPU time"), &THREADS, bill.threads.iter().map(thread_row).collect()))
        p.quiet { (footnote(bill)) }
    }
}

fn starred(what: &str, derived: bool) -> Cell {
    Cell::Words(format!("{}{what}", if derived { "* " } else { "" }))
}

fn vcpu_row(row: &VcpuTimeRow) -> Row {
    Row {
        key: row.what.clone(),
        head: starred(&row.what, row.kind == VcpuTimeKind::Derived),
        cells: vec![
            Cell::Share(Some(row.share)),
            Cell::Share(row.on_cpu_share),
            Cell::Count(row.count),
            Cell::Number(row.per_frame, number(row.per_frame)),
            Cell::Time(row.mean_ns),
        ],
    }
}

fn thread_row(row: &ThreadRow) -> Row {
    Row {
        key: row.what.clone(),
        head: starred(&row.what, row.derived),
        cells: vec![
            Cell::Count(row.threads),
            Cell::Share(Some(row.share)),
            Cell::Time(row.cpu_ns_per_frame),
            Cell::Time(row.wait_ns_per_frame),
        ],
    }
}

/// What measuring cost.
pub(super) fn cost(cost: &Cost) -> Markup {
    let row = |row: &crate::recording::ProgramCost| Row {
        key: row.program.clone(),
        head: words(&row.program),
        cells: vec![
            Cell::count(row.runs),
            Cell::Time(Some(row.run_ns as f64)),
            Cell::Time((row.runs > 0).then(|| row.run_ns as f64 / row.runs as f64)),
        ],
    };
    let events = cost.events_per_exchange.map_or(ABSENT.to_owned(), |events| format!("{events:.1}"));
    let body = html! {
        @if cost.wall_ns == 0 { p { "Not known: the recording holds no counters." } } @else {
            dl.facts {
                div { dt { "programs, of one CPU" } dd data-value=(cost.programs_share) { (percent(cost.programs_share)) } }
                div { dt { "vmhop, of one CPU" } dd data-value=(cost.reader_share) { (percent(cost.reader_share)) } }
                div { dt { "events per exchange" } dd data-value=[cost.events_per_exchange] { (events) } }
                div { dt { "programs per frame" } dd data-ns=[cost.programs_ns_per_passage] {
                    (mean(cost.programs_ns_per_passage))
                } }
            }
            (table("programs", "Time in vmhop's programs", &PROGRAMS, cost.programs.iter().map(row).collect()))
        }
    };
    section("cost", "Cost of measuring", &body)
}
