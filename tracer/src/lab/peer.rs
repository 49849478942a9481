//! The peer: a second machine at the other end of the wire, as far as the network can tell. It is a network
//! namespace with an HTTP server in it; its ping is answered by the kernel.

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

/// Starts the peer's HTTP server, on IPv4 and IPv6.
pub(crate) fn start(lab: &Lab, busybox: &Path) -> anyhow::Result<Helper> {
    write_files(&lab.www()).context("failed to make the files that the peer serves")?;
    let mut command = Command::new(busybox);
    command.args(["httpd", "-f", "-p", "80", "-h"]).arg(lab.www());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    qemu::own_session(&mut command);
    netns::enter_on_exec(&mut command, &lab.peer_ns())?;
    let child = command.spawn().context("failed to start the peer's HTTP server")?;
    let process = Process::find(child.id() as i32).context("the peer's HTTP server ended at once")?;
    Ok(Helper { name: "the peer's HTTP server".to_owned(), process })
}

/// The large file is sparse: it has its size at once and takes no room.
fn write_files(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(SMALL_FILE.0), SMALL_FILE.1)?;
    File::create(folder.join(LARGE_FILE.0))?.set_len(LARGE_FILE.1)
}
