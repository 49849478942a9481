//! `vmhop diff`.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::keep;
use crate::{
    cli::DiffArgs,
    compare::{
        Limit, Options, Run,
        cells::{CellComparison, ExperimentComparison},
        compare,
    },
    config,
    correlate::Limits,
    experiment::{self, CellRuns, is_experiment},
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
    if is_experiment(&args.base) && is_experiment(&args.other) {
        return experiments(args, &options, &bounds, limits, out);
    }
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
    write_to(args, out, |target| export::diff::write(&comparison, args.format, target))?;
    Ok(if comparison.exceeds() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Two experiments, cell by cell.
fn experiments(
    args: &DiffArgs,
    options: &Options,
    bounds: &[Limit],
    limits: Limits,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let [base, other] =
        [&args.base, &args.other].map(|folder| experiment::cells(folder).map_err(Failure::Usage));
    let (base, other) = (base?, other?);
    let mut compared = Vec::new();
    for cell in &base {
        let Some(same) = other.iter().find(|it| it.key == cell.key) else { continue };
        let mut comparison = compare(&read(&cell.files, limits)?, &read(&same.files, limits)?, options);
        let is_own = |kind: &str, initiator: &str| {
            initiator == cell.initiator && cell.kind.is_none_or(|own| own == kind)
        };
        comparison.groups.retain(|group| is_own(&group.kind, &group.initiator));
        comparison.one_sided.retain(|group| is_own(&group.kind, &group.initiator));
        compared.push(CellComparison { key: cell.key.clone(), comparison });
    }
    for bound in bounds {
        hold(bound, &mut compared)?;
    }
    let alone = |side: &str, cells: &[CellRuns], others: &[CellRuns]| -> Vec<String> {
        let only = cells.iter().filter(|cell| others.iter().all(|other| other.key != cell.key));
        only.map(|cell| format!("{} ({side})", cell.key.title())).collect()
    };
    let one_sided = [alone("BASE", &base, &other), alone("OTHER", &other, &base)].concat();
    if compared.is_empty() {
        return Err(Failure::Usage(anyhow!(
            "the two experiments have no cell in common: {}",
            one_sided.join("; ")
        )));
    }
    let report = ExperimentComparison::new(compared, one_sided);
    write_to(args, out, |target| export::diff::write_experiments(&report, args.format, target))?;
    Ok(if report.exceeds() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Holds every cell that has what a bound names against it; one must have it.
fn hold(bound: &Limit, cells: &mut [CellComparison]) -> Result<(), Failure> {
    let mut missing = None;
    let mut held = false;
    for cell in cells {
        match bound.check_exists(&cell.comparison) {
            Ok(()) => {
                let rows = bound.hold(&cell.comparison);
                cell.comparison.limits.extend(rows);
                held = true;
            }
            Err(error) => missing = Some(error),
        }
    }
    match missing.filter(|_| !held) {
        Some(error) => Err(Failure::Usage(error)),
        None => Ok(()),
    }
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

/// Writes to the file that was named, else to standard output.
fn write_to(
    args: &DiffArgs,
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let Some(path) = &args.output else { return Ok(write(out)?) };
    let shown = path.display();
    let mut target =
        File::create(path).with_context(|| format!("failed to create {shown}")).map_err(Failure::Usage)?;
    write(&mut target).with_context(|| format!("failed to write {shown}")).map_err(Failure::Run)
}
