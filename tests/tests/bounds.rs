//! Memory has a bound, whatever a recording holds: streams of events that each fill one table without end, within
//! limits of few frames. What was given up for want of room is counted.

use std::ops::Range;

use peak_alloc::PeakAlloc;
use tests::{
    header::header,
    world::{self, Machine, NIC, io_thread, tap, vcpu_thread, worker},
};
use tracer::{
    analysis::{Analysis, Unobserved},
    correlate::Limits,
    decode::Event,
    record::Item,
    report::Report,
};
use tracer_common::{
    event::ABI_VERSION,
    frame::Kind,
    hop::{Hook, Hop},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Events of a stream.
const EVENTS: u64 = 150_000;
/// Frames of the limits.
const FRAMES: [usize; 2] = [256, 2048];
/// Bytes that a frame of the limits may take, all tables together.
const PER_FRAME: usize = 4096;
/// By how much memory may grow over the second half of a stream, beside an eighth, bytes.
const SLACK: usize = 64 << 10;
/// Bytes beside that: tables whose bound is a number of their own, and the books of a report.
const BESIDE: usize = 12 << 20;

const MACHINE: Machine = Machine::Kvm { vhost: true, queues: 2 };

/// A stream: the events of its number n.
struct Hostile {
    name: &'static str,
    events: fn(u64) -> Vec<Event>,
    /// Whether something must have been given up for want of room.
    evicts: bool,
}

fn blank(n: u64, hop: Hop) -> Event {
    Event::at(1_000_000_000 + 1000 * n, hop, Hook::NetifReceiveSkb)
}

/// Memory of its own for each frame.
fn skb(n: u64) -> u64 {
    0xffff_8880_0000_0000 + 0x100 * n
}

fn head(n: u64) -> u64 {
    0xffff_8881_0000_0000 + 0x800 * n
}

fn frame(n: u64, hop: Hop, kind: Kind, flow: u64) -> Event {
    let device = if hop == Hop::TapRx { tap(0) } else { NIC };
    Event {
        skb: skb(n),
        head: head(n),
        digest: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        flow,
        len: 1514,
        seq: 1448 * n as u32,
        ack: 1,
        device: Some(device),
        kind: Some(kind),
        tcp_flags: 0x10,
        overhead: 66,
        ..blank(n, hop)
    }
}

/// A super-frame that is freed in the queue, as when it is cut.
fn uncut(n: u64, flow: u64) -> Vec<Event> {
    let born = Event { len: 60_000, gso_size: 1448, ..frame(n, Hop::TapRx, Kind::Tcp, flow) };
    let queued = Event { hop: Hop::NicQueue, device: Some(NIC), time_ns: born.time_ns + 10, ..born };
    vec![born, queued, bare(&born, Hop::SkbFree, 20)]
}

fn bare(event: &Event, hop: Hop, later_ns: u64) -> Event {
    let later = blank(0, hop);
    Event { time_ns: event.time_ns + later_ns, skb: event.skb, device: event.device, ..later }
}

/// A frame from the guest to the wire, to its end.
fn sent(n: u64, kind: Kind, flow: u64) -> Vec<Event> {
    let born = frame(n, Hop::TapRx, kind, flow);
    let at = |hop, later_ns: u64| Event { hop, time_ns: born.time_ns + later_ns, device: Some(NIC), ..born };
    vec![born, at(Hop::NicQueue, 10), at(Hop::NicXmit, 20), bare(&born, Hop::SkbFree, 30)]
}

/// A frame from the wire, copied into the guest.
fn copied(n: u64) -> Vec<Event> {
    let born = frame(n, Hop::NicStack, Kind::Tcp, 2);
    let at =
        |hop, later_ns: u64| Event { hop, time_ns: born.time_ns + later_ns, device: Some(tap(0)), ..born };
    let read = Event { tid: io_thread(0), ..bare(&born, Hop::VmmRead, 20) };
    vec![born, at(Hop::TapQueue, 5), at(Hop::TapRing, 10), read, bare(&born, Hop::SkbFree, 30)]
}

fn kick(n: u64) -> Event {
    Event { tid: vcpu_thread(0), digest: n << 12, hook: Hook::IoeventfdWrite, ..blank(n, Hop::VmmKick) }
}

const STREAMS: &[Hostile] = &[
    Hostile {
        name: "frames that are never freed",
        events: |n| vec![frame(n, Hop::TapRx, Kind::Udp, 2)],
        evicts: true,
    },
    Hostile {
        name: "segments of one flow that GRO neither merges nor hands on",
        events: |n| vec![frame(n, Hop::NicRx, Kind::Tcp, 2)],
        evicts: true,
    },
    Hostile {
        name: "segments of one flow that GRO hands on as they are",
        events: |n| {
            let born = frame(n, Hop::NicRx, Kind::Tcp, 2);
            let stack = Event { hop: Hop::NicStack, time_ns: born.time_ns + 10, ..born };
            vec![born, stack, bare(&born, Hop::SkbFree, 20)]
        },
        evicts: false,
    },
    Hostile {
        name: "segments of ever new flows that GRO neither merges nor hands on",
        events: |n| vec![frame(n, Hop::NicRx, Kind::Tcp, 2 * n)],
        evicts: true,
    },
    Hostile {
        name: "super-frames of one flow whose segments never come",
        events: |n| uncut(n, 2),
        evicts: true,
    },
    Hostile {
        name: "super-frames of ever new flows whose segments never come",
        events: |n| uncut(n, 2 * n),
        evicts: true,
    },
    Hostile {
        name: "segments without end of one super-frame",
        events: |n| {
            let whole =
                Event { len: 4_000_000_000, seq: 0, gso_size: 1448, ..frame(0, Hop::TapRx, Kind::Tcp, 2) };
            let queued =
                Event { hop: Hop::NicQueue, device: Some(NIC), time_ns: whole.time_ns + 10, ..whole };
            let segment = Event { hop: Hop::NicXmit, ..frame(n, Hop::NicXmit, Kind::Tcp, 2) };
            match n {
                0 => vec![whole, queued, bare(&whole, Hop::SkbFree, 20)],
                _ => vec![segment],
            }
        },
        evicts: true,
    },
    Hostile { name: "frames copied into a guest whose vCPUs never run", events: copied, evicts: true },
    Hostile {
        name: "frames that wait for one that is on its way for a second",
        events: |n| match n {
            0 => vec![frame(n, Hop::TapRx, Kind::Udp, 2)],
            _ => sent(n, Kind::Arp, 4),
        },
        evicts: true,
    },
    Hostile { name: "questions of ever new flows", events: |n| sent(n, Kind::Tcp, 2 * n), evicts: true },
    Hostile {
        name: "questions of one flow, never answered",
        events: |n| sent(n, Kind::EchoRequest, 2),
        evicts: true,
    },
    Hostile { name: "datagrams of ever new flows", events: |n| sent(n, Kind::Udp, 2 * n), evicts: true },
    Hostile {
        name: "sights of frames that are never born",
        events: |n| vec![Event { skb: 0, head: 0, hook: Hook::Xdp, ..frame(n, Hop::NicRx, Kind::Udp, 2) }],
        evicts: true,
    },
    Hostile {
        name: "sights of one content",
        events: |n| {
            vec![Event { skb: 0, head: 0, digest: 7, hook: Hook::Xdp, ..frame(n, Hop::NicRx, Kind::Udp, 2) }]
        },
        evicts: true,
    },
    Hostile {
        name: "births of ever new contents where XDP is in use",
        events: |n| sent(n, Kind::Other, 2),
        evicts: false,
    },
    Hostile { name: "kicks of ever new doorbells", events: |n| vec![kick(n)], evicts: true },
    Hostile {
        name: "kicks of ever new queues of vhost",
        events: |n| {
            let kick = Event { digest: 0x1000, ..kick(n) };
            let notify = Event { hook: Hook::VhostPollWakeup, digest: n, ..kick };
            vec![kick, Event { hop: Hop::VhostNotify, time_ns: kick.time_ns + 1, ..notify }]
        },
        evicts: true,
    },
    Hostile {
        name: "ever new threads",
        events: |n| {
            let wake = Event { tid: 1000 + n as u32, hook: Hook::SchedSwitch, ..blank(n, Hop::VmmWake) };
            vec![wake, Event { hop: Hop::TapWrite, device: Some(tap(0)), time_ns: wake.time_ns + 1, ..wake }]
        },
        evicts: true,
    },
    Hostile {
        name: "events of one moment",
        events: |n| {
            let wake = Event { tid: worker(0, 0), ..blank(0, Hop::VmmWake) };
            vec![Event { cpu: n as u16, ..wake }]
        },
        evicts: false,
    },
    Hostile {
        name: "events that come the wrong way round",
        events: |n| {
            let wake = Event { tid: worker(0, 0), ..blank(0, Hop::VmmWake) };
            vec![Event { time_ns: wake.time_ns - n, ..wake }]
        },
        evicts: false,
    },
    Hostile {
        name: "drops at ever new places in the kernel",
        events: |n| {
            let born = frame(n, Hop::TapRx, Kind::Udp, 2);
            vec![born, Event { digest: n, seq: n as u32, ..bare(&born, Hop::SkbDrop, 10) }]
        },
        evicts: false,
    },
    Hostile {
        name: "interrupts on every CPU",
        events: |n| vec![Event { cpu: n as u16, device: Some(NIC), ..blank(n, Hop::NicIrq) }],
        evicts: false,
    },
];

/// The report of a stream, and the most memory that it took by its middle and by its end, bytes.
fn run(stream: &Hostile, frames: usize) -> (Report, [usize; 2]) {
    let header = header(world::topology(2, MACHINE), "xdp", Hop::ALL);
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let mut analysis = Analysis::new(&header, ABI_VERSION, Limits::of_frames(frames));
    let mut push = |numbers: Range<u64>| {
        numbers.flat_map(stream.events).for_each(|event| analysis.push(Item::Event(event), &mut Unobserved));
        MEMORY.peak_usage() - before
    };
    let middle = push(0..EVENTS / 2);
    let end = push(EVENTS / 2..EVENTS);
    let report = analysis.finish(true, &mut Unobserved);
    (report, [middle, end])
}

/// One test for all: memory is counted for the whole process.
#[test]
fn memory_stays_within_what_the_limits_allow_whatever_comes() {
    let mut failed = Vec::new();
    for stream in STREAMS {
        for frames in FRAMES {
            let (report, [middle, end]) = run(stream, frames);
            let given_up: u64 = report.losses.given_up.iter().map(|row| row.count).sum();
            let line = format!(
                "{}: {frames} frames: {} KiB, half way {}, {} passages given up, {given_up} others",
                stream.name,
                end / 1024,
                middle / 1024,
                report.losses.evicted
            );
            eprintln!("{line}");
            if end > frames * PER_FRAME + BESIDE {
                failed.push(format!("{line}: too much memory"));
            }
            if end > middle + middle / 8 + SLACK {
                failed.push(format!("{line}: memory grows"));
            }
            if stream.evicts && report.losses.evicted + given_up == 0 {
                failed.push(format!("{line}: it is not told"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
