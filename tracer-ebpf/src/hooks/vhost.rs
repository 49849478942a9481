//! vhost: which queue a guest's notification is for, and which queue a worker serves. A queue is named by the
//! address of its `vhost_work`, which both sides know.

use tracer_common::{
    config::ThreadRole,
    event::NO_DEVICE,
    hop::{Hook, Hop},
};

use crate::{
    emit, globals,
    threads::{self, Thread},
};

/// `vhost.notify`: runs in the vCPU's thread, within its write to the doorbell. The same function wakes workers for
/// frames to receive, in other threads.
#[inline(always)]
pub fn notified(wait: u64) -> i32 {
    let Some(thread) = Thread::current() else { return 0 };
    if thread.is(ThreadRole::Vcpu) || thread.is(ThreadRole::EmulatedVcpu) {
        let work = wait + globals::vhost_work_from_wait() as u64;
        queue_event(Hop::VhostNotify, Hook::VhostPollWakeup, thread.tid, work);
    }
    0
}

/// `vhost.transmit`: a worker begins to take frames of a queue.
#[inline(always)]
pub fn transmits(work: u64) -> i32 {
    if let Some(thread) = threads::current_mover() {
        queue_event(Hop::VhostTransmit, Hook::HandleTxKick, thread.tid, work);
    }
    0
}

#[inline(always)]
fn queue_event(hop: Hop, hook: Hook, tid: u32, work: u64) {
    let mut event = emit::event(hop, hook, NO_DEVICE);
    event.tid = tid;
    event.digest = work;
    emit::submit(&event);
}
