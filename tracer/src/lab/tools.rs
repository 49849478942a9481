//! Running other programs, and saying which one is missing and what brings it.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, bail};

use super::elf;

/// What brings everything the lab needs.
pub(crate) const SETUP: &str = "run `cargo xtask setup`";

/// Says how the work goes, on standard error: standard output is for results.
pub(crate) fn progress(message: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr(), "lab: {message}");
}

/// The path of a program, looked up in PATH and in the sbin folders that an ordinary PATH leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let executable = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path).chain(sbin).map(|dir| dir.join(program)).find(executable)
}

/// The path of a program of the Debian package `package`, or an error that says how to get it.
pub(crate) fn need(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    find(program)
        .with_context(|| format!("{program} is not installed: {SETUP}, or install package {package}"))
}

/// The path of a busybox that needs no libraries, since the guest has none for it.
pub(crate) fn need_busybox() -> anyhow::Result<PathBuf> {
    let path = need("busybox", "busybox-static")?;
    let image = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    if elf::interpreter(&image).is_some() {
        bail!("{} is not statically linked: {SETUP}, or install package busybox-static", path.display());
    }
    Ok(path)
}

/// Runs a command to its end; what it wrote to standard error becomes the error's text.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = output.with_context(|| format!("failed to run `{shown}`"))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!("`{shown}` failed ({status}): {}", stderr.trim());
    }
    Ok(stdout)
}

/// The command line, for messages.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
