//! Getting a record out: filter, reserve, fill, submit. Every reserve that fails is counted.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
use tracer_common::{
    config::flow_place,
    event::{FlowRecord, HopEvent, NO_DEVICE, TUNNELLED, tells_thread},
    filter::MAX_CLAUSES,
    frame::{self, Bytes, Frame, Kind},
    hop::{Hook, Hop},
};

use crate::{buffer, diagnose, globals, maps, sample};

/// The thread that runs now.
#[inline(always)]
pub fn current_thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The process that runs now.
#[inline(always)]
pub fn current_process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// An event of `hop` now, with nothing else known yet.
#[inline(always)]
pub fn event(hop: Hop, hook: Hook, slot: u8) -> HopEvent {
    event_of(hop as u8, hook, slot)
}

/// The same of a hop that is given by its code.
#[inline(always)]
pub fn event_of(hop: u8, hook: Hook, slot: u8) -> HopEvent {
    // SAFETY: helpers without arguments.
    let (time_ns, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id() as u16) };
    HopEvent {
        time_ns,
        skb: 0,
        buffer: 0,
        digest: 0,
        flow: 0,
        len: 0,
        seq: 0,
        ack: 0,
        tid: 0,
        cpu,
        device: slot,
        hop,
        hook: hook as u8,
        kind: 0,
        tcp_flags: 0,
        overhead: 0,
    }
}

/// An event of a thread.
#[inline(always)]
pub fn thread_event(hop: Hop, hook: Hook, tid: u32) {
    let mut event = event(hop, hook, NO_DEVICE);
    event.tid = tid;
    submit(&event);
}

/// Where on its way a hook meets a frame, as far as its flow may be new there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is born.
    Birth,
    /// It is about to leave, perhaps translated; or it is born, at a macvtap.
    Exit,
    /// Neither.
    Between,
}

impl Stage {
    #[inline(always)]
    fn introduces(self, hop: u8) -> bool {
        match self {
            Stage::Birth => true,
            Stage::Exit => tells_thread(hop) || globals::translates() != 0,
            Stage::Between => false,
        }
    }
}

/// Reads the frame's headers into the event and sends it, unless the filter rejects the frame.
#[inline(always)]
pub fn frame_event(mut event: HopEvent, bytes: &impl Bytes, ethertype: u16, stage: Stage) {
    let key = globals::key();
    let frame = frame::parse(bytes, ethertype, event.len, &key);
    if !passes(&frame) || !sample::chooses(&frame, &event) {
        return;
    }
    if frame.kind == Kind::Truncated {
        diagnose::truncated(event.device as u32, event.len);
    }
    event.digest = frame.digest;
    event.flow = frame.flow;
    event.seq = frame.seq;
    event.ack = frame.ack;
    event.kind = frame.kind as u8 | if frame.tunnelled { TUNNELLED } else { 0 };
    event.tid = if tells_thread(event.hop) { current_thread() } else { frame.stamps };
    event.tcp_flags = frame.tcp_flags;
    event.overhead = frame.overhead;
    submit(&event);
    if stage.introduces(event.hop) {
        introduce(&frame);
    }
}

/// Sends `event`, or counts it as lost.
#[inline(always)]
pub fn submit(event: &HopEvent) {
    if !buffer::send(event) {
        lost(event);
    }
}

#[inline(always)]
fn lost(event: &HopEvent) {
    if let Some(count) = maps::LOST.get_ptr_mut(event.hop as u32) {
        // SAFETY: this CPU's own slot.
        unsafe { *count += 1 };
    }
    diagnose::ring_full(event.hop as u32, event.cpu as u32);
}

/// Whether any clause of the filter passes the frame; an absent filter does.
#[inline(always)]
fn passes(frame: &Frame) -> bool {
    let clauses = globals::filter_clauses();
    if clauses == 0 {
        return true;
    }
    for index in 0..MAX_CLAUSES as u32 {
        if index >= clauses {
            break;
        }
        if maps::FILTER.get(index).is_some_and(|clause| clause.passes(frame)) {
            return true;
        }
    }
    false
}

/// Sends the addresses of a flow that was not seen before.
#[inline(always)]
fn introduce(frame: &Frame) {
    let Some(sent) = maps::FLOWS.get_ptr_mut(flow_place(frame.flow)) else {
        return;
    };
    // SAFETY: the map's value; a change at the same moment sends a flow twice.
    if unsafe { *sent } == frame.flow {
        return;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<FlowRecord>(0) else { return };
    entry.write(FlowRecord {
        flow: frame.flow,
        src: frame.src,
        dst: frame.dst,
        src_port: frame.src_port,
        dst_port: frame.dst_port,
        protocol: frame.protocol,
        version: frame.version,
        reserved: 0,
    });
    entry.submit(BPF_RB_NO_WAKEUP as u64);
    // SAFETY: as above. Where the ring was full the flow is introduced again by its next frame.
    unsafe { *sent = frame.flow };
}
