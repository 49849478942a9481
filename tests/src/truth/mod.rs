//! Ground truth: one layer of a host is delayed by a known time, and the report must say that this layer, and no other,
//! takes so much longer.
//!
//! A trial asks questions in blocks, plain and delayed ones in turn, so that whatever drifts drifts in both. Meanwhile a
//! recording runs. Each exchange of the recording belongs to the block in whose time it began; the mean of each layer
//! over the delayed ones less that over the plain ones is what the layer has grown by. That is held against the time for
//! which the frame was really kept, by the clock of what kept it, since no sleep ends at once.
//!
//! `scene` is the host, with the lab's guest or a toy's; `trial` what delays, each in a file of its own; `block` the
//! bookkeeping; `growth` the arithmetic; `judge` the verdict; `run` all of it in order.
//!
//! The threads that matter run before all others, and the VMM's on another processor than its guest's and the asker's, so
//! that other work on the machine delays nothing.

mod asker;
pub mod block;
pub mod condition;
mod growth;
pub mod judge;
mod responder;
mod run;
pub mod scene;
mod threads;
pub mod toy;
pub mod trial;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

pub use self::run::{Wish, hold_against_truth};

/// The clock that vmhop stamps with, ns.
pub(crate) fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).map_or(0, |time| time.as_nanos() as u64)
}
