//! Each event becomes a record: filter, reserve, fill, submit. Every reserve that fails is counted.

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::bpf_get_smp_processor_id};
use tracer_common::{
    config::flow_place,
    event::{FlowRecord, HopEvent, NO_DEVICE, pack_buffer, tells_thread},
    frame::{self, Bytes, Frame},
    hop::{Hook, Hop},
};

use crate::{
    buffer,
    context::{current_thread, now},
    diagnose,
    emit::Stage,
    filter, globals,
    kernel::{Access, Outline, Skb, SkbFrame},
    maps, reading,
    said::{Known, Said},
    sample,
};

/// An event of `hop` now, with nothing else known yet.
#[inline(always)]
pub fn event(hop: Hop, hook: Hook, slot: u8) -> HopEvent {
    event_at(now(), hop as u8, hook, slot)
}

/// An event at a time, of a hop that is given by its code.
#[inline(always)]
fn event_at(time_ns: u64, hop: u8, hook: Hook, slot: u8) -> HopEvent {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() as u16 };
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
    of_thread(hop, hook, NO_DEVICE, tid);
}

/// A thread hands a frame to a tap; `slot` where that is known.
#[inline(always)]
pub fn written(hook: Hook, slot: u8) {
    of_thread(Hop::TapWrite, hook, slot, current_thread());
}

#[inline(always)]
fn of_thread(hop: Hop, hook: Hook, slot: u8, tid: u32) {
    let mut event = event(hop, hook, slot);
    event.tid = tid;
    submit(&event);
}

/// An event that the pointer alone identifies.
#[inline(always)]
pub fn by_pointer<A: Access>(hop: Hop, hook: Hook, skb: Skb<A>, slot: u8) {
    if !sample::chose(skb) {
        return;
    }
    let mut event = event(hop, hook, slot);
    event.skb = skb.0 as u64;
    submit(&event);
}

/// The kernel is done with an skb.
#[inline(always)]
pub fn freed<A: Access>(skb: Skb<A>, hook: Hook, slot: u8) {
    by_pointer(Hop::SkbFree, hook, skb, slot);
}

/// An event that pointer and buffer identify: enough within a frame's life, for a fraction of the price.
#[inline(always)]
pub fn by_buffer<A: Access>(hop: Hop, hook: Hook, skb: Skb<A>, slot: u8) {
    if !sample::chose(skb) {
        return;
    }
    let mut event = event(hop, hook, slot);
    event.skb = skb.0 as u64;
    event.buffer = pack_buffer(skb.head(), 0);
    submit(&event);
}

/// An event with the frame's identity, of a frame with its Ethernet header.
#[inline(always)]
pub fn by_content<A: Access>(hop: u8, hook: Hook, skb: Skb<A>, slot: u8, stage: Stage) {
    if let Some(seen) = seen(skb, stage) {
        by_content_of(hop, hook, slot, seen, skb, &skb.outline(), stage);
    }
}

/// As [`by_content`], where IP has the frame.
#[inline(always)]
pub fn by_packet<A: Access>(hop: Hop, hook: Hook, skb: Skb<A>, slot: u8, stage: Stage) {
    if let Some(seen) = seen(skb, stage) {
        by_content_of(hop as u8, hook, slot, seen, skb, &skb.packet(), stage);
    }
}

/// A frame before its headers are read.
#[derive(Clone, Copy)]
struct Seen {
    /// When; 0: not yet, since a frame that is left out needs no time.
    time_ns: u64,
    /// Whether it was chosen before.
    chosen: bool,
}

/// Nothing of a frame that is left out.
#[inline(always)]
fn seen<A: Access>(skb: Skb<A>, stage: Stage) -> Option<Seen> {
    if globals::sampled() == 0 {
        return Some(Seen { time_ns: now(), chosen: true });
    }
    match sample::known(skb, stage) {
        sample::Known::LeftOut => None,
        sample::Known::Chosen => Some(Seen { time_ns: 0, chosen: true }),
        sample::Known::Nothing => Some(Seen { time_ns: 0, chosen: false }),
    }
}

#[inline(always)]
fn by_content_of<A: Access>(
    hop: u8,
    hook: Hook,
    slot: u8,
    seen: Seen,
    skb: Skb<A>,
    outline: &Outline,
    stage: Stage,
) {
    let known = match reading::recall(skb, outline, slot, stage) {
        Some(known) => known,
        None => read_headers(hop, slot, seen, skb, outline, stage),
    };
    if !known.recorded {
        return;
    }
    let time_ns = if globals::sampled() == 0 { seen.time_ns } else { now() };
    let mut event = event_at(time_ns, hop, hook, slot);
    event.skb = skb.0 as u64;
    event.buffer = known.buffer;
    event.len = outline.len;
    tell(event, &known.said);
}

/// Reads what a frame's headers say, and decides whether it is recorded.
#[inline(always)]
fn read_headers<A: Access>(
    hop: u8,
    slot: u8,
    seen: Seen,
    skb: Skb<A>,
    outline: &Outline,
    stage: Stage,
) -> Known {
    let SkbFrame { buffer, memory } = skb.frame(outline);
    let headers = frame::parse(&memory, outline.ethertype, outline.len, &globals::key());
    let chosen = globals::sampled() == 0 || seen.chosen;
    let recorded = filter::passes(&headers) && (chosen || sample::chooses(&headers, outline.len, skb));
    let known = Known { said: Said::of(&headers), buffer, recorded };
    reading::remember(skb, outline, slot, stage, &known);
    if recorded && stage.introduces(hop) {
        introduce(&headers);
    }
    known
}

/// The VMM copies a frame out of its tap.
#[inline(always)]
pub fn read<A: Access>(skb: Skb<A>, hook: Hook, slot: u8) {
    if !sample::chose(skb) {
        return;
    }
    let mut event = event(Hop::VmmRead, hook, slot);
    event.skb = skb.0 as u64;
    event.tid = current_thread();
    submit(&event);
}

/// The kernel drops an skb; the record carries where in the code, and why.
#[inline(always)]
pub fn dropped<A: Access>(skb: Skb<A>, location: u64, reason: u32, hook: Hook, slot: u8) {
    reading::forget(skb);
    if !sample::chose(skb) {
        return;
    }
    let mut event = event(Hop::SkbDrop, hook, slot);
    event.skb = skb.0 as u64;
    event.digest = location;
    event.seq = reason;
    submit(&event);
}

impl Stage {
    /// Whether the addresses of a frame that is read here are sent.
    #[inline(always)]
    fn introduces(self, hop: u8) -> bool {
        match self {
            Stage::Birth | Stage::Entry | Stage::Arrival => true,
            Stage::Exit => tells_thread(hop) || globals::translates() != 0,
            Stage::Handover | Stage::Between => false,
        }
    }
}

/// Reads the headers of a frame that is in no `sk_buff` yet into the event and sends it, unless the frame is left out.
#[inline(always)]
pub fn frame_event(event: HopEvent, bytes: &impl Bytes, ethertype: u16, stage: Stage) {
    let headers = frame::parse(bytes, ethertype, event.len, &globals::key());
    if !filter::passes(&headers) || !sample::chooses_by_headers(&headers, event.len) {
        return;
    }
    tell(event, &Said::of(&headers));
    if stage.introduces(event.hop) {
        introduce(&headers);
    }
}

/// Sends an event with what a frame's headers say.
#[inline(always)]
fn tell(mut event: HopEvent, said: &Said) {
    if said.is_truncated() {
        diagnose::truncated(event.device as u32, event.len);
    }
    event.digest = said.digest;
    event.flow = said.flow;
    event.seq = said.seq;
    event.ack = said.ack;
    event.kind = said.kind;
    event.tid = if tells_thread(event.hop) { current_thread() } else { said.stamps };
    event.tcp_flags = said.tcp_flags;
    event.overhead = said.overhead;
    submit(&event);
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
