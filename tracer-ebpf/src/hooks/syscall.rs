//! System calls of a VMM: writing a frame to its tap; kicking its own I/O thread.

use tracer_common::{
    config::{ThreadRole, fd_key},
    hop::{Hook, Hop},
};

use crate::{context, emit, globals, kernel, maps, threads::Thread};

/// `tap.write` of a write or writev to a traced tap. Where the guest's CPU is emulated, a vCPU thread's write
/// (it writes to nothing but its VMM's eventfds while the guest runs) is `vmm.kick`.
#[inline(always)]
pub fn entered(regs: u64, id: u64) -> i32 {
    if id != globals::sys_write() as u64 && id != globals::sys_writev() as u64 {
        return 0;
    }
    if globals::sys_enter_writes() != 0 && wrote_to_tap(regs) {
        return 0;
    }
    kicked();
    0
}

/// `tap.write`, if the call's descriptor is a traced tap.
#[inline(always)]
fn wrote_to_tap(regs: u64) -> bool {
    let Some(fd) = kernel::probe::<u64>(regs + globals::regs_arg0() as u64) else { return false };
    let key = fd_key(context::current_process(), fd as u32);
    // SAFETY: a word, read at once; `maps` says what may change meanwhile.
    let Some(&slot) = (unsafe { maps::TAP_FDS.get(&key) }) else { return false };
    emit::written(Hook::SysEnter, slot as u8);
    true
}

#[inline(always)]
fn kicked() {
    if let Some(thread) = Thread::current()
        && thread.is(ThreadRole::EmulatedVcpu)
    {
        emit::thread_event(Hop::VmmKick, Hook::SysEnter, thread.tid);
    }
}
