//! The binary `vmhop`: from the command line to a command and its exit code.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use log::LevelFilter;
use tracer::{
    analysis::analyse,
    cli::{Cli, Command, Format, RecordArgs, ReportArgs},
    config::RecordConfig,
    doctor, export,
    failure::Failure,
    lab,
    record::RecordReader,
    report::Report,
    session,
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
        Command::Record(args) => record(&args, cli.verbose, out)?,
        Command::Report(args) => report(&args, out)?,
        Command::Lab(command) => return lab::run(command, out).map_err(Failure::Run),
    }
    Ok(ExitCode::SUCCESS)
}

fn record(args: &RecordArgs, verbose: u8, out: &mut dyn Write) -> Result<(), Failure> {
    let config = RecordConfig::from_args(args, verbose).map_err(Failure::Usage)?;
    let mut live = export::live::LiveLine::new();
    let outcome = session::record(&config, &mut |progress| live.show(&progress)).map_err(Failure::Usage)?;
    live.end(&outcome);
    let report = read(&config.output)?;
    let format = if config.json { Format::Json } else { Format::Text };
    export::write_report(&report, format, out)?;
    match outcome.verdict(&report) {
        Some(failure) => Err(Failure::Run(anyhow!(failure))),
        None => Ok(()),
    }
}

fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let report = read(&args.file)?;
    match &args.output {
        Some(path) => {
            let create = File::create(path).with_context(|| format!("failed to create {}", path.display()));
            Ok(export::write_report(&report, args.format, &mut create.map_err(Failure::Usage)?)?)
        }
        None => Ok(export::write_report(&report, args.format, out)?),
    }
}

fn read(path: &Path) -> Result<Report, Failure> {
    let mut reader = RecordReader::open(path).map_err(|error| Failure::Usage(error.into()))?;
    analyse(&mut reader).map_err(|error| Failure::Run(error.into()))
}
