//! Where frames enter a tap or macvtap: `tap.write`. No frame yet: the thread joins it to the frame born next.

use tracer_common::{
    event::NO_DEVICE,
    hop::{Hook, Hop},
};

use crate::{context, emit, maps, threads};

/// vhost hands over a batch of frames.
#[inline(always)]
pub fn sent_by_vhost(hook: Hook) -> i32 {
    if let Some(thread) = threads::current_mover() {
        emit::thread_event(Hop::TapWrite, hook, thread.tid);
    }
    0
}

/// A VMM writes a frame: by write, writev, or io_uring in any thread of its process.
#[inline(always)]
pub fn written(hook: Hook) -> i32 {
    // SAFETY: nothing is read of the value; `maps` says what may change meanwhile.
    if unsafe { maps::PROCESSES.get(&context::current_process()) }.is_some() {
        emit::written(hook, NO_DEVICE);
    }
    0
}
