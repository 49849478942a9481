//! Writing a recording, a batch at a time.

use std::{
    io::{BufWriter, Write},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use arrow::{
    array::{
        ArrayRef, RecordBatch, StringBuilder, UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
    },
    datatypes::SchemaRef,
    error::ArrowError,
    ipc::writer::StreamWriter,
};

use super::schema;
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
    rows: usize,
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
        Ok(Self { stream, schema, columns: Columns::default(), rows: 0, failed: false })
    }

    /// Appends an event.
    ///
    /// # Errors
    /// The writer's, where this fills a batch.
    pub fn event(&mut self, event: &Event) -> Result<()> {
        self.columns.push(event);
        self.row()
    }

    /// Appends a note.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn note(&mut self, note: &Note) -> Result<()> {
        let json = serde_json::to_string(note).context("failed to write a note as JSON")?;
        self.columns.push_note(&json);
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
        self.rows += 1;
        if self.rows < BATCH_ROWS { Ok(()) } else { self.flush() }
    }

    fn write_batch(&mut self) -> Result<(), ArrowError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
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

/// The rows that are pending, by column.
#[derive(Default)]
struct Columns {
    time_ns: UInt64Builder,
    hop: UInt8Builder,
    hook: UInt8Builder,
    cpu: UInt16Builder,
    device: UInt8Builder,
    tid: UInt32Builder,
    skb: UInt64Builder,
    head: UInt64Builder,
    digest: UInt64Builder,
    flow: UInt64Builder,
    len: UInt32Builder,
    seq: UInt32Builder,
    ack: UInt32Builder,
    kind: UInt8Builder,
    tcp_flags: UInt8Builder,
    overhead: UInt8Builder,
    note: StringBuilder,
    stamps: UInt32Builder,
    gso_size: UInt16Builder,
    tunnelled: UInt8Builder,
}

impl Columns {
    fn push(&mut self, event: &Event) {
        let Event { time_ns, skb, head, digest, flow, len, seq, ack, tid, cpu, .. } = *event;
        let Event { device, hop, hook, kind, tcp_flags, overhead, stamps, gso_size, tunnelled, .. } = *event;
        self.time_ns.append_value(time_ns);
        self.hop.append_value(hop as u8);
        self.hook.append_value(hook as u8);
        self.cpu.append_value(cpu);
        self.device.append_option(device);
        self.tid.append_value(tid);
        self.skb.append_value(skb);
        self.head.append_value(head);
        self.digest.append_value(digest);
        self.flow.append_value(flow);
        self.len.append_value(len);
        self.seq.append_value(seq);
        self.ack.append_value(ack);
        self.kind.append_value(kind.map_or(0, |kind| kind as u8));
        self.tcp_flags.append_value(tcp_flags);
        self.overhead.append_value(overhead);
        self.note.append_null();
        self.stamps.append_value(stamps);
        self.gso_size.append_value(gso_size);
        self.tunnelled.append_value(u8::from(tunnelled));
    }

    fn push_note(&mut self, json: &str) {
        for column in [&mut self.hop, &mut self.hook, &mut self.kind] {
            column.append_value(0);
        }
        for column in [&mut self.tcp_flags, &mut self.overhead, &mut self.tunnelled] {
            column.append_value(0);
        }
        for column in [&mut self.time_ns, &mut self.skb, &mut self.head, &mut self.digest, &mut self.flow] {
            column.append_value(0);
        }
        for column in [&mut self.tid, &mut self.len, &mut self.seq, &mut self.ack, &mut self.stamps] {
            column.append_value(0);
        }
        for column in [&mut self.cpu, &mut self.gso_size] {
            column.append_value(0);
        }
        self.device.append_null();
        self.note.append_value(json);
    }

    /// The columns in the order of the schema; leaves none pending.
    fn take(&mut self) -> Vec<ArrayRef> {
        let this = self;
        vec![
            Arc::new(this.time_ns.finish()),
            Arc::new(this.hop.finish()),
            Arc::new(this.hook.finish()),
            Arc::new(this.cpu.finish()),
            Arc::new(this.device.finish()),
            Arc::new(this.tid.finish()),
            Arc::new(this.skb.finish()),
            Arc::new(this.head.finish()),
            Arc::new(this.digest.finish()),
            Arc::new(this.flow.finish()),
            Arc::new(this.len.finish()),
            Arc::new(this.seq.finish()),
            Arc::new(this.ack.finish()),
            Arc::new(this.kind.finish()),
            Arc::new(this.tcp_flags.finish()),
            Arc::new(this.overhead.finish()),
            Arc::new(this.note.finish()),
            Arc::new(this.stamps.finish()),
            Arc::new(this.gso_size.finish()),
            Arc::new(this.tunnelled.finish()),
        ]
    }
}
