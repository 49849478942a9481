//! Python with packages that read files by other code than vmhop's: installed by `cargo xtask setup` into the cache.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::host::skip;

/// The folder that setup fills, by the same rule.
fn folder() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(cache.or(home)?.join("vmhop/python"))
}

/// Whether the packages are there; prints that they are not.
pub fn python_or_skip() -> bool {
    let found = folder().is_some_and(|folder| folder.join("interpreter").is_file());
    if !found {
        skip("needs Python packages: cargo xtask setup");
    }
    found
}

/// What a script of `tests/python` says of a file, as JSON.
pub fn read(script: &str, file: &Path) -> Value {
    let folder = folder().unwrap();
    let python = fs::read_to_string(folder.join("interpreter")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut command = Command::new(python.trim());
    command.arg(script).arg(file).env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
