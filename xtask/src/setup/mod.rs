//! `cargo xtask setup`: finds or installs what building, the lab and the tests need.
//!
//! A step looks first and acts only on what is missing, so running it again is safe and takes a moment.

mod kernel;
mod linker;
mod packages;
mod python;
mod system;
mod toolchain;

use std::{process::ExitCode, time::Instant};

use crate::shell::{Log, say, seconds};

use self::system::System;
pub use self::system::{find, privileged};

/// How to set up
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only say what is there and what is missing
    #[arg(long)]
    check: bool,
}

/// How a step ended.
enum Outcome {
    /// It was there.
    Found(String),
    /// It is there now.
    Installed(String),
    /// It is not there; the lines say how to get it.
    Missing(String, Vec<String>),
}

type Step = fn(&System) -> anyhow::Result<Outcome>;

/// In this order: the linker must fit the toolchain, and the kernel is unpacked with the packages' programs.
const STEPS: [(&str, Step); 5] = [
    ("programs", packages::ensure),
    ("BPF toolchain", toolchain::ensure),
    ("bpf-linker", linker::ensure),
    ("guest kernel", kernel::ensure),
    ("Python packages", python::ensure),
];

/// Does the job; exit code 2 when something is missing.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let whole = prepare(args.check)?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Runs all steps and says whether everything is there in the end.
pub fn prepare(check_only: bool) -> anyhow::Result<bool> {
    let system = System::look(check_only, Log::create("setup.log")?);
    let mut remedies = Vec::new();
    for (name, step) in STEPS {
        let started = Instant::now();
        // A step that fails does not keep the others from saying what they miss.
        let outcome =
            step(&system).unwrap_or_else(|error| Outcome::Missing(format!("{error:#}"), Vec::new()));
        let (word, text) = match outcome {
            Outcome::Found(text) => ("found", text),
            Outcome::Installed(text) => ("installed", text),
            Outcome::Missing(text, lines) => {
                remedies.push((name, lines));
                ("missing", text)
            }
        };
        let time = started.elapsed();
        let time = if time.as_secs() >= 1 { format!(" ({})", seconds(time)) } else { String::new() };
        say(&format!("setup: {word:<9} {name}: {text}{time}"));
    }
    for (name, lines) in remedies.iter().filter(|(_, lines)| !lines.is_empty()) {
        say(&format!("setup: to get what is missing for {name}:"));
        lines.iter().for_each(|line| say(&format!("    {line}")));
    }
    Ok(remedies.is_empty())
}
