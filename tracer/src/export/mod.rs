//! From plain data to what a person or a program reads: one file a format.

pub mod doctor;
pub mod topology;

use std::io::{self, Write};

use serde::Serialize;

/// Writes any of it as JSON, indented, with a line end.
pub fn write_json(data: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, data)?;
    writeln!(out)
}
