//! The commands, each from its options to its output and exit code.

use std::{fs::File, io::Write, path::Path, process::ExitCode};

use anyhow::{Context as _, anyhow};

use crate::{
    analysis::analyse,
    cli::{DoctorArgs, Format, RecordArgs, ReportArgs, TopologyArgs},
    config::RecordConfig,
    doctor, export,
    failure::Failure,
    record::RecordReader,
    report::Report,
    session,
    topology::Topology,
};

/// `vmhop doctor`. Exit code 2 where this host cannot record.
///
/// # Errors
/// The output cannot be written.
pub fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let diagnosis = doctor::diagnose();
    if args.json {
        export::write_json(&diagnosis, out)?;
    } else {
        export::doctor::write_diagnosis(&diagnosis, out)?;
    }
    Ok(if diagnosis.can_record { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// `vmhop topology`.
///
/// # Errors
/// VMs cannot be looked for, or the output cannot be written.
pub fn topology(args: &TopologyArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let topology = Topology::discover().map_err(Failure::Usage)?;
    if args.json {
        export::write_json(&topology, out)?;
    } else {
        export::topology::write_tree(&topology, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `vmhop record`: records, then reports from the recording.
///
/// # Errors
/// It could not start; it was ended by a failure, or nothing passed (the report is written all the same).
pub fn record(args: &RecordArgs, verbose: u8, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let config = RecordConfig::from_args(args, verbose).map_err(Failure::Usage)?;
    let mut live = export::live::LiveLine::new();
    let outcome = session::record(&config, &mut |progress| live.show(&progress)).map_err(Failure::Usage)?;
    live.end(&outcome);
    let report = read(&config.output)?;
    export::write_report(&report, if config.json { Format::Json } else { Format::Text }, out)?;
    match outcome.verdict(&report) {
        Some(failure) => Err(Failure::Run(anyhow!(failure))),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// `vmhop report`.
///
/// # Errors
/// The recording cannot be read, or the output cannot be written.
pub fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let report = read(&args.file)?;
    match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("failed to create {}", path.display()));
            export::write_report(&report, args.format, &mut file.map_err(Failure::Usage)?)?;
        }
        None => export::write_report(&report, args.format, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Report, Failure> {
    let mut reader = RecordReader::open(path).map_err(|error| Failure::Usage(error.into()))?;
    analyse(&mut reader).map_err(|error| Failure::Run(error.into()))
}
