//! KVM: the guest's notification of its device, the interrupt that tells it of a frame, the vCPU entry that follows.

use tracer_common::{
    config::{ANY_VCPU, ThreadRole, vcpu_key},
    event::NO_DEVICE,
    hop::{Hook, Hop},
};

use crate::{
    context, emit, globals,
    hooks::account,
    kernel, maps,
    threads::{self, Thread},
};

/// `trace_kvm_mmio`'s type of a write: `KVM_TRACE_MMIO_WRITE`, arch/x86/kvm, v5.10 to v7.3.
const MMIO_WRITE: u64 = 2;
/// `trace_kvm_pio`'s direction of an out instruction: `KVM_PIO_OUT`.
const PIO_OUT: u64 = 1;

/// `vmm.kick`: a vCPU writes to a doorbell. Its time is that of the exit, where that was seen.
#[inline(always)]
pub fn kicked(doorbell: u64, hook: Hook) -> i32 {
    let Some(thread) = running_vcpu() else { return 0 };
    let mut event = emit::event(Hop::VmmKick, hook, NO_DEVICE);
    event.tid = thread.tid;
    event.digest = doorbell;
    // SAFETY: only this thread changes the value.
    if let Some(&exit_ns) = unsafe { maps::VCPU_EXITS.get(&thread.tid) }
        && exit_ns != 0
    {
        event.time_ns = exit_ns;
    }
    emit::submit(&event);
    0
}

/// As [`kicked`], of a write only.
#[inline(always)]
pub fn kicked_by_mmio(kind: u64, address: u64) -> i32 {
    if kind as u32 as u64 == MMIO_WRITE { kicked(address, Hook::KvmMmio) } else { 0 }
}

/// As [`kicked`], of an out instruction only.
#[inline(always)]
pub fn kicked_by_pio(direction: u64, port: u64) -> i32 {
    if direction as u32 as u64 == PIO_OUT { kicked(port as u32 as u64, Hook::KvmPio) } else { 0 }
}

/// `vmm.irq`: a thread that moves frames signals its guest.
#[inline(always)]
pub fn interrupted(hook: Hook) -> i32 {
    let Some(thread) = threads::current_mover() else { return 0 };
    if globals::irq_accept() == 0 {
        pend(any_vcpu(thread), thread.tid);
    }
    emit::thread_event(Hop::VmmIrq, hook, thread.tid);
    0
}

/// The interrupt has found its vCPU, which is to be entered for it.
#[inline(always)]
pub fn accepted(vcpu: u32) -> i32 {
    let Some(thread) = threads::current_mover() else { return 0 };
    pend(vcpu_thread(thread, vcpu).unwrap_or(any_vcpu(thread)), thread.tid);
    0
}

/// A posted interrupt: the processor gives it to a vCPU that is in its guest without an exit, and so without an entry.
#[inline(always)]
pub fn posted(vcpu: u32) -> i32 {
    let Some(thread) = threads::current_mover() else { return 0 };
    let target = vcpu_thread(thread, vcpu).unwrap_or(any_vcpu(thread));
    // SAFETY: read at once; a change at the same moment makes it an entry early or late, nothing worse.
    if unsafe { maps::VCPU_EXITS.get(&target) } == Some(&0) {
        enter(target, thread.tid, Hook::KvmApicvAcceptIrq);
    } else {
        pend(target, thread.tid);
    }
    0
}

/// `vcpu.enter`: the first entry since of the vCPU that has the interrupt. All other entries, of which a busy guest
/// has hundreds of thousands a second, end here.
#[inline(always)]
pub fn entered(vcpu: u64) -> i32 {
    let Some(thread) = running_vcpu() else { return 0 };
    left_at(thread, vcpu, 0);
    interrupted_vcpu(thread);
    // Last, so that what this costs is not taken for the guest's time.
    account::entered();
    0
}

/// The vCPU that is entered has been signalled to, or any of its VM has.
#[inline(always)]
fn interrupted_vcpu(thread: Thread) {
    let own = thread.tid;
    let any = any_vcpu(thread);
    // SAFETY: a thread id; a change at the same moment gives another thread that signalled as well.
    unsafe {
        if let Some(&signaller) = maps::PENDING_IRQ.get(&own) {
            let _ = maps::PENDING_IRQ.remove(&own);
            enter(own, signaller, Hook::KvmEntry);
        } else if let Some(&signaller) = maps::PENDING_IRQ.get(&any) {
            let _ = maps::PENDING_IRQ.remove(&any);
            enter(own, signaller, Hook::KvmEntry);
        }
    }
}

/// A vCPU leaves its guest. The tracepoint's first argument is the vCPU since v5.17, before that the reason.
#[inline(always)]
pub fn exited(first: u64, second: u64) -> i32 {
    let Some(thread) = running_vcpu() else { return 0 };
    account::left_untold();
    left_at(thread, if first >> 63 == 1 { first } else { second }, context::now());
    0
}

/// The vCPU's thread that runs, if it is traced.
#[inline(always)]
fn running_vcpu() -> Option<Thread> {
    Thread::current().filter(|thread| thread.is(ThreadRole::Vcpu))
}

/// Notes when a vCPU left its guest, 0 for that it is in there; at first also which thread runs it.
#[inline(always)]
fn left_at(thread: Thread, vcpu: u64, time_ns: u64) {
    if let Some(exit_ns) = maps::VCPU_EXITS.get_ptr_mut(&thread.tid) {
        // SAFETY: the map's value, which only this thread changes.
        unsafe { *exit_ns = time_ns };
        return;
    }
    let _ = maps::VCPU_EXITS.insert(&thread.tid, &time_ns, 0);
    let _ = maps::VCPU_THREADS.insert(&vcpu_key(thread.vm(), number(thread, vcpu)), &thread.tid, 0);
}

/// The number by which interrupts name a vCPU: its APIC's, `kvm_vcpu.vcpu_id`.
#[inline(always)]
fn number(thread: Thread, vcpu: u64) -> u16 {
    let offset = globals::vcpu_id();
    if offset == 0 {
        return thread.vcpu();
    }
    kernel::probe::<u32>(vcpu + offset as u64).map_or(thread.vcpu(), |id| id as u16)
}

/// The thread of a vCPU of the same VM.
#[inline(always)]
fn vcpu_thread(thread: Thread, vcpu: u32) -> Option<u32> {
    // SAFETY: a word, read at once; another thread may have come to run the vCPU meanwhile.
    unsafe { maps::VCPU_THREADS.get(&vcpu_key(thread.vm(), vcpu as u16)) }.copied()
}

/// Stands for any vCPU of a VM among threads: beyond all thread ids (`PID_MAX_LIMIT`, 2^22).
#[inline(always)]
fn any_vcpu(thread: Thread) -> u32 {
    vcpu_key(thread.vm(), ANY_VCPU) | 1 << 31
}

#[inline(always)]
fn pend(vcpu: u32, signaller: u32) {
    let _ = maps::PENDING_IRQ.insert(&vcpu, &signaller, 0);
}

#[inline(always)]
fn enter(vcpu: u32, signaller: u32, hook: Hook) {
    let mut event = emit::event(Hop::VcpuEnter, hook, NO_DEVICE);
    event.tid = vcpu;
    event.seq = signaller;
    emit::submit(&event);
}
