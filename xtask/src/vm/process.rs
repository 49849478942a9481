//! QEMU as a process that cannot outlive this one, and the pipes that it writes to.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Child, Stdio},
};

use anyhow::Context as _;
use nix::{fcntl::OFlag, unistd::pipe2};

use super::qemu::Machine;

/// A running VM; dropping it ends it.
pub struct Vm {
    child: Child,
    /// Where standard output, standard error and status of the command come out.
    pub pipes: [OwnedFd; 3],
}

impl Vm {
    /// Starts QEMU with its own messages in a file.
    pub fn start(machine: &Machine, log: &Path) -> anyhow::Result<Self> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).context("failed to make a pipe");
        let [out, errors, status] = [pipe()?, pipe()?, pipe()?];
        let (pipes, ends) = ([out.0, errors.0, status.0], [out.1, errors.1, status.1]);
        let file = File::create(log).with_context(|| format!("failed to make {}", log.display()))?;
        let mut command = machine.emulator.command();
        command.args(machine.words(ends.each_ref().map(|end| end.as_raw_fd())));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let numbers = ends.each_ref().map(|end| end.as_raw_fd());
        let parent = std::process::id();
        // SAFETY: between fork and exec it makes only system calls that are safe there.
        unsafe { command.pre_exec(move || tie(parent, &numbers)) };
        let child = command.spawn().context("failed to start QEMU")?;
        Ok(Self { child, pipes })
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the new process: it dies with the thread that started it, however that dies, and is out of reach of the
/// terminal's Ctrl-C, so that the end of a run has one cause; and it keeps the descriptors.
fn tie(parent: u32, keep: &[i32]) -> io::Result<()> {
    // SAFETY: system calls with plain numbers.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 || libc::setpgid(0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::getppid().cast_unsigned() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for &descriptor in keep {
            if libc::fcntl(descriptor, libc::F_SETFD, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The last lines of a file, indented; those from the first sign of trouble on when there is one.
pub fn tail(path: &Path) -> String {
    const LINES: usize = 40;
    const TROUBLE: [&str; 5] = ["Kernel panic", "BUG: ", "Oops: ", "general protection fault", "vmhop: "];
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // That the cables between the NICs lead nowhere else is what they are for.
    let is_news = |line: &&str| !line.is_empty() && !line.ends_with("is not connected to host network");
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(is_news).collect();
    let trouble = lines.iter().position(|line| TROUBLE.iter().any(|sign| line.contains(sign)));
    let start = trouble.unwrap_or_else(|| lines.len().saturating_sub(LINES));
    lines[start..].iter().take(LINES).map(|line| format!("\n  | {line}")).collect()
}
