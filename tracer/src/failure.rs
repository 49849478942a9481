//! Why a command failed, as its exit code tells it.

use std::{fmt, io, process::ExitCode};

use anyhow::Error;

use crate::topology::printable;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// It could not start: usage, permissions, no such VM. Exit code 2.
    Usage(Error),
    /// Something went wrong on the way. Exit code 1.
    Run(Error),
}

impl Failure {
    /// Whether the reader of the output went away, as `head` does: no failure to tell of.
    pub fn is_broken_pipe(&self) -> bool {
        let (Failure::Usage(error) | Failure::Run(error)) = self;
        error.chain().any(|cause| match cause.downcast_ref::<io::Error>() {
            Some(cause) => cause.kind() == io::ErrorKind::BrokenPipe,
            None => false,
        })
    }

    /// What went wrong, without what it means for the exit code.
    pub fn into_error(self) -> Error {
        let (Failure::Usage(error) | Failure::Run(error)) = self;
        error
    }

    /// The exit code that stands for it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            _ if self.is_broken_pipe() => ExitCode::SUCCESS,
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Run(_) => ExitCode::from(1),
        }
    }
}

/// Writing the output failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Run(Error::new(error).context("failed to write the output"))
    }
}

/// The whole chain of causes. What they quote, of files and of the command line, does nothing to a terminal.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(error) | Failure::Run(error)) = self;
        let message = format!("{error:#}");
        let lines: Vec<String> = message.split('\n').map(printable).collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(format!("{:?}", Failure::from(broken).exit_code()), format!("{:?}", ExitCode::SUCCESS));
        let full = Failure::from(io::Error::from_raw_os_error(28));
        assert!(!full.is_broken_pipe());
        assert_eq!(full.to_string(), "failed to write the output: No space left on device (os error 28)");
    }
}
