//! What the agent in the VM is to do, as it is handed over to it.

use std::{env, ffi::OsString};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Where the folder for results is in the VM.
pub const OUT: &str = "/out";

/// The variables of the caller that a command in the VM sees too: what it is to find, how it is to speak, how
/// cargo and vmhop are to work. The rest may be secret, or wrong in there.
const PASSED: [&str; 26] = [
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_NET_OFFLINE",
    "CARGO_TARGET_DIR",
    "CARGO_TERM_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "HOME",
    "INSTA_UPDATE",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "PROPTEST_CASES",
    "RUSTFLAGS",
    "RUSTUP_AUTO_INSTALL",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TERM",
    "USER",
    "XDG_CACHE_HOME",
];

/// One command for the VM.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The VM's name for itself.
    pub hostname: String,
    /// The folder that the command starts in.
    pub folder: String,
    /// The command's variables.
    pub variables: Vec<(String, String)>,
    /// The command.
    pub words: Vec<String>,
}

impl Job {
    /// The command as it would run here: same folder, same variables as far as they make sense in there.
    pub fn new(kernel: &str, words: &[OsString]) -> anyhow::Result<Self> {
        let text = |word: OsString| {
            word.into_string().map_err(|word| anyhow::anyhow!("{} is not UTF-8", word.display()))
        };
        let folder = env::current_dir().context("the current folder is gone")?;
        let passed = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let passed = passed.filter(|(name, _)| PASSED.contains(&name.as_str()) || name.starts_with("VMHOP_"));
        let mut variables = Vec::new();
        for (name, value) in passed {
            let sbin = if name == "PATH" { ":/usr/sbin:/sbin" } else { "" };
            variables.push((name, text(value)? + sbin));
        }
        variables.push(("VMHOP_VM".to_owned(), kernel.to_owned()));
        variables.push(("VMHOP_VM_OUT".to_owned(), OUT.to_owned()));
        Ok(Self {
            hostname: format!("vmhop-{kernel}"),
            folder: text(folder.into_os_string())?,
            variables,
            words: words.iter().cloned().map(text).collect::<anyhow::Result<_>>()?,
        })
    }
}
