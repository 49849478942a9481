//! The report as JSON, schema `vmhop.report/1` (docs/report.md).

use std::io::{self, Write};

use crate::report::Report;

/// Writes the report, with a newline at its end.
///
/// # Errors
/// The writer's.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;

    #[test]
    fn the_report_is_read_back_from_its_json() {
        for report in [sample::full(), sample::empty()] {
            let mut first = Vec::new();
            write(&report, &mut first).unwrap();
            let again: Report = serde_json::from_slice(&first).unwrap();
            let mut second = Vec::new();
            write(&again, &mut second).unwrap();
            assert_eq!(String::from_utf8(first).unwrap(), String::from_utf8(second).unwrap());
        }
    }

    #[test]
    fn absent_values_are_null() {
        let mut out = Vec::new();
        write(&sample::empty(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_writer_that_fails_is_an_error_of_its_kind() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = write(&sample::empty(), &mut Closed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
