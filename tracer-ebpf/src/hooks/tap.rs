//! Where frames enter a tap or macvtap: `tap.write`. No frame yet: the thread joins it to the frame born next.

use tracer_common::{
    event::NO_DEVICE,
    hop::{Hook, Hop},
};

use crate::{emit, maps, threads};

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
    if unsafe { maps::PROCESSES.get(&emit::current_process()) }.is_some() {
        let mut event = emit::event(Hop::TapWrite, hook, NO_DEVICE);
        event.tid = emit::current_thread();
        emit::submit(&event);
    }
    0
}
