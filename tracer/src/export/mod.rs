//! From plain data to what a person or a program reads: one file a format, each a function of the data alone.

mod csv;
pub mod diff;
pub mod doctor;
mod exporter;
pub mod html;
pub mod json;
pub mod live;
mod names;
pub(crate) mod numbers;
pub mod openmetrics;
mod parquet;
mod pcapng;
mod perfetto;
#[cfg(test)]
pub(crate) mod sample;
pub mod selftest;
mod table;
pub mod text;
pub mod topology;
pub mod watch;

use std::io::{self, Write};

use serde::Serialize;

pub use self::{
    exporter::{ExportError, write_recording},
    table::SCHEMA as SEGMENTS_SCHEMA,
};
use crate::{analysis::detail::Details, cli::Format, report::Report};

/// Columns of a text report that does not go to a terminal.
const WIDTH: usize = 100;

/// Writes any of it as JSON, indented, with a line end.
pub fn write_json(data: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, data)?;
    writeln!(out)
}

/// Writes a report in the format asked for; a page without the pictures that need more than the report.
///
/// # Errors
/// The writer's; or the format needs the recording as well: that is for [`write_recording`].
pub fn write_report(report: &Report, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Html => html::write(report, &Details::default(), out),
        Format::Json => json::write(report, out),
        Format::Text => text::write(report, WIDTH, out),
        Format::Openmetrics => openmetrics::write(report, out),
        Format::Csv | Format::Parquet | Format::Pcapng | Format::Perfetto => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this format shows single frames, which a report does not hold: it is made from the recording",
        )),
    }
}
