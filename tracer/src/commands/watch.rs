//! `vmhop watch`: traces until it is stopped.

use std::{io::Write, process::ExitCode};

use anyhow::anyhow;

use crate::{cli::WatchArgs, config::WatchConfig, export::watch::Words, failure::Failure, session};

/// `vmhop watch`.
///
/// # Errors
/// It could not start, or was ended by a failure.
pub fn watch(args: &WatchArgs, verbose: u8, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let config = WatchConfig::from_args(args, verbose).map_err(Failure::Usage)?;
    let mut words = Words::new(out);
    let stopped = session::watch(&config, &mut |told| words.tell(&told)).map_err(Failure::Usage)?;
    words.end(&stopped)?;
    if stopped.failed { Err(Failure::Run(anyhow!(stopped.reason))) } else { Ok(ExitCode::SUCCESS) }
}
