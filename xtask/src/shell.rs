//! Running commands: with their noise in a log, or in the open; and the workspace they run in.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// How much of a failed command's noise is shown.
const LAST_LINES: usize = 20;

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The folder of vmhop's downloads; `vmhop lab` knows it by the same rule.
pub fn cache() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(cache.or(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("vmhop"))
}

/// Prints a line to standard output.
pub fn say(line: &str) {
    // A closed standard output is no reason to stop half-way.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line to standard error, where standard output is somebody else's.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The time in seconds, as it is shown everywhere.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A command from words.
pub fn command<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Command {
    let mut words = words.iter();
    let mut command =
        Command::new(words.next().map_or_else(Default::default, |word| word.as_ref().to_owned()));
    command.args(words);
    command
}

/// The command line, for messages and for the user to repeat.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command in the open; it failing is an error.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("failed to run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// What a command prints; none when it fails or does not exist.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A file that takes the noise of the commands.
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// Starts an empty log in the build folder.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        let folder = target().join("xtask");
        fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        let path = folder.join(name);
        File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command with its noise in the log; when it fails, the error shows the end of it.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let shown = shown(command);
        let file = OpenOptions::new().append(true).open(&self.path);
        let mut file = file.with_context(|| format!("failed to open {}", self.path.display()))?;
        writeln!(file, "$ {shown}")?;
        let start = file.metadata()?.len();
        command.stdout(file.try_clone()?).stderr(file);
        let status = command.status().with_context(|| format!("failed to run `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` failed ({status}); {} ends with:{}", self.path.display(), self.tail(start));
        }
        Ok(())
    }

    /// The last lines after `start`, indented.
    fn tail(&self, start: u64) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        let noise = bytes.get(usize::try_from(start).unwrap_or(0)..).unwrap_or_default();
        let noise = String::from_utf8_lossy(noise);
        let lines: Vec<&str> = noise.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        last.iter().map(|line| format!("\n  | {line}")).collect()
    }
}
