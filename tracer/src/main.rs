//! The binary `vmhop`: from the command line to a command and its exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::anyhow;
use clap::Parser as _;
use log::LevelFilter;
use tracer::{
    cli::{Cli, Command, RecordArgs, ReportArgs},
    config::RecordConfig,
    doctor, export,
    failure::Failure,
    topology::Topology,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new().filter_level(level).format_timestamp(None).init();
    let done = run(cli, &mut io::stdout().lock());
    done.unwrap_or_else(|failure| {
        if !failure.is_broken_pipe() {
            // Standard error may be closed as well: there is nobody left to tell.
            let _ = writeln!(io::stderr(), "vmhop: {failure}");
        }
        failure.exit_code()
    })
}

fn run(cli: Cli, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Doctor(args) => {
            let diagnosis = doctor::diagnose();
            match args.json {
                true => export::write_json(&diagnosis, out)?,
                false => export::doctor::write_diagnosis(&diagnosis, out)?,
            }
            return Ok(ExitCode::from(if diagnosis.can_record { 0 } else { 2 }));
        }
        Command::Topology(args) => {
            let topology = Topology::discover().map_err(Failure::Usage)?;
            match args.json {
                true => export::write_json(&topology, out)?,
                false => export::topology::write_tree(&topology, out)?,
            }
        }
        Command::Record(args) => record(&args, cli.verbose)?,
        Command::Report(args) => report(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn record(args: &RecordArgs, verbose: u8) -> Result<(), Failure> {
    let _config = RecordConfig::from_args(args, verbose).map_err(Failure::Usage)?;
    Err(Failure::Run(anyhow!("this build does not record")))
}

fn report(_args: &ReportArgs) -> Result<(), Failure> {
    Err(Failure::Run(anyhow!("this build does not report")))
}
