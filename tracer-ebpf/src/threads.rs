//! What is known of the thread that runs: whether it serves a traced VM, and as what.

use tracer_common::config::{Bucket, ThreadRole};

use crate::{context, globals, maps};

/// A thread of a traced VM.
#[derive(Clone, Copy)]
pub struct Thread {
    /// Its id.
    pub tid: u32,
    value: u32,
}

impl Thread {
    /// The thread of this id, if it is traced.
    #[inline(always)]
    pub fn find(tid: u32) -> Option<Thread> {
        let key = tid.into();
        let value = maps::THREADS.get(Bucket::of(key, globals::thread_buckets()))?.value(key);
        (value != 0).then_some(Thread { tid, value })
    }

    /// The thread that runs, if it is traced.
    #[inline(always)]
    pub fn current() -> Option<Thread> {
        Thread::find(context::current_thread())
    }

    #[inline(always)]
    pub fn is(&self, role: ThreadRole) -> bool {
        self.value as u8 == role as u8
    }

    /// Number of its VM.
    #[inline(always)]
    pub fn vm(&self) -> u8 {
        (self.value >> 8) as u8
    }

    /// Of a vCPU: its number, by the thread's name.
    #[inline(always)]
    pub fn vcpu(&self) -> u16 {
        (self.value >> 16) as u16
    }
}

/// The thread that runs, if it moves frames of a traced VM.
#[inline(always)]
pub fn current_mover() -> Option<Thread> {
    Thread::current().filter(|thread| thread.is(ThreadRole::Io))
}
