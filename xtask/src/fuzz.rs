//! `cargo xtask fuzz`: the parsers of what others say, under cargo-fuzz. The targets are functions of the crate `tests`,
//! which runs them on a bounded number of inputs as ordinary tests; `fuzz/` wraps each for libFuzzer.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    setup::{self, find},
    shell::{self, Log, cache, command, output, say, seconds, workspace},
};

const CARGO_FUZZ: &str = "0.13.2";
/// libFuzzer needs the compiler's unstable flags.
const TOOLCHAIN: &str = "nightly";

/// An input may take this long, and this much memory.
const SLOWEST: Duration = Duration::from_secs(20);
const LARGEST_MB: u32 = 3000;

/// What to fuzz, and how long
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these targets [default: all of fuzz/fuzz_targets]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long to run each target
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    time: Duration,
}

/// Runs the targets one after another, also after one has failed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let targets = chosen(&args.targets)?;
    if !setup::prepare(false)? {
        return Ok(ExitCode::from(2));
    }
    let fuzzer = Fuzzer { program: cargo_fuzz()?, sanitizer: sanitizer()? };
    write_seeds()?;
    let started = Instant::now();
    say(&format!("fuzz: building, with sanitizer {}", fuzzer.sanitizer));
    Log::create("fuzz-build.log")?.run(&mut fuzzer.command("build", &[]))?;
    say(&format!("fuzz: building took {}", seconds(started.elapsed())));
    let mut passed = true;
    for target in targets {
        passed &= fuzzer.run(&target, args.time)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names of the targets: those asked for, or all.
fn chosen(asked: &[String]) -> anyhow::Result<Vec<String>> {
    let folder = workspace().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let name = |path: PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    let mut known: Vec<String> = files.flatten().filter_map(|file| name(file.path())).collect();
    known.sort();
    if let Some(unknown) = asked.iter().find(|asked| !known.contains(asked)) {
        bail!("there is no fuzz target {unknown}: they are {}", known.join(", "));
    }
    Ok(if asked.is_empty() { known } else { asked.to_vec() })
}

/// cargo-fuzz: in the path, or in the cache, where it is installed if it is in neither.
fn cargo_fuzz() -> anyhow::Result<PathBuf> {
    let root = cache()?.join("tools");
    let cached = root.join("bin/cargo-fuzz");
    if let Some(program) = find("cargo-fuzz").or_else(|| cached.is_file().then(|| cached.clone())) {
        return Ok(program);
    }
    say(&format!("fuzz: installing cargo-fuzz {CARGO_FUZZ} into {}", root.display()));
    let version = format!("--version={CARGO_FUZZ}");
    let mut install = command(&["cargo", "install", "cargo-fuzz", &version, "--locked", "--root"]);
    // Not the workspace's build folder: other builds may hold its lock.
    Log::create("fuzz-install.log")?.run(install.arg(&root).current_dir("/"))?;
    Ok(cached)
}

/// The address sanitizer, where the toolchain has its runtime.
fn sanitizer() -> anyhow::Result<&'static str> {
    let sysroot = |kind: &str| {
        let words = ["rustup", "run", TOOLCHAIN, "rustc", "--print", kind];
        output(command(&words).env("RUSTUP_AUTO_INSTALL", "0"))
    };
    let Some(folder) = sysroot("target-libdir") else {
        bail!("there is no toolchain {TOOLCHAIN}: rustup toolchain install {TOOLCHAIN} --profile minimal");
    };
    let files = fs::read_dir(folder.trim()).into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    Ok(if names.any(|name| name.ends_with("_rt.asan.a")) { "address" } else { "none" })
}

/// What the targets start from.
fn write_seeds() -> anyhow::Result<()> {
    let words = ["cargo", "run", "--quiet", "--package", "tests", "--bin", "fuzz-seeds", "--", "fuzz/corpus"];
    shell::run(command(&words).current_dir(workspace()))
}

struct Fuzzer {
    program: PathBuf,
    sanitizer: &'static str,
}

impl Fuzzer {
    fn command(&self, job: &str, words: &[&str]) -> Command {
        let mut fuzz = command(&["rustup", "run", TOOLCHAIN]);
        fuzz.arg(&self.program).args([job, "--fuzz-dir", "fuzz", "--sanitizer", self.sanitizer]).args(words);
        fuzz.current_dir(workspace());
        fuzz
    }

    /// Runs one target; whether it came to the end of its time.
    fn run(&self, target: &str, time: Duration) -> anyhow::Result<bool> {
        let corpora = ["fuzz/corpus", "fuzz/seeds"].map(|folder| format!("{folder}/{target}"));
        let there = corpora.iter().map(String::as_str).filter(|folder| workspace().join(folder).is_dir());
        let limits = [
            format!("-max_total_time={}", time.as_secs().max(1)),
            format!("-timeout={}", SLOWEST.as_secs()),
            format!("-rss_limit_mb={LARGEST_MB}"),
            "-print_final_stats=1".to_owned(),
        ];
        let words: Vec<&str> = [target]
            .into_iter()
            .chain(there)
            .chain(["--"])
            .chain(limits.iter().map(String::as_str))
            .collect();
        let log = Log::create(&format!("fuzz-{target}.log"))?;
        let started = Instant::now();
        let done = log.run(&mut self.command("run", &words));
        let ran = format!("{}, {} inputs", seconds(started.elapsed()), inputs(log.path()));
        match &done {
            Ok(()) => say(&format!("fuzz: {target}: passed, {ran}")),
            Err(error) => say(&format!(
                "fuzz: {target}: FAILED, {ran}: {error:#}\nfuzz: the input is in fuzz/artifacts/{target}; in \
                 fuzz/seeds/{target} it becomes a test"
            )),
        }
        Ok(done.is_ok())
    }
}

/// How many inputs libFuzzer has run, by its own words.
fn inputs(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let count = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count.map_or_else(|| "an unknown number of".to_owned(), |count| count.trim().to_owned())
}
