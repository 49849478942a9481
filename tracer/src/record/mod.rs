//! The recording: an Arrow IPC stream, whole up to its last batch when it is cut off.
//!
//! [`RecordWriter`] writes it, [`RecordReader`] reads it, [`schema`] says what is in it. What its notes and its
//! header mean is in [`crate::recording`]; nothing here looks into an event.
//!
//! # The format, version 1
//! An Arrow IPC stream (not file) of one schema, batches without dictionaries or compression, and the stream's
//! end marker if the recording was closed. The schema's metadata is all text:
//!
//! | key | value |
//! | --- | --- |
//! | `vmhop.recording` | version of the format, `1` |
//! | `vmhop.abi` | version of the events' meaning, [`ABI_VERSION`](tracer_common::event::ABI_VERSION) |
//! | `vmhop.header` | JSON of [`crate::recording::Header`] |
//! | `vmhop.hops`, `vmhop.hooks`, `vmhop.kinds` | JSON objects, code → name |
//!
//! A row is an event, or a note: then `note` holds JSON of a [`crate::recording::Note`], `hop` is 0, and the
//! other columns are 0 or null. Rows are in the order in which they were read, not in that of time.
//!
//! ```python
//! import pyarrow as pa
//! table = pa.ipc.open_stream("vmhop.arrow").read_all()
//! ```

mod columns;
mod framing;
mod read;
mod schema;
mod write;

pub use self::{
    read::{Item, ReadError, RecordReader},
    write::{BATCH_ROWS, RecordWriter},
};

#[cfg(test)]
mod tests;
