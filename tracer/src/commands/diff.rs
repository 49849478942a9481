//! `vmhop diff`.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};

use super::keep;
use crate::{
    cli::DiffArgs,
    compare::{Comparison, Limit, Options, Run, compare},
    config,
    correlate::Limits,
    export,
    failure::Failure,
    record::RecordReader,
};

/// What a recording's name ends in.
const EXTENSION: &str = "vmhop";

/// `vmhop diff`. Exit code 1 where a bound is exceeded.
///
/// # Errors
/// There is no such recording, a bound makes no sense, or the comparison cannot be written.
pub fn diff(args: &DiffArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let options = options(args).map_err(Failure::Usage)?;
    let bounds: Vec<Limit> =
        args.fail_above.iter().map(|typed| typed.parse()).collect::<Result<_>>().map_err(Failure::Usage)?;
    let limits = config::limits(&args.limit_frames).map_err(Failure::Usage)?;
    let sides = [recordings(&args.base), recordings(&args.other)];
    let [base, other] = sides.map(|found| found.map_err(Failure::Usage));
    let (base, other) = (base?, other?);
    if let Some(path) = &args.output {
        base.iter().chain(&other).try_for_each(|file| keep(file, path)).map_err(Failure::Usage)?;
    }
    let mut comparison = compare(&read(&base, limits)?, &read(&other, limits)?, &options);
    for bound in &bounds {
        bound.check_exists(&comparison).map_err(Failure::Usage)?;
        let held = bound.hold(&comparison);
        comparison.limits.extend(held);
    }
    write(args, &comparison, out)?;
    Ok(if comparison.exceeds() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn options(args: &DiffArgs) -> Result<Options> {
    let ignore_below = args.ignore_below.as_deref().map(str::parse).transpose();
    Ok(Options { ignore_below: ignore_below.context("--ignore-below")?, ..Options::default() })
}

/// The recordings that a path stands for.
fn recordings(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let shown = path.display();
    let entries = fs::read_dir(path).with_context(|| format!("failed to read the folder {shown}"))?;
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.with_context(|| format!("failed to read the folder {shown}"))?.path();
        if file.extension().is_some_and(|extension| extension == EXTENSION) && file.is_file() {
            found.push(file);
        }
    }
    ensure!(!found.is_empty(), "no recording (*.{EXTENSION}) is in the folder {shown}");
    found.sort();
    Ok(found)
}

fn read(paths: &[PathBuf], limits: Limits) -> Result<Vec<Run>, Failure> {
    let each = |path: &PathBuf| {
        let mut reader = RecordReader::open(path).map_err(|error| Failure::Usage(error.into()))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Run::read(&name, &mut reader, limits).map_err(|error| Failure::Run(error.into()))
    };
    paths.iter().map(each).collect()
}

fn write(args: &DiffArgs, comparison: &Comparison, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(path) = &args.output else {
        return Ok(export::diff::write(comparison, args.format, out)?);
    };
    let shown = path.display();
    let mut target =
        File::create(path).with_context(|| format!("failed to create {shown}")).map_err(Failure::Usage)?;
    let written = export::diff::write(comparison, args.format, &mut target);
    written.with_context(|| format!("failed to write {shown}")).map_err(Failure::Run)
}
