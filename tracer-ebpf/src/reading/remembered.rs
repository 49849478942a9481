//! Reads the headers of a frame, once for all hops on its way through a CPU: what they say is remembered, with the bytes that
//! said it. A later hop reads the bytes again, and where they are the same, they say the same: that takes a tenth of the
//! instructions, which matters most where frames come seldom, since the processor has to fetch each from memory then.
//!
//! Programs may interrupt one another on a CPU. Who writes has the place for itself, by an atomic exchange; who reads looks
//! whether somebody wrote meanwhile.

use core::{
    arch::asm,
    ptr::{read_volatile, write_volatile},
    sync::atomic::{Ordering, compiler_fence},
};

use aya_ebpf::{helpers::bpf_get_smp_processor_id, macros::map, maps::Array};
use tracer_common::{
    config::REMEMBERED,
    frame::{self, Bytes as _, Frame, Window},
};

use crate::{
    emit::Stage,
    globals,
    kernel::{Access, Skb, SkbFrame},
    said::Said,
};

/// Words of the first window, two by two.
const PAIRS: usize = 10;

/// In [`Memory::version`]: somebody writes.
const BUSY: u64 = u64::MAX;

/// In [`Memory::len`]: what was said does not follow from the window alone.
const NONE: u32 = u32::MAX;

/// A frame that was read: its first window, and what it said. A multiple of the cache's line.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Memory {
    /// Another one each time that it was written; [`BUSY`] meanwhile.
    version: u64,
    window: [u64; PAIRS],
    len: u32,
    available: u32,
    ethertype: u32,
    /// Whether it is recorded.
    recorded: u32,
    said: Said,
}

/// Of each CPU a few frames, by their addresses: those of a burst pass a hop one after the other. The loader sets how many CPUs.
#[map]
static MEMORIES: Array<Memory> = Array::with_max_entries(REMEMBERED, 0);

/// What is known of a frame before its headers are read: what they say, if it is recorded; or a place for what they will say.
#[inline(always)]
pub fn recall<A: Access>(frame: &SkbFrame, skb: Skb<A>, stage: Stage) -> Result<Option<Said>, Place> {
    // Where not all frames are recorded, which are may change from one hop to the next.
    if globals::sampled() != 0 {
        return Err(Place(None));
    }
    // There is one for each CPU.
    let Some(memory) = place(skb) else { return Ok(None) };
    let window = frame::first_window(&frame.memory);
    // One that arrives was never seen before.
    if stage != Stage::Arrival
        && let Some((said, recorded)) = known(memory, &window, frame)
    {
        return Ok(recorded.then_some(said));
    }
    Err(Place(Some(Opened::take(memory, &window, frame))))
}

/// Where to remember what is read, if that is wanted.
pub struct Place(Option<Opened>);

impl Place {
    /// Remembers what the headers of a frame say, and whether it is recorded.
    #[inline(always)]
    pub fn remember(self, frame: &SkbFrame, read: &Frame, said: &Said, recorded: bool) {
        let Some(opened) = self.0 else { return };
        let plain = frame::is_plain(read, opened.start, frame.ethertype);
        opened.close(said, if plain { frame.len } else { NONE }, recorded);
    }
}

#[inline(always)]
fn place<A: Access>(skb: Skb<A>) -> Option<*mut Memory> {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    MEMORIES.get_ptr_mut(cpu * REMEMBERED + skb.place() % REMEMBERED)
}

/// What was said by the same bytes, if they are remembered, and whether it was recorded.
#[inline(always)]
fn known(memory: *mut Memory, first: &Window, frame: &SkbFrame) -> Option<(Said, bool)> {
    // SAFETY: the map's value.
    unsafe {
        let version = read_volatile(&raw const (*memory).version);
        let mut differs = u64::from(read_volatile(&raw const (*memory).len) ^ frame.len)
            | u64::from(read_volatile(&raw const (*memory).available) ^ first.available)
            | u64::from(read_volatile(&raw const (*memory).ethertype) ^ u32::from(frame.ethertype));
        for at in 0..PAIRS {
            differs |= read_volatile(&raw const (*memory).window[at]) ^ pair(first, at);
        }
        if differs != 0 || version == BUSY {
            return None;
        }
        let said = &raw const (*memory).said;
        let said = Said {
            digest: read_volatile(&raw const (*said).digest),
            flow: read_volatile(&raw const (*said).flow),
            seq: read_volatile(&raw const (*said).seq),
            ack: read_volatile(&raw const (*said).ack),
            stamps: read_volatile(&raw const (*said).stamps),
            kind: read_volatile(&raw const (*said).kind),
            tcp_flags: read_volatile(&raw const (*said).tcp_flags),
            overhead: read_volatile(&raw const (*said).overhead),
        };
        let recorded = read_volatile(&raw const (*memory).recorded) != 0;
        compiler_fence(Ordering::Acquire);
        (read_volatile(&raw const (*memory).version) == version).then_some((said, recorded))
    }
}

/// A place that this program alone writes to, unless its version is [`BUSY`].
struct Opened {
    memory: *mut Memory,
    /// What its version was.
    version: u64,
    /// The first words of the window.
    start: [u32; 2],
}

impl Opened {
    /// Takes it, unless another program has it, and notes what is about to be read. The verifier is not to know which it was:
    /// it would follow the reading of the headers for both.
    #[inline(always)]
    fn take(memory: *mut Memory, first: &Window, frame: &SkbFrame) -> Opened {
        // SAFETY: the map's value.
        unsafe {
            let version = exchange(&raw mut (*memory).version, BUSY);
            if version != BUSY {
                write_volatile(&raw mut (*memory).available, first.available);
                write_volatile(&raw mut (*memory).ethertype, frame.ethertype.into());
                for at in 0..PAIRS {
                    write_volatile(&raw mut (*memory).window[at], pair(first, at));
                }
            }
            let version = frame.memory.forget(version);
            Opened { memory, version, start: [first.words[0], first.words[1]] }
        }
    }

    /// Notes what was read, of a frame of `len` bytes, and gives the place back.
    #[inline(always)]
    fn close(self, said: &Said, len: u32, recorded: bool) {
        let Opened { memory, version, .. } = self;
        if version == BUSY {
            return;
        }
        // SAFETY: the map's value, which is this program's until the version is written.
        unsafe {
            write_volatile(&raw mut (*memory).len, len);
            write_volatile(&raw mut (*memory).recorded, recorded.into());
            let to = &raw mut (*memory).said;
            write_volatile(&raw mut (*to).digest, said.digest);
            write_volatile(&raw mut (*to).flow, said.flow);
            write_volatile(&raw mut (*to).seq, said.seq);
            write_volatile(&raw mut (*to).ack, said.ack);
            write_volatile(&raw mut (*to).stamps, said.stamps);
            write_volatile(&raw mut (*to).kind, said.kind);
            write_volatile(&raw mut (*to).tcp_flags, said.tcp_flags);
            write_volatile(&raw mut (*to).overhead, said.overhead);
            compiler_fence(Ordering::Release);
            write_volatile(&raw mut (*memory).version, version.wrapping_add(1) & !(1 << 63));
        }
    }
}

/// Two words of the window.
#[inline(always)]
fn pair(window: &Window, at: usize) -> u64 {
    u64::from(window.words[2 * at]) | u64::from(window.words[2 * at + 1]) << 32
}

/// Puts a value there, and returns what was there. Written out, since Rust has no such operation for this target.
///
/// # Safety
/// `word` must lie in a map's value.
#[inline(always)]
unsafe fn exchange(word: *mut u64, value: u64) -> u64 {
    let mut value = value;
    // SAFETY: by the contract above; an atomic instruction on one word.
    unsafe {
        asm!("{value} = xchg_64({word} + 0, {value})", word = in(reg) word, value = inout(reg) value);
    }
    value
}
