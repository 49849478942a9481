//! Writing a recording, a batch at a time.

use std::{
    io::{BufWriter, Write},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::writer::StreamWriter};

use super::{columns::Columns, schema};
use crate::{
    decode::Event,
    recording::{Header, Note},
};

/// Rows after which a batch is written by itself.
pub const BATCH_ROWS: usize = 8192;

/// Large enough for a batch to take a dozen system calls.
const BUFFER: usize = 64 * 1024;

/// Writes a recording.
///
/// What is written is on its way to the file after each [`flush`](Self::flush) and after each
/// [`BATCH_ROWS`] rows. After an error nothing more can be written: the file ends in the middle of a batch,
/// which readers take for a recording that was cut off.
pub struct RecordWriter<W: Write> {
    stream: StreamWriter<BufWriter<W>>,
    schema: SchemaRef,
    columns: Columns,
    failed: bool,
}

impl<W: Write> RecordWriter<W> {
    /// Starts a recording: its header is written at once.
    ///
    /// # Errors
    /// The writer's; an [`std::io::Error`] is found by `downcast_ref`, here and in the other methods.
    pub fn create(writer: W, header: &Header) -> Result<Self> {
        let schema = schema::with_header(header)?;
        let start = || -> Result<_, ArrowError> {
            let mut stream = StreamWriter::try_new(BufWriter::with_capacity(BUFFER, writer), &schema)?;
            stream.flush()?;
            Ok(stream)
        };
        let stream = start().map_err(without_arrow).context("failed to write the recording's header")?;
        let schema = Arc::new(schema);
        Ok(Self { stream, schema, columns: Columns::default(), failed: false })
    }

    /// Appends an event.
    ///
    /// # Errors
    /// The writer's, where this fills a batch.
    #[inline]
    pub fn event(&mut self, event: &Event) -> Result<()> {
        if self.columns.push(event) { self.row() } else { Ok(()) }
    }

    /// Appends a note.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn note(&mut self, note: &Note) -> Result<()> {
        let json = serde_json::to_string(note).context("failed to write a note as JSON")?;
        self.columns.push_note(json);
        self.row()
    }

    /// Writes the rows that are pending and flushes the writer.
    ///
    /// # Errors
    /// The writer's.
    pub fn flush(&mut self) -> Result<()> {
        self.guarded("failed to write to the recording", |this| {
            this.write_batch()?;
            this.stream.flush()
        })
    }

    /// Closes the recording, so that readers know it is whole.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(&mut self) -> Result<()> {
        self.guarded("failed to close the recording", |this| {
            this.write_batch()?;
            this.stream.finish()
        })
    }

    fn row(&mut self) -> Result<()> {
        if self.columns.rows() < BATCH_ROWS { Ok(()) } else { self.flush() }
    }

    fn write_batch(&mut self) -> Result<(), ArrowError> {
        if self.columns.rows() == 0 {
            return Ok(());
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), self.columns.take())?;
        self.stream.write(&batch)
    }

    fn guarded(
        &mut self,
        context: &'static str,
        write: impl FnOnce(&mut Self) -> Result<(), ArrowError>,
    ) -> Result<()> {
        ensure!(!self.failed, "the recording cannot be continued: writing to it has failed before");
        let result = write(self).map_err(without_arrow).context(context);
        self.failed = result.is_err();
        result
    }
}

/// The I/O error itself, where it is one: arrow says it twice and hides its kind.
fn without_arrow(error: ArrowError) -> anyhow::Error {
    match error {
        ArrowError::IoError(_, error) => error.into(),
        error => error.into(),
    }
}
