//! The binary `vmhop`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use tracer::lab::{self, LabCommand};

/// Says where a VM's frames spend their time
#[derive(Parser)]
enum Command {
    /// A VM to try vmhop on: a guest on a tap and a bridge, a NIC, a wire and a peer, made from nothing
    #[command(subcommand)]
    Lab(LabCommand),
}

fn main() -> ExitCode {
    let Command::Lab(command) = Command::parse();
    lab::run(command, &mut io::stdout()).unwrap_or_else(|error| {
        // A closed standard error leaves nobody to tell.
        let _ = writeln!(io::stderr(), "vmhop: {error:#}");
        ExitCode::FAILURE
    })
}
