//! `vmhop experiment …`: each from its options to its output and exit code.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{
    ExperimentCommand, builtin,
    cli::{ExperimentFormat, ReportArgs, RunArgs},
    progress::{Step, Summary},
    runner::Runner,
    schedule,
    spec::Spec,
    store::{Begun, Store},
    tables,
};
use crate::{export, failure::Failure, preflight};

/// Does what `command` says; results go to `out`, progress to `tell`.
///
/// # Errors
/// It could not start, or something went wrong on the way; what was measured is kept.
pub fn run(
    command: &ExperimentCommand,
    tell: &mut dyn FnMut(&Step<'_>),
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    match command {
        ExperimentCommand::Run(args) => run_all(args, tell, out),
        ExperimentCommand::Report(args) => report(args, out),
        ExperimentCommand::List => {
            for builtin in builtin::ALL {
                let spec = Spec::parse(builtin.text, builtin.name).map_err(Failure::Run)?;
                writeln!(out, "{:<10}  {}", spec.name, spec.description)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ExperimentCommand::Show { name } => {
            let known = || builtin::ALL.map(|builtin| builtin.name).join(", ");
            let found = builtin::find(name).ok_or_else(|| {
                Failure::Usage(anyhow!("no experiment is called `{name}`: they are {}", known()))
            })?;
            write!(out, "{}", found.text)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_all(
    args: &RunArgs,
    tell: &mut dyn FnMut(&Step<'_>),
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let store = store(args).map_err(Failure::Usage)?;
    let summary = Runner::new(&store, tell).map_err(Failure::Usage)?.go().map_err(Failure::Run)?;
    write(&store.folder, args.format, out)?;
    match verdict(&store.folder, summary) {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => Err(Failure::Run(anyhow!(why))),
    }
}

/// What the exit code must tell.
fn verdict(folder: &Path, summary: Summary) -> Option<String> {
    let Summary { done, failed, left, interrupted } = summary;
    let go_on = format!("go on with `vmhop experiment run --resume {}`", folder.display());
    if interrupted {
        return Some(format!("interrupted: {done} runs are done and kept, {left} are left; {go_on}"));
    }
    let logs = folder.join("runs");
    (failed > 0).then(|| format!("{failed} runs failed: see their logs in {}; {go_on}", logs.display()))
}

/// The folder of a new experiment, or of one that goes on.
fn store(args: &RunArgs) -> Result<Store> {
    if let Some(folder) = &args.resume {
        preflight::require(false)?;
        return Store::resume(folder);
    }
    let (text, shown) = text(args.spec.as_deref().unwrap_or_default())?;
    let mut spec = Spec::parse(&text, &shown)?;
    ensure!(
        spec.lab.is_none() || args.lab.is_some(),
        "the stations of {shown} are in a lab: add --lab, or name your own in a copy of it, see `vmhop experiment show`"
    );
    ensure!(
        spec.lab.is_some() || args.lab.is_none(),
        "{shown} has no table [lab]: leave --lab out, or add the table"
    );
    preflight::require(false)?;
    let text = match args.repetitions {
        Some(repetitions) => {
            spec.repetitions = repetitions;
            with_repetitions(&text, repetitions)
        }
        None => text,
    };
    let seed = args.seed.or(spec.seed).unwrap_or_else(|| fastrand::u64(..1 << 32));
    let folder = args.output.clone().unwrap_or_else(|| default_folder(&spec.name, SystemTime::now()));
    let lab = args.lab.clone().unwrap_or_default();
    let blocks = schedule::of(&spec, seed);
    ensure!(
        blocks.iter().any(|block| !block.runs.is_empty()),
        "{shown}: no workload takes any path: give paths that [[path]] has, or none for all"
    );
    Store::create(&folder, spec, &text, Begun::now(seed, &lab, args.capture, blocks))
}

/// The text of an experiment, and what errors call it.
fn text(name: &str) -> Result<(String, String)> {
    if let Some(found) = builtin::find(name) {
        return Ok((found.text.to_owned(), found.name.to_owned()));
    }
    let known = builtin::ALL.map(|builtin| builtin.name).join(", ");
    let text = fs::read_to_string(name)
        .with_context(|| format!("failed to read experiment {name}: name a TOML file, or one of {known}"))?;
    Ok((text, name.to_owned()))
}

/// The text with another number of repetitions, so that the folder says what was done.
fn with_repetitions(text: &str, repetitions: u32) -> String {
    let is_key = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == "repetitions");
    let line =
        |line: &str| if is_key(line) { format!("repetitions = {repetitions}") } else { line.to_owned() };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn default_folder(name: &str, now: SystemTime) -> PathBuf {
    let stamp = humantime::format_rfc3339_seconds(now).to_string();
    let digits: String = stamp.chars().filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at(8);
    PathBuf::from(format!("experiment-{name}-{date}-{time}"))
}

fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(path) = &args.output else {
        write(&args.folder, args.format, out)?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut text = Vec::new();
    write(&args.folder, args.format, &mut text)?;
    fs::write(path, text)
        .with_context(|| format!("failed to write {}", path.display()))
        .map_err(Failure::Run)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the tables and writes them.
fn write(folder: &Path, format: ExperimentFormat, out: &mut dyn Write) -> Result<(), Failure> {
    let store = Store::open(folder).map_err(Failure::Usage)?;
    let report = tables::of(&store).map_err(Failure::Run)?;
    match format {
        ExperimentFormat::Text => export::text::experiment::write(&report, out)?,
        ExperimentFormat::Json => export::write_json(&report, out)?,
        ExperimentFormat::Html => export::html::experiment::write(&report, out)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_folder_says_how_often_it_was_done() {
        let text = with_repetitions(builtin::find("smoke").unwrap().text, 7);
        assert_eq!(Spec::parse(&text, "x").unwrap().repetitions, 7);
    }

    #[test]
    fn a_folder_is_named_by_the_experiment_and_the_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_553_445);
        assert_eq!(default_folder("smoke", now), PathBuf::from("experiment-smoke-20300102-030405"));
    }

    #[test]
    fn what_is_not_done_decides_the_exit_code() {
        let folder = Path::new("d");
        let done = Summary { done: 3, ..Summary::default() };
        assert_eq!(verdict(folder, done), None);
        let failed = verdict(folder, Summary { failed: 1, ..done }).unwrap();
        assert!(failed.starts_with("1 runs failed") && failed.contains("--resume d"), "{failed}");
        assert!(
            verdict(folder, Summary { interrupted: true, left: 2, ..done }).unwrap().contains("2 are left")
        );
    }
}
