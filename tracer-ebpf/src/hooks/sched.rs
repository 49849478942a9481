//! The scheduler: when a thread that moves frames, or runs the guest, gets the CPU.

use core::ffi::c_void;

use tracer_common::{
    config::ThreadRole,
    hop::{Hook, Hop},
};

use crate::{emit, kernel, maps};

/// One thread stops, another runs.
#[inline(always)]
pub fn switched(previous: *const c_void, next: *const c_void) -> i32 {
    stopped(kernel::thread_id(previous));
    started(kernel::thread_id(next));
    0
}

/// `vcpu.leave` of a vCPU of an emulated guest: frames copied to the guest from now on wait for its entry.
#[inline(always)]
fn stopped(tid: u32) {
    if role(tid) == ThreadRole::EmulatedVcpu as u32 {
        emit::thread_event(Hop::VcpuLeave, Hook::SchedSwitch, tid);
    }
}

/// `vmm.wake`; for a vCPU of an emulated guest `vcpu.enter`, since nothing tells its entry better.
#[inline(always)]
fn started(tid: u32) {
    let role = role(tid);
    if role == ThreadRole::Io as u32 {
        emit::thread_event(Hop::VmmWake, Hook::SchedSwitch, tid);
    } else if role == ThreadRole::EmulatedVcpu as u32 {
        emit::thread_event(Hop::VcpuEnter, Hook::SchedSwitch, tid);
    }
}

/// A thread's role, 0 for one that is not traced.
#[inline(always)]
fn role(tid: u32) -> u32 {
    // SAFETY: values are written before the programs are attached and never change.
    unsafe { maps::THREADS.get(&tid) }.copied().unwrap_or(0)
}
