//! From a recording to a format, on one way through it: what a report does not hold is written as it comes by, so that
//! memory does not grow with the recording.
//!
//! Not in here: what any format looks like. Each is a file of its own and a [`Stream`].

use std::io::{self, BufWriter, Write};

use thiserror::Error;

use super::{csv, html, parquet, pcapng, perfetto, table::Table, write_report};
use crate::{
    analysis::{Analysis, Observer, detail::Details},
    cli::Format,
    correlate::{Limits, Passage, exchange::Exchange},
    decode::Event,
    record::{ReadError, RecordReader},
    recording::{Header, Note},
    report::Report,
};

/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;

/// What a format is written to.
pub(super) type Target<'a> = BufWriter<&'a mut dyn Write>;

/// A format on its way to the writer. Its methods are those of [`Observer`], each with the writer's error.
pub(super) trait Stream {
    /// A hop event.
    fn event(&mut self, _event: &Event) -> io::Result<()> {
        Ok(())
    }
    /// A note.
    fn note(&mut self, _note: &Note) -> io::Result<()> {
        Ok(())
    }
    /// A passage that is over.
    fn passage(&mut self, _passage: &Passage) -> io::Result<()> {
        Ok(())
    }
    /// An exchange; the last passage before it is that of its answer.
    fn exchange(&mut self, _exchange: &Exchange) -> io::Result<()> {
        Ok(())
    }
    /// The end: writes what is left, and flushes it.
    fn end(&mut self, report: &Report) -> io::Result<()>;
}

/// Why there is no output, or not all of it.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The recording cannot be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The writer failed.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Reads a recording to its end, writes it in this format, and gives its report.
///
/// # Errors
/// The recording's, or the writer's, after which no more is read.
pub fn write_recording(
    reader: &mut RecordReader,
    limits: Limits,
    format: Format,
    out: &mut dyn Write,
) -> Result<Report, ExportError> {
    let header = reader.header().clone();
    let mut exporter = Exporter { stream: stream(format, &header, out)?, failed: None };
    let mut analysis = Analysis::new(&header, reader.abi(), limits);
    for item in reader.by_ref() {
        analysis.push(item?, &mut exporter);
        exporter.check()?;
    }
    let report = analysis.finish(!reader.truncated(), &mut exporter);
    exporter.check()?;
    exporter.stream.end(&report)?;
    Ok(report)
}

/// What writes this format.
fn stream<'a>(format: Format, header: &Header, out: &'a mut dyn Write) -> io::Result<Box<dyn Stream + 'a>> {
    let out = BufWriter::with_capacity(BUFFER, out);
    Ok(match format {
        Format::Text | Format::Json | Format::Openmetrics => Box::new(Whole { format, out }),
        Format::Html => Box::new(Page { details: Details::new(header), out }),
        Format::Csv => Box::new(Table::new(header, csv::Rows::begin(out)?)),
        Format::Parquet => Box::new(Table::new(header, parquet::Rows::begin(header, out)?)),
        Format::Pcapng => Box::new(pcapng::Packets::begin(header, out)?),
        Format::Perfetto => Box::new(perfetto::Trace::begin(header, out)?),
    })
}

/// A format that is made of the report alone.
struct Whole<'a> {
    format: Format,
    out: Target<'a>,
}

impl Stream for Whole<'_> {
    fn end(&mut self, report: &Report) -> io::Result<()> {
        write_report(report, self.format, &mut self.out)?;
        self.out.flush()
    }
}

/// A page, which shows single exchanges beside the report.
struct Page<'a> {
    details: Details,
    out: Target<'a>,
}

impl Stream for Page<'_> {
    fn exchange(&mut self, exchange: &Exchange) -> io::Result<()> {
        self.details.exchange(exchange);
        Ok(())
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        html::write(report, &self.details, &mut self.out)?;
        self.out.flush()
    }
}

/// Shows a stream what is analysed until its writer fails, and keeps the error: an observer has no way to return it.
struct Exporter<'a> {
    stream: Box<dyn Stream + 'a>,
    failed: Option<io::Error>,
}

impl Exporter<'_> {
    fn attempt(&mut self, job: impl FnOnce(&mut dyn Stream) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = job(self.stream.as_mut()).err();
        }
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Observer for Exporter<'_> {
    fn event(&mut self, event: &Event) {
        self.attempt(|stream| stream.event(event));
    }

    fn note(&mut self, note: &Note) {
        self.attempt(|stream| stream.note(note));
    }

    fn passage(&mut self, passage: &Passage) {
        self.attempt(|stream| stream.passage(passage));
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.attempt(|stream| stream.exchange(exchange));
    }
}
