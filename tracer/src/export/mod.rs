//! From plain data to what a person or a program reads: one file a format, each a function of the data alone.

pub mod diff;
pub mod doctor;
pub(crate) mod html;
pub mod json;
pub mod live;
pub(crate) mod numbers;
#[cfg(test)]
pub(crate) mod sample;
pub mod selftest;
pub mod text;
pub mod topology;

use std::io::{self, Write};

use serde::Serialize;

use crate::{cli::Format, report::Report};

/// Columns of a text report that does not go to a terminal.
const WIDTH: usize = 100;

/// Writes any of it as JSON, indented, with a line end.
pub fn write_json(data: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, data)?;
    writeln!(out)
}

/// Writes a report in the format asked for.
pub fn write_report(report: &Report, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => json::write(report, out),
        Format::Text => text::write(report, WIDTH, out),
    }
}
