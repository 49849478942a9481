//! The commands: each from its options to its output and exit code.

mod diff;
mod output;
mod watch;

use std::{
    fs,
    io::{self, IsTerminal as _, Write},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::ExitCode,
};

use anyhow::{anyhow, bail};
use clap::ValueEnum as _;

pub use self::{diff::diff, watch::watch};
use crate::{
    cli::{DoctorArgs, Format, LiveArgs, ProfilesArgs, RecordArgs, ReportArgs, TopologyArgs},
    config::{self, LiveConfig, RecordConfig},
    correlate::Limits,
    doctor,
    export::{self, ExportError},
    failure::Failure,
    live::{Live, terminal},
    profile::{self, SHIPPED},
    record::RecordReader,
    report::Report,
    session,
    topology::Topology,
};

/// `vmhop doctor`. Exit code 2 where this host cannot record, 1 where the self-test has found something.
///
/// # Errors
/// The output cannot be written.
pub fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let own = profile::gather(&args.own.hops, &args.own.profiles).map_err(Failure::Usage)?;
    let diagnosis = doctor::diagnose(args.btf.as_deref(), &own, args.self_test);
    if args.json {
        export::write_json(&diagnosis, out)?;
    } else {
        export::doctor::write_diagnosis(&diagnosis, out)?;
    }
    Ok(match (diagnosis.can_record, diagnosis.is_doubtful()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    })
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
    // It was recorded a moment ago: what is wrong with it now went wrong on the way.
    let mut reader = open(&config.output).map_err(|failure| Failure::Run(failure.into_error()))?;
    let format = if config.json { Format::Json } else { Format::Text };
    let report = write(&mut reader, Limits::default(), format, out)?;
    match outcome.verdict(&report) {
        Some(failure) => Err(Failure::Run(anyhow!(failure))),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// `vmhop live`.
///
/// # Errors
/// It could not start, or was ended by a failure.
pub fn live(args: &LiveArgs, verbose: u8) -> Result<ExitCode, Failure> {
    terminal::require().map_err(Failure::Usage)?;
    let config = LiveConfig::from_args(args, verbose).map_err(Failure::Usage)?;
    let begin = |header: &_| Live::begin(&config, header);
    let ended = session::follow(&config.trace, begin).map_err(Failure::Usage)?;
    if ended.failed {
        return Err(Failure::Run(anyhow!(ended.reason)));
    }
    Ok(ExitCode::SUCCESS)
}

/// `vmhop report`.
///
/// # Errors
/// There is no such recording, or the report cannot be written.
pub fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let ReportArgs { file, format, output, limit_frames } = args;
    let limits = config::limits(limit_frames).map_err(Failure::Usage)?;
    let Some(path) = output else {
        spare_terminal(*format).map_err(Failure::Usage)?;
        write(&mut open(file)?, limits, *format, out)?;
        return Ok(ExitCode::SUCCESS);
    };
    keep(file, path).map_err(Failure::Usage)?;
    let mut reader = open(file)?;
    output::to_file(path, |target| write(&mut reader, limits, *format, target).map(drop))?;
    Ok(ExitCode::SUCCESS)
}

/// `vmhop profiles`.
///
/// # Errors
/// There is no such profile, or the output cannot be written.
pub fn profiles(args: &ProfilesArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(name) = &args.name else {
        for shipped in SHIPPED {
            let profile = profile::load(shipped.name).map_err(Failure::Run)?;
            let hops: Vec<_> = profile.hops.iter().map(|hop| hop.name.as_str()).collect();
            writeln!(out, "{:<8}  {}: {}", shipped.name, profile.description, hops.join(", "))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == name) else {
        let known: Vec<_> = SHIPPED.iter().map(|shipped| shipped.name).collect();
        return Err(Failure::Usage(anyhow!("no profile is called `{name}`: they are {}", known.join(", "))));
    };
    write!(out, "{}", shipped.text)?;
    Ok(ExitCode::SUCCESS)
}

/// A recording to make a report from.
fn open(path: &Path) -> Result<RecordReader, Failure> {
    RecordReader::open(path).map_err(|error| Failure::Usage(error.into()))
}

/// Writes a recording in a format to standard output, or what stands for it.
fn write(
    reader: &mut RecordReader,
    limits: Limits,
    format: Format,
    out: &mut dyn Write,
) -> Result<Report, Failure> {
    export::write_recording(reader, limits, format, out).map_err(|error| match error {
        ExportError::Read(error) => Failure::Run(error.into()),
        ExportError::Write(error) => error.into(),
    })
}

/// Makes sure that no bytes go to a terminal that are not for people.
fn spare_terminal(format: Format) -> anyhow::Result<()> {
    if format.is_binary() && io::stdout().is_terminal() {
        let format = format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        bail!("{format} is binary, and standard output is a terminal: name a file with -o");
    }
    Ok(())
}

/// Makes sure that the report does not end up in the recording it is made from.
fn keep(recording: &Path, output: &Path) -> anyhow::Result<()> {
    // What does not exist cannot be the same, and is told of later.
    let (Ok(one), Ok(other)) = (fs::metadata(recording), fs::metadata(output)) else { return Ok(()) };
    if (one.dev(), one.ino()) == (other.dev(), other.ino()) {
        bail!("the report would overwrite its recording {}: name another file with -o", recording.display());
    }
    Ok(())
}
