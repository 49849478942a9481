//! A comparison of two conditions, as text, JSON or HTML.

mod experiment;
mod html;
mod text;
mod words;

use std::io::{self, Write};

use super::{WIDTH, write_json};
use crate::{
    cli::DiffFormat,
    compare::{Comparison, cells::ExperimentComparison},
};

/// Writes a comparison in the format asked for.
///
/// # Errors
/// The writer's.
pub fn write(comparison: &Comparison, format: DiffFormat, out: &mut dyn Write) -> io::Result<()> {
    match format {
        DiffFormat::Json => write_json(comparison, out),
        DiffFormat::Text => text::write(comparison, WIDTH, out),
        DiffFormat::Html => html::write(comparison, out),
    }
}

/// The same of two experiments.
///
/// # Errors
/// The writer's.
pub fn write_experiments(
    report: &ExperimentComparison,
    format: DiffFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        DiffFormat::Json => write_json(report, out),
        DiffFormat::Text => experiment::text(report, WIDTH, out),
        DiffFormat::Html => experiment::page(report, out),
    }
}
