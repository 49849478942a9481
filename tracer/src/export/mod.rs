//! From plain data to what a person or a program reads: one file a format.

pub mod doctor;
pub mod live;
pub mod topology;

use std::io::{self, Write};

use serde::Serialize;

use crate::{cli::Format, report::Report};

/// Writes any of it as JSON, indented, with a line end.
pub fn write_json(data: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, data)?;
    writeln!(out)
}

/// Writes a report in the format asked for.
pub fn write_report(report: &Report, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => write_json(report, out),
        Format::Text => write_json(report, out),
    }
}
