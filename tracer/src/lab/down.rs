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

use super::{
    layout::Lab,
    lock, netns,
    network::cable,
    state::State,
    status,
    tools::{self, progress},
};

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
    let state = State::load(lab)?;
    end_processes(lab, state.as_ref(), &mut removed)?;
    if let Some(wire) = state.and_then(|state| state.spec.wire) {
        match cable::take_back(lab, &wire) {
            Ok(back) => {
                removed.extend(back.into_iter().map(|device| format!("device {device} (given back)")))
            }
            // The namespace goes all the same, and hardware finds its way back by itself.
            Err(error) => progress(&format!("{error:#}")),
        }
    }
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

fn end_processes(lab: &Lab, state: Option<&State>, removed: &mut Vec<String>) -> anyhow::Result<()> {
    let qemus = state.iter().flat_map(|state| &state.qemus).map(|process| ("QEMU", *process));
    let helpers = state.iter().flat_map(|state| &state.helpers);
    let known = qemus.chain(helpers.map(|helper| (helper.name.as_str(), helper.process)));
    for (what, process) in known.filter(|(_, process)| process.alive()) {
        process.end();
        removed.push(format!("{what} (pid {})", process.pid));
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
