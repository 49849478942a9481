//! The scheduler: when a thread that moves frames is told to run, and when it, or one that runs the guest, gets the
//! CPU.

use core::ffi::c_void;

use tracer_common::{
    config::ThreadRole,
    hop::{Hook, Hop},
};

use crate::{
    emit,
    hooks::account,
    kernel::{self, Access},
    threads::Thread,
};

/// `vmm.runnable`: a sleeping thread is told to run.
#[inline(always)]
pub fn woken<A: Access>(task: *const c_void, hook: Hook) -> i32 {
    if let Some(thread) = Thread::find(kernel::thread_id::<A>(task))
        && thread.is(ThreadRole::Io)
    {
        emit::thread_event(Hop::VmmRunnable, hook, thread.tid);
    }
    0
}

/// One thread stops, another runs.
#[inline(always)]
pub fn switched<A: Access>(previous: *const c_void, next: *const c_void, hook: Hook) -> i32 {
    if let Some(thread) = Thread::find(kernel::thread_id::<A>(previous)) {
        stopped(thread, hook);
    }
    if let Some(thread) = Thread::find(kernel::thread_id::<A>(next)) {
        started(thread, hook);
    }
    0
}

/// `vcpu.leave` of a vCPU of an emulated guest: frames copied to the guest from now on wait for its entry. A vCPU on
/// KVM has left its guest before; its account is told that nobody pays from now on.
#[inline(always)]
fn stopped(thread: Thread, hook: Hook) {
    if thread.is(ThreadRole::EmulatedVcpu) {
        emit::thread_event(Hop::VcpuLeave, hook, thread.tid);
    } else if thread.is(ThreadRole::Vcpu) {
        account::parked(thread.tid);
    }
}

/// `vmm.wake`; for a vCPU of an emulated guest `vcpu.enter`, since nothing tells its entry better.
#[inline(always)]
fn started(thread: Thread, hook: Hook) {
    if thread.is(ThreadRole::Io) {
        emit::thread_event(Hop::VmmWake, hook, thread.tid);
    } else if thread.is(ThreadRole::EmulatedVcpu) {
        emit::thread_event(Hop::VcpuEnter, hook, thread.tid);
    } else if thread.is(ThreadRole::Vcpu) {
        account::resumed(thread.tid);
    }
}
