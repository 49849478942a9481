//! What an event tells of a frame's headers.

use tracer_common::{
    event::TUNNELLED,
    frame::{Frame, Kind},
};

/// The fields of a [`HopEvent`](tracer_common::event::HopEvent) that come from headers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Said {
    pub digest: u64,
    pub flow: u64,
    pub seq: u32,
    pub ack: u32,
    pub stamps: u32,
    /// With [`TUNNELLED`].
    pub kind: u8,
    pub tcp_flags: u8,
    pub overhead: u8,
}

/// What is known of a frame once its headers were read.
pub struct Known {
    pub said: Said,
    /// `HopEvent::buffer`.
    pub buffer: u64,
    /// Whether the frame is recorded.
    pub recorded: bool,
}

impl Said {
    /// What a frame's headers say.
    #[inline(always)]
    pub fn of(frame: &Frame) -> Said {
        Said {
            digest: frame.digest,
            flow: frame.flow,
            seq: frame.seq,
            ack: frame.ack,
            stamps: frame.stamps,
            kind: frame.kind as u8 | if frame.tunnelled { TUNNELLED } else { 0 },
            tcp_flags: frame.tcp_flags,
            overhead: frame.overhead,
        }
    }

    /// Whether the frame is too short for what its headers announce.
    #[inline(always)]
    pub fn is_truncated(&self) -> bool {
        self.kind & !TUNNELLED == Kind::Truncated as u8
    }
}
