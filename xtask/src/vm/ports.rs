//! The three ways out of the VM: serial ports for what the command writes and for how it ends.

use std::{fmt, str::FromStr};

use anyhow::Context as _;

/// Port of the command's standard output.
pub const OUT: &str = "vmhop.out";
/// Port of the command's standard error.
pub const ERRORS: &str = "vmhop.errors";
/// Port of the agent's own lines: [`READY`], then an [`Ended`].
pub const STATUS: &str = "vmhop.status";

/// What the agent says before it starts the command.
pub const READY: &str = "ready";

/// How the command ended. The ports do not keep step, so it says how much has been sent through the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 and the signal's number when a signal ended it.
    pub code: u8,
    /// Bytes of standard output.
    pub out: u64,
    /// Bytes of standard error.
    pub errors: u64,
}

impl fmt::Display for Ended {
    fn fmt(&self, line: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, out, errors } = self;
        write!(line, "ended {code} {out} {errors}")
    }
}

impl FromStr for Ended {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["ended", code, out, errors] = words[..] else {
            anyhow::bail!("the agent has sent {line:?}");
        };
        let number = |word: &str| word.parse().with_context(|| format!("the agent has sent {line:?}"));
        let code = u8::try_from(number(code)?).context("the agent has sent no exit code")?;
        Ok(Self { code, out: number(out)?, errors: number(errors)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written() {
        let ended = Ended { code: 7, out: 40_000_000, errors: 0 };
        assert_eq!(ended.to_string().parse::<Ended>().unwrap(), ended);
        for line in ["", "ended", "ended 300 0 0", "ended 1 2", "ended x 0 0", "ready"] {
            assert!(line.parse::<Ended>().is_err(), "{line}");
        }
    }
}
