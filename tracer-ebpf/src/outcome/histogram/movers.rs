//! Threads that move frames: when each was told to run, ran, wrote, copied, as far as the next frame or interrupt takes it.
//!
//! The rules are the correlator's (`correlate/threads.rs` of the reader): a thread was woken for the first frame that it
//! moves since; what told it to run before it last moved one, told it of that.

use core::ptr::write_volatile;

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::{
    histogram::Origin,
    hop::{Hook, Hop},
};

use super::{flights::Last, times};
use crate::context::current_thread;

/// Threads that can be followed at once; of two whose numbers have one place, the later one is.
const PLACES: u32 = 1 << 12;
/// Frames copied to a guest that wait for their interrupt and the entry after it; those of a larger batch are not measured
/// there.
const WAITING: usize = 8;

/// A frame that was copied to a guest.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Copied {
    end_ns: u64,
    /// When it was announced; 0: not yet.
    irq_ns: u64,
}

/// What is known of one thread, times in ns; 0: nothing.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Mover {
    tid: u32,
    /// Whether it moved a frame since it got the CPU.
    moved: u32,
    runnable_ns: u64,
    wake_ns: u64,
    moved_ns: u64,
    write_ns: u64,
    /// What led to that write.
    runnable_before_ns: u64,
    wake_before_ns: u64,
    /// Whether the write hands over many frames at once, and whether one of them has been seen.
    batch: u32,
    taken: u32,
    /// Frames copied to the guest.
    copied: [Copied; WAITING],
    copies: u32,
    origin: u32,
}

#[map]
pub static MOVERS: Array<Mover> = Array::with_max_entries(PLACES, 0);

/// What is known of a thread, or will be. Only the thread itself, or the scheduler on its behalf, changes it.
#[inline(always)]
fn mover(tid: u32) -> Option<&'static mut Mover> {
    // SAFETY: the map's value, which stays as long as the program.
    let mover = unsafe { &mut *MOVERS.get_ptr_mut(tid % PLACES)? };
    if mover.tid != tid {
        mover.begin(tid);
    }
    Some(mover)
}

/// A thread is told to run.
#[inline(always)]
pub fn runnable(tid: u32, now_ns: u64) {
    if let Some(mover) = mover(tid) {
        mover.runnable_ns = now_ns;
    }
}

/// A thread gets the CPU.
#[inline(always)]
pub fn wakes(tid: u32, now_ns: u64) {
    let Some(mover) = mover(tid) else { return };
    mover.wake_ns = now_ns;
    mover.moved = 0;
    turns(mover);
}

/// It does something else now: what it handed over, it has handed over, and what it did not announce, the guest did not want
/// announced.
#[inline(always)]
fn turns(mover: &mut Mover) {
    if mover.taken != 0 {
        mover.write_ns = 0;
    }
    if mover.copied[0].irq_ns == 0 {
        mover.copies = 0;
    }
}

impl Mover {
    /// It stands for another thread now.
    ///
    /// Volatile: of words that are 0 the compiler would make a call, and v5.10 has no exception table for a program with calls,
    /// of which a null pointer would then be the kernel's (`jit_subprogs`, kernel/bpf/verifier.c; v6.4 mends it).
    #[inline(always)]
    fn begin(&mut self, tid: u32) {
        // SAFETY: fields of a valid value.
        unsafe {
            write_volatile(&raw mut self.tid, tid);
            write_volatile(&raw mut self.moved, 0);
            write_volatile(&raw mut self.runnable_ns, 0);
            write_volatile(&raw mut self.wake_ns, 0);
            write_volatile(&raw mut self.moved_ns, 0);
            write_volatile(&raw mut self.write_ns, 0);
            write_volatile(&raw mut self.copies, 0);
        }
    }

    /// When it was told to run, and when it got the CPU, as far as both lie between two times; else 0.
    #[inline(always)]
    fn woken(&self, since_ns: u64, until_ns: u64) -> (u64, u64) {
        let wake_ns = self.wake_ns;
        if wake_ns == 0 || wake_ns < since_ns || wake_ns > until_ns {
            return (0, 0);
        }
        let told = self.runnable_ns >= since_ns && self.runnable_ns <= wake_ns;
        (if told { self.runnable_ns } else { 0 }, wake_ns)
    }

    /// It moves a frame now: what it was woken for, if this is the first one since.
    #[inline(always)]
    fn moves(&mut self, now_ns: u64) -> (u64, u64) {
        let woken = if self.moved == 0 { self.woken(self.moved_ns, now_ns) } else { (0, 0) };
        self.moved = 1;
        self.moved_ns = now_ns;
        woken
    }
}

/// The thread that runs hands a frame, or several, to a tap.
#[inline(always)]
pub fn writes(hook: Hook, now_ns: u64) {
    let Some(mover) = mover(current_thread()) else { return };
    let (runnable_ns, wake_ns) = mover.moves(now_ns);
    mover.runnable_before_ns = runnable_ns;
    mover.wake_before_ns = wake_ns;
    mover.write_ns = now_ns;
    mover.batch = matches!(hook, Hook::TunSendmsg | Hook::TapSendmsg) as u32;
    mover.taken = 0;
}

/// A frame enters at a tap: counts what led to it, and says whether its write was seen.
#[inline(always)]
pub fn born(now_ns: u64) -> bool {
    let Some(mover) = mover(current_thread()) else { return false };
    if mover.write_ns == 0 {
        mover.moves(now_ns);
        return false;
    }
    let origin = Origin::Guest as u8;
    if mover.taken == 0 {
        woken_for(
            origin,
            Hop::VmmWake,
            [0, mover.runnable_before_ns, mover.wake_before_ns, mover.write_ns],
            Hop::TapWrite,
        );
    }
    step(origin, Hop::TapWrite, mover.write_ns, Hop::TapRx, now_ns);
    mover.taken = 1;
    if mover.batch == 0 {
        mover.write_ns = 0;
    }
    true
}

/// The frame that is written is none that is followed.
#[inline(always)]
pub fn bears_none() {
    if let Some(mover) = mover(current_thread())
        && mover.batch == 0
    {
        mover.write_ns = 0;
    }
}

/// The thread that runs copies a frame to its guest. Whether that can be.
#[inline(always)]
pub fn read(last: &Last, now_ns: u64) -> bool {
    if last.hop != Hop::TapRing as u8 && last.hop != Hop::TapQueue as u8 {
        return false;
    }
    let Some(mover) = mover(current_thread()) else { return false };
    let (runnable_ns, wake_ns) = mover.woken(last.time_ns, now_ns);
    let from = if last.hop == Hop::TapRing as u8 { Hop::TapRing } else { Hop::TapQueue };
    // What set it running has a way of its own then: it is not what set the sender's running.
    let origin = if last.origin == Origin::Guest as u8 { Origin::Between as u8 } else { last.origin };
    woken_for(origin, from, [last.time_ns, runnable_ns, wake_ns, now_ns], Hop::VmmRead);
    mover.moved = 1;
    mover.moved_ns = now_ns;
    true
}

/// From a frame's last hop, where it has one, over what set the thread running, to what it does.
#[inline(always)]
fn woken_for(origin: u8, from: Hop, times_ns: [u64; 4], to: Hop) {
    let [last_ns, runnable_ns, wake_ns, now_ns] = times_ns;
    let (mut at, mut at_ns) = (from, last_ns);
    if runnable_ns != 0 {
        if at_ns != 0 {
            step(origin, at, at_ns, Hop::VmmRunnable, runnable_ns);
        }
        (at, at_ns) = (Hop::VmmRunnable, runnable_ns);
    }
    if wake_ns != 0 {
        if at_ns != 0 {
            step(origin, at, at_ns, Hop::VmmWake, wake_ns);
        }
        (at, at_ns) = (Hop::VmmWake, wake_ns);
    }
    if at_ns != 0 {
        step(origin, at, at_ns, to, now_ns);
    }
}

#[inline(always)]
fn step(origin: u8, from: Hop, from_ns: u64, to: Hop, to_ns: u64) {
    let span = times::span(origin, from as u8, to as u8);
    if span != 0 {
        times::count(span, to_ns.wrapping_sub(from_ns));
    }
}

/// The copy of a frame has ended.
#[inline(always)]
pub fn copied(origin: u8, now_ns: u64) {
    let Some(mover) = mover(current_thread()) else { return };
    let at = mover.copies as usize;
    if at >= WAITING {
        return;
    }
    mover.copied[at] = Copied { end_ns: now_ns, irq_ns: 0 };
    mover.copies = at as u32 + 1;
    mover.origin = origin.into();
}

/// The thread that runs signals its guest: for all that it has copied since.
#[inline(always)]
pub fn announces(tid: u32, now_ns: u64) {
    let Some(mover) = mover(tid) else { return };
    for at in 0..WAITING {
        if at < mover.copies as usize && mover.copied[at].irq_ns == 0 {
            mover.copied[at].irq_ns = now_ns;
            step(mover.origin as u8, Hop::VmmReadEnd, mover.copied[at].end_ns, Hop::VmmIrq, now_ns);
        }
    }
}

/// A vCPU is entered that this thread has signalled: it takes what was announced.
#[inline(always)]
pub fn taken(tid: u32, now_ns: u64) {
    let Some(mover) = mover(tid) else { return };
    for at in 0..WAITING {
        if at < mover.copies as usize && mover.copied[at].irq_ns != 0 {
            step(mover.origin as u8, Hop::VmmIrq, mover.copied[at].irq_ns, Hop::VcpuEnter, now_ns);
        }
    }
    mover.copies = 0;
}
