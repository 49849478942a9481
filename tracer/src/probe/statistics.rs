//! What the kernel counts of a BPF program.

use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};
use nix::errno::Errno;

/// Counts since the program was loaded, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// How often it ran, while run times are measured.
    pub(super) runs: u64,
    /// Time in it, ns, while run times are measured.
    pub(super) run_ns: u64,
    /// How often it was to run and did not, because it ran already on that CPU: it was interrupted where it reads its
    /// tracepoint again (`__bpf_trace_run` in kernel/trace/bpf_trace.c,
    /// `__bpf_prog_enter_recur` in kernel/bpf/trampoline.c). 0 on kernels that do not count it.
    pub(super) missed: u64,
}

impl Statistics {
    /// Reads those of a program.
    pub(super) fn of(program: BorrowedFd<'_>) -> io::Result<Statistics> {
        // SAFETY: both are plain old data, for which zeros are valid: they ask for no arrays.
        let (mut info, mut attr): (bpf_prog_info, bpf_attr) = unsafe { (zeroed(), zeroed()) };
        attr.info.bpf_fd = program.as_raw_fd() as u32;
        attr.info.info_len = size_of::<bpf_prog_info>() as u32;
        attr.info.info = (&raw mut info) as u64;
        // SAFETY: the kernel reads `attr` and writes at most `info_len` bytes to `info`; both live until it returns.
        let done = unsafe {
            let command = bpf_cmd::BPF_OBJ_GET_INFO_BY_FD as libc::c_long;
            libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<bpf_attr>())
        };
        Errno::result(done)?;
        Ok(Statistics { runs: info.run_cnt, run_ns: info.run_time_ns, missed: info.recursion_misses })
    }
}
