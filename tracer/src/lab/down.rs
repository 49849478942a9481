//! `lab down`: removes a lab, whole or not, by what its name says must be there, so that it works after any
//! crash. It ends no process but those that live in the lab's own namespaces and those that the lab's state
//! has recorded.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Write},
    process::{Command, ExitCode},
};

use anyhow::Context as _;

use super::{layout::Lab, lock, netns, state::State, status, tools};

/// Which lab to remove.
#[derive(Debug, Clone, clap::Args)]
pub struct DownArgs {
    /// Name of the lab
    #[arg(long, default_value = super::DEFAULT_NAME)]
    name: String,
    /// Remove every lab on this machine
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

pub(crate) fn run(args: &DownArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let labs = if args.all { status::all()? } else { vec![Lab::new(&args.name)?] };
    if labs.is_empty() {
        writeln!(out, "there is no lab")?;
    }
    for lab in labs {
        let known = !status::inspect(&lab)?.is_down() || lab.dir().exists();
        let _lock = lock::take(&lab)?;
        let removed = remove(&lab)?;
        if known && !removed.is_empty() {
            writeln!(out, "lab {} is down, removed: {}", lab.name(), removed.join(", "))?;
        } else {
            writeln!(out, "lab {} is not there, nothing to remove", lab.name())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes all there is of `lab` and lists it.
pub(crate) fn remove(lab: &Lab) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    end_processes(lab, &mut removed)?;
    for namespace in lab.namespaces() {
        if netns::exists(&namespace) {
            // Deletes as well what a crash left of one: a name without a namespace.
            tools::run(Command::new(tools::need("ip", "iproute2")?).args(["netns", "del", &namespace]))?;
            removed.push(format!("network namespace {namespace}"));
        }
    }
    let dir = lab.dir();
    match fs::remove_dir_all(&dir) {
        Ok(()) => removed.push(dir.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("failed to remove {}", dir.display())),
    }
    Ok(removed)
}

fn end_processes(lab: &Lab, removed: &mut Vec<String>) -> anyhow::Result<()> {
    let state = State::load(lab)?;
    let (qemu, httpd) = state.map_or((None, None), |state| (state.qemu, state.peer_httpd));
    for (what, process) in [("QEMU", qemu), ("the peer's HTTP server", httpd)] {
        if let Some(process) = process.filter(|process| process.end()) {
            removed.push(format!("{what} (pid {})", process.pid));
        }
    }
    // Those that `lab exec` or the user started there, and a QEMU that was never recorded. Ending one may
    // start another, as an HTTP server does for each request, so this looks again until there is none.
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let mut inside = Vec::new();
        for namespace in lab.namespaces() {
            inside.extend(netns::processes(&namespace)?);
        }
        if inside.is_empty() {
            break;
        }
        for process in inside {
            process.end();
            seen.insert(process.pid);
        }
    }
    removed.extend(seen.into_iter().map(|pid| format!("process {pid}")));
    Ok(())
}
