//! Events and notes that no kernel and no vmhop would write: any hop at any time, of few addresses and threads, so
//! that they meet.

use std::ops::Range;

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
};
use tracer::{
    decode::{Event, Flow, LATEST_NS},
    recording::{
        Bill, Came, Counters, DeviceSlot, DropCount, ExitReason, ExitUse, Histograms, HopFirsts, Note,
        SpanTimes, ThreadUse, VmUse,
    },
    topology::ThreadRole,
};
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use crate::world::{self, Machine};

/// Addresses, contents and sequence numbers in use.
const FEW: Range<u64> = 0..12;

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..100_000_000_u64, 1 => 0..=LATEST_NS]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..6000_u32, 1 => any::<u32>()]
}

/// Any event.
pub fn event() -> impl Strategy<Value = Event> {
    let place = (select(Hop::ALL), select(Hook::ALL), proptest::option::of(0..4_u8), 0..3_u16, 8..24_u32);
    let kind = proptest::option::of((1..=9_u8).prop_filter_map("a kind", Kind::from_code));
    let frame = (FEW, FEW, FEW, FEW, kind);
    let said = (number(), number(), number(), any::<u8>(), 0..80_u8);
    (time(), place, frame, said).prop_map(|(time_ns, place, frame, said)| {
        let (hop, hook, device, cpu, tid) = place;
        let (skb, head, digest, flow, kind) = frame;
        let (len, seq, ack, tcp_flags, overhead) = said;
        Event {
            time_ns,
            skb,
            head,
            digest,
            flow,
            len,
            seq,
            ack,
            stamps: seq,
            tid,
            cpu,
            device,
            hop,
            hook,
            kind,
            tcp_flags,
            overhead,
            gso_size: (len / 3) as u16,
            tunnelled: ack % 5 == 0,
        }
    })
}

/// Any bill: times that no clock shows, exits without entries, threads that ran longer than the host.
fn bill() -> impl Strategy<Value = Bill> {
    let exit =
        (0..130_u32, 0..3_u32, any::<u64>(), time(), time()).prop_map(|(code, isa, count, ns, off_ns)| {
            let reason = if isa == 0 { ExitReason::Before } else { ExitReason::Told { isa, code } };
            ExitUse { reason, count, ns, off_ns }
        });
    let roles = vec![ThreadRole::Vcpu(0), ThreadRole::Io, ThreadRole::Vhost, ThreadRole::Other];
    let thread = (8..24_i32, select(roles), time(), proptest::option::of(time())).prop_map(
        |(tid, role, cpu_ns, wait_ns)| ThreadUse { tid, name: "x".to_owned(), role, cpu_ns, wait_ns },
    );
    let used = (0..3_u32, time(), time(), vec(exit, 0..5), vec(thread, 0..5)).prop_map(
        |(vcpus, entries, guest_ns, exits, threads)| VmUse {
            vm: "vm0".to_owned(),
            vcpus,
            entries,
            guest_ns,
            exits,
            threads,
        },
    );
    (time(), proptest::option::of(time()), vec(used, 0..3)).prop_map(|(wall_ns, host_ns, vms)| Bill {
        wall_ns,
        host_ns,
        vms,
    })
}

/// VMs and devices that came: some that were there, under any slot and name, and threads of others.
fn came() -> impl Strategy<Value = Came> {
    let machine = select(vec![Machine::Emulated, Machine::Kvm { vhost: true, queues: 2 }]);
    let device =
        (0..6_u8, 0..6_u8, select(vec!["tap", "nic", "x"]), 0..3_u8).prop_map(|(slot, device, role, vm)| {
            DeviceSlot { slot, role: role.to_owned(), vm: format!("vm{vm}"), device: world::device(device) }
        });
    (0..=2_usize, machine, 0..2_u64, vec(device, 0..4)).prop_map(|(vms, machine, start_time, devices)| {
        let mut vms = world::topology(vms, machine).vms;
        vms.iter_mut().for_each(|vm| vm.start_time = start_time);
        Came { vms, devices }
    })
}

/// Counts of histogram mode that no kernel would make: of any hops, in buckets that there are not, more than can be added up.
pub fn histograms() -> impl Strategy<Value = Histograms> {
    let (origin, hop) = (0..6_u8, 0..42_u8);
    let bucket = (prop_oneof![0..600_u32, any::<u32>()], any::<u64>());
    let span = (origin, hop.clone(), hop.clone(), any::<u64>(), any::<u64>(), vec(bucket, 0..6)).prop_map(
        |(origin, from, to, sum_ns, max_ns, buckets)| SpanTimes { origin, from, to, sum_ns, max_ns, buckets },
    );
    let first = (hop.clone(), any::<u64>(), any::<u64>()).prop_map(|(hop, frames, bytes)| HopFirsts {
        hop,
        frames,
        bytes,
    });
    let drop = (0..3_u64, 0..3_u32, 0..5_u8, hop, any::<u64>()).prop_map(
        |(location, reason, device, after, frames)| DropCount { location, reason, device, after, frames },
    );
    (time(), vec(span, 0..12), vec(first, 0..6), vec((0..5_u8, any::<u64>()), 0..4), vec(drop, 0..6))
        .prop_map(|(until_ns, spans, firsts, taps, drops)| Histograms {
            until_ns,
            spans,
            firsts,
            taps,
            drops,
        })
}

/// Any note.
pub fn note() -> impl Strategy<Value = Note> {
    let counters = (btree_map("[a-z.]{0,9}", any::<u32>(), 0..4), any::<u32>(), any::<u32>(), any::<u32>());
    prop_oneof![
        FEW.prop_map(|flow| Note::Flow(Flow {
            flow,
            src: None,
            dst: None,
            src_port: 1,
            dst_port: 2,
            protocol: 3
        })),
        counters.prop_map(|(lost, undecoded, reader, wall)| Note::Counters(Counters {
            lost: lost.into_iter().map(|(hop, count)| (hop, u64::from(count))).collect(),
            undecoded: u64::from(undecoded),
            reader_cpu_ns: u64::from(reader),
            wall_ns: u64::from(wall),
            ..Counters::default()
        })),
        bill().prop_map(Note::Bill),
        histograms().prop_map(Note::Histograms),
        ".{0,20}".prop_map(Note::warning),
        (".{0,20}", came()).prop_map(|(text, came)| Note::Warning { text, came: Some(Box::new(came)) }),
        (".{0,20}", any::<bool>()).prop_map(|(reason, failed)| Note::End { reason, failed }),
    ]
}
