//! What becomes of an event: a record that leaves the kernel (`outcome/stream.rs`), or a place in a histogram
//! (`outcome/histogram`). The root of an object says which.

pub use crate::outcome::{
    by_buffer, by_content, by_packet, by_pointer, dropped, event, frame_event, freed, read, submit,
    thread_event, written,
};

/// Where on its way a hook meets a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is born.
    Birth,
    /// It comes from the wire, and is yet to enter the stack.
    Arrival,
    /// It is born, or enters the stack after its [arrival](Stage::Arrival).
    Entry,
    /// It is about to leave, perhaps translated; or it is born, at a macvtap.
    Exit,
    /// The driver has it, after its [exit](Stage::Exit).
    Handover,
    /// None of these.
    Between,
}
