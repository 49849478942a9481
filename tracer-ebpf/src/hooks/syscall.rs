//! System calls of a VMM: writing a frame to its tap; kicking its own I/O thread.

use tracer_common::{
    config::{ThreadRole, fd_key},
    hop::{Hook, Hop},
};

use crate::{emit, globals, kernel, maps};

/// `tap.write` of a write or writev to a traced tap. Where the guest's CPU is emulated, a vCPU thread's write
/// (it writes to nothing but its VMM's eventfds while the guest runs) is `vmm.kick`.
#[inline(always)]
pub fn entered(regs: u64, id: u64) -> i32 {
    if id != globals::sys_write() as u64 && id != globals::sys_writev() as u64 {
        return 0;
    }
    let Some(fd) = kernel::probe::<u64>(regs + globals::regs_arg0() as u64) else { return 0 };
    let key = fd_key(emit::current_process(), fd as u32);
    // SAFETY: values are written before the programs are attached and never change.
    if let Some(&slot) = unsafe { maps::TAP_FDS.get(&key) } {
        let mut event = emit::event(Hop::TapWrite, Hook::SysEnter, slot as u8);
        event.tid = emit::current_thread();
        emit::submit(&event);
    } else {
        kicked();
    }
    0
}

#[inline(always)]
fn kicked() {
    let tid = emit::current_thread();
    // SAFETY: as above.
    if unsafe { maps::THREADS.get(&tid) }.is_some_and(|&role| role == ThreadRole::EmulatedVcpu as u32) {
        emit::thread_event(Hop::VmmKick, Hook::SysEnter, tid);
    }
}
