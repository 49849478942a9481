//! `cargo xtask test`: everything that must pass, one timing line for each part.

mod kernels;
mod tests;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use self::kernels::{Checked, Matrix, Verdict};
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

/// Which parts to run
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these parts [default: all but networks, which takes much longer]
    #[arg(value_name = "PART", value_parser = ["format", "lints", "tests", KERNELS, NETWORKS])]
    parts: Vec<String>,
}

/// The part that is no command.
const KERNELS: &str = "kernels";
/// The same for what takes longest: only when asked for.
const NETWORKS: &str = "networks";

/// How a part went, as a line at the end.
struct Line {
    name: String,
    time: Duration,
    verdict: &'static str,
}

const PASSED: &str = "passed";
const FAILED: &str = "FAILED";
const SKIPPED: &str = "SKIPPED";

/// Runs the parts, also after one has failed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if !setup::prepare(false)? {
        return Ok(ExitCode::from(2));
    }
    let mut lines = vec![Line { name: "set-up".to_owned(), time: started.elapsed(), verdict: "" }];
    let wanted = |name: &str| args.parts.is_empty() || args.parts.iter().any(|part| part == name);
    for (name, words) in PARTS.into_iter().filter(|(name, _)| wanted(name)) {
        say(&format!("test: {name}: {}", words.join(" ")));
        let started = Instant::now();
        let passed = command(words).current_dir(workspace()).status()?.success();
        let verdict = if passed { PASSED } else { FAILED };
        lines.push(Line { name: name.to_owned(), time: started.elapsed(), verdict });
    }
    if wanted(KERNELS) {
        lines.extend(kernels(KERNELS, Matrix::Kernels));
    }
    if args.parts.iter().any(|part| part == NETWORKS) {
        lines.extend(kernels(NETWORKS, Matrix::Networks));
    }
    let passed = lines.iter().all(|line| line.verdict != FAILED);
    lines.push(Line { name: "total".to_owned(), time: started.elapsed(), verdict: "" });
    for Line { name, time, verdict } in lines {
        say(format!("test: {name:<11} {} {verdict}", seconds(time)).trim_end());
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checks under other kernels, a line for each.
fn kernels(part: &str, matrix: Matrix) -> Vec<Line> {
    let started = Instant::now();
    say(&format!("test: {part}: the checks of xtask/src/test/kernels.rs"));
    let checked = kernels::check(matrix).unwrap_or_else(|error| {
        say(&format!("test: {part} {FAILED}: {error:#}"));
        Vec::new()
    });
    if checked.is_empty() {
        return vec![Line { name: part.to_owned(), time: started.elapsed(), verdict: FAILED }];
    }
    let line = |checked: Checked| {
        let verdict = match checked.verdict {
            Verdict::Passed => PASSED,
            Verdict::Failed => FAILED,
            Verdict::Skipped => SKIPPED,
        };
        Line { name: format!("kernel {}", checked.kernel), time: checked.time, verdict }
    };
    checked.into_iter().map(line).collect()
}
