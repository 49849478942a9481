//! Ctrl-C and its like, noted instead of obeyed, so that what was started is ended in order.
//!
//! In a terminal the commands that run get the signal as well; this process only has to look at the note.

use std::sync::atomic::{AtomicI32, Ordering};

/// The last signal that came; 0 before any.
static NOTED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: i32) {
    NOTED.store(signal, Ordering::SeqCst);
}

/// From now on SIGINT, SIGTERM and SIGHUP are only noted.
pub fn catch() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) };
    }
}

/// The signal that has come, if one has.
pub fn noted() -> Option<i32> {
    Some(NOTED.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
}
