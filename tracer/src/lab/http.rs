//! The HTTP servers of peer and host, which serve the same files; a guest has its own.
//!
//! The peer is a second machine at the other end of the wire, as far as the network can tell: a network namespace with
//! this server in it. Its ping is answered by the kernel, as the host's is.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::{
    layout::{LARGE_FILE, Lab, SMALL_FILE},
    netns, qemu,
    state::{Helper, Process},
};

/// Starts both, on IPv4 and IPv6 and all addresses; each is noted as soon as it runs.
pub(crate) fn start(lab: &Lab, busybox: &Path, started: &mut Vec<Helper>) -> anyhow::Result<()> {
    write_files(&lab.www()).context("failed to make the files that peer and host serve")?;
    for (whose, namespace) in [("peer", lab.peer_ns()), ("host", lab.host_ns())] {
        started.push(start_one(lab, busybox, whose, &namespace)?);
    }
    Ok(())
}

fn start_one(lab: &Lab, busybox: &Path, whose: &str, namespace: &str) -> anyhow::Result<Helper> {
    let mut command = Command::new(busybox);
    command.args(["httpd", "-f", "-p", "80", "-h"]).arg(lab.www());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    qemu::own_session(&mut command);
    netns::enter_on_exec(&mut command, namespace)?;
    let child = command.spawn().with_context(|| format!("failed to start the {whose}'s HTTP server"))?;
    let process = Process::find(child.id() as i32);
    let process = process.with_context(|| format!("the {whose}'s HTTP server ended at once"))?;
    Ok(Helper { name: format!("the {whose}'s HTTP server"), process })
}

/// The large file is sparse: it has its size at once and takes no room.
fn write_files(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(SMALL_FILE.0), SMALL_FILE.1)?;
    File::create(folder.join(LARGE_FILE.0))?.set_len(LARGE_FILE.1)
}
