//! The scheduler: when a thread that moves frames, or runs the guest, gets the CPU.

use core::ffi::c_void;

use tracer_common::{
    config::ThreadRole,
    hop::{Hook, Hop},
};

use crate::{emit, kernel, maps};

/// `vmm.wake`; for a vCPU of an emulated guest `vcpu.enter`, since nothing tells its entry better.
#[inline(always)]
pub fn switched_to(next: *const c_void) -> i32 {
    let tid = kernel::thread_id(next);
    // SAFETY: values are written before the programs are attached and never change.
    let Some(&role) = (unsafe { maps::THREADS.get(&tid) }) else { return 0 };
    if role == ThreadRole::Io as u32 {
        emit::thread_event(Hop::VmmWake, Hook::SchedSwitch, tid);
    } else if role == ThreadRole::EmulatedVcpu as u32 {
        emit::thread_event(Hop::VcpuEnter, Hook::SchedSwitch, tid);
    }
    0
}
