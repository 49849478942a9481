//! Where what is drained from the ring goes.

use std::{fs::File, ops::ControlFlow, time::Duration};

use anyhow::Result;

use crate::{decode::Event, record::RecordWriter, recording::Note};

/// Takes events and notes: a recording, or a view of them.
pub trait Target {
    /// Records taken from the ring before the event loop looks at other things.
    const AT_ONCE: usize;
    /// How long it waits at most before it is asked to [`turn`](Self::turn) again.
    const PATIENCE: Duration = Duration::MAX;

    /// Takes an event.
    ///
    /// # Errors
    /// It cannot; that ends the session.
    fn event(&mut self, event: &Event) -> Result<()>;

    /// Takes a note.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    fn note(&mut self, note: &Note) -> Result<()>;

    /// Keeps what was taken, several times a second.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    fn flush(&mut self) -> Result<()>;

    /// What else it does, each time that the ring was looked at; ends the session by breaking off.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    fn turn(&mut self, _turn: Turn) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// Says that the session has ended, before the programs are detached.
    fn ended(&mut self) {}

    /// Takes what is left as the end.
    ///
    /// # Errors
    /// What was taken could not be kept.
    fn finish(self) -> Result<()>;
}

/// How things stand when the ring was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// `CLOCK_MONOTONIC`, ns.
    pub now_ns: u64,
    /// Whether more waits in the ring than could be taken at once.
    pub more: bool,
}

impl Target for RecordWriter<File> {
    const AT_ONCE: usize = 1 << 16;

    fn event(&mut self, event: &Event) -> Result<()> {
        RecordWriter::event(self, event)
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        RecordWriter::note(self, note)
    }

    fn flush(&mut self) -> Result<()> {
        RecordWriter::flush(self)
    }

    fn finish(mut self) -> Result<()> {
        RecordWriter::finish(&mut self)
    }
}
