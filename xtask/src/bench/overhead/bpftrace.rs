//! A bpftrace whose raw tracepoints work: this machine's, or Debian's newer one in the cache, with libraries of its own.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use super::tools::strings;
use crate::{
    setup,
    shell::{Log, command, note, output},
    vm::{Apt, Archive, Suite, place},
};

/// That of Debian 12, 0.17, knows no raw tracepoints.
const SUITE: Suite = Suite { archive: Archive::Main, name: "trixie" };
const PACKAGE: &str = "bpftrace";
/// Its folder in the cache.
const NAME: &str = "bpftrace";

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The words to start it by.
pub fn ensure() -> anyhow::Result<Vec<String>> {
    if let Some(own) = setup::find(PACKAGE) {
        let own = vec![own.display().to_string()];
        if works(&own) {
            return Ok(own);
        }
        note("bench: this machine's bpftrace knows no raw tracepoints");
    }
    let root = place(NAME)?;
    if !root.is_dir() {
        fetch(&root).with_context(|| {
            format!("failed to fetch bpftrace from {}: apt-get install bpftrace", SUITE.name)
        })?;
    }
    let cached = of(&root);
    if !works(&cached) {
        bail!("the bpftrace in {} does not run here", root.display());
    }
    Ok(cached)
}

/// By its own loader: its C library is newer than this machine's may be.
fn of(root: &Path) -> Vec<String> {
    let path = |below: &str| root.join(below).display().to_string();
    let (loader, libraries) = (path(&format!("{LIBRARIES}/ld-linux-x86-64.so.2")), path(LIBRARIES));
    strings(&[&loader, "--library-path", &libraries, &path("usr/bin/bpftrace")])
}

fn works(words: &[String]) -> bool {
    let script = "rt:net_dev_queue { @ = count(); } interval:ms:1 { exit(); }";
    output(command(words).args(["-e", script])).is_some()
}

/// Unpacks it and what it needs beside its place and moves it there when it is whole.
fn fetch(root: &Path) -> anyhow::Result<()> {
    note(&format!("bench: fetching bpftrace from {}", SUITE.name));
    let work = root.with_file_name(format!("{NAME}.partial"));
    let _ = fs::remove_dir_all(&work);
    let log = Log::create("bench-fetch-bpftrace.log")?;
    let apt = Apt::update(&SUITE, &work.join("apt"), &log)?;
    let packages = apt.closure(PACKAGE);
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let new = work.join("root");
    apt.unpack(&packages, &work.join("packages"), &new)?;
    fs::rename(&new, root).with_context(|| format!("failed to make {}", root.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))
}
