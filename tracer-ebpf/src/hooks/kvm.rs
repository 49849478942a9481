//! KVM: the interrupt that tells a guest of a frame, and the vCPU entry that follows.

use tracer_common::{
    config::ThreadRole,
    hop::{Hook, Hop},
};

use crate::{emit, maps};

/// `vmm.irq`: a thread that moves frames signals an MSI to its guest.
#[inline(always)]
pub fn interrupted() -> i32 {
    let tid = emit::current_thread();
    if has_role(tid, ThreadRole::Io) {
        let _ = maps::PENDING_IRQ.insert(&emit::current_process(), &1, 0);
        emit::thread_event(Hop::VmmIrq, Hook::KvmMsiSetIrq, tid);
    }
    0
}

/// `vcpu.enter`: the first entry of any vCPU of that VM since. All other entries, of which a busy guest has
/// hundreds of thousands a second, end here.
#[inline(always)]
pub fn entered() -> i32 {
    let process = emit::current_process();
    // SAFETY: only its presence matters.
    if unsafe { maps::PENDING_IRQ.get(&process) }.is_none() {
        return 0;
    }
    let tid = emit::current_thread();
    if has_role(tid, ThreadRole::Vcpu) && maps::PENDING_IRQ.remove(&process).is_ok() {
        emit::thread_event(Hop::VcpuEnter, Hook::KvmEntry, tid);
    }
    0
}

#[inline(always)]
fn has_role(tid: u32, role: ThreadRole) -> bool {
    // SAFETY: values are written before the programs are attached and never change.
    unsafe { maps::THREADS.get(&tid) }.is_some_and(|&found| found == role as u32)
}
