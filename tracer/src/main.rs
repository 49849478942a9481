//! The binary `vmhop`.

use std::{io, process::ExitCode};

use clap::Parser;
use tracer::lab::{self, LabCommand};

/// Says where a VM's frames spend their time
#[derive(Parser)]
enum Command {
    /// A VM to try vmhop on: a guest on a tap and a bridge, a NIC, a wire and a peer, made from nothing
    #[command(subcommand)]
    Lab(LabCommand),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Lab(command) => lab::run(command, &mut io::stdout()),
    }
}
