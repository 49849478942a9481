//! For `cargo xtask bench overhead`: programs that only read the clock, attached to the tracepoints named, until standard
//! input ends. Prints `attached` when they are.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::{self, Read as _};

use anyhow::Result;
use clap::Parser;
use tracer::probe::Floor;

/// Attaches programs that only read the clock.
#[derive(Parser)]
struct Args {
    /// Tracepoints
    #[arg(required = true)]
    tracepoints: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let _floor = Floor::attach(&args.tracepoints)?;
    println!("attached");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
