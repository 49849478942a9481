//! `cargo xtask test`: everything that must pass, one timing line for each part.

use std::{process::ExitCode, time::Instant};

use crate::{
    setup,
    shell::{command, say, seconds, workspace},
};

/// The parts, in the order in which they fail fastest. The BPF programs compile for their own target, by
/// tracer's build script, and have no tests of their own.
const PARTS: [(&str, &[&str]); 3] = [
    ("format", &["cargo", "fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "cargo",
            "clippy",
            "--workspace",
            "--exclude",
            "tracer-ebpf",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
    ("tests", &["cargo", "test", "--workspace", "--exclude", "tracer-ebpf", "--no-fail-fast"]),
];

/// Runs all parts, also after one has failed.
pub fn run() -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if !setup::prepare(false)? {
        return Ok(ExitCode::from(2));
    }
    let mut lines = vec![format!("set-up    {}", seconds(started.elapsed()))];
    let mut failed = Vec::new();
    for (name, words) in PARTS {
        say(&format!("test: {name}: {}", words.join(" ")));
        let started = Instant::now();
        let passed = command(words).current_dir(workspace()).status()?.success();
        let verdict = if passed { "passed" } else { "FAILED" };
        lines.push(format!("{name:<9} {} {verdict}", seconds(started.elapsed())));
        if !passed {
            failed.push(name);
        }
    }
    lines.push(format!("total     {}", seconds(started.elapsed())));
    lines.iter().for_each(|line| say(&format!("test: {line}")));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
