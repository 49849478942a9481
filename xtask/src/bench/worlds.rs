//! `cargo xtask bench worlds`: ten thousand synthetic worlds, whole and with a tenth of their events taken out.

use std::process::ExitCode;

use crate::shell::{command, workspace};

/// Runs the test that does it, on a release build, and shows its figures.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let build = ["cargo", "test", "--release", "--package", "tests", "--test", "worlds", "--"];
    let words = [&build[..], &["--ignored", "--nocapture", "ten_thousand"]].concat();
    let passed = command(&words).current_dir(workspace()).status()?.success();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
