//! `cargo xtask vm`: commands of this machine, run under other kernels.
//!
//! A VM boots one of Debian's kernels on this machine's own root file system, so that a command finds there what
//! it finds here, in the same places. See docs/vm.md.

mod agent;
mod apt;
mod attempt;
mod cache;
mod emulator;
mod fetch;
mod files;
mod image;
mod initramfs;
mod job;
mod kernels;
mod modules;
mod nics;
mod ports;
mod process;
mod qemu;
mod run;

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

use crate::{
    interrupt,
    shell::{note, say, seconds},
};

pub use self::{
    apt::{Apt, Archive, Suite},
    attempt::Ended,
    cache::place,
    fetch::ensure as fetch_kernel,
    kernels::{KERNELS, Kernel},
    nics::Nic,
    qemu::Hardware,
    run::Run,
};
use self::{cache::Cached, emulator::Emulator};

/// Exit code of a run that took longer than it may, as that of `timeout`
const TIMED_OUT: u8 = 124;
/// Exit code of a run whose VM failed: no kernel, no boot, a panic
const FAILED: u8 = 125;
/// Exit code when nobody reads the output any more, as shells give it for SIGPIPE
const BROKEN_PIPE: u8 = 128 + 13;

/// What to do with VMs
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Run a command in a VM; its output and exit code are the command's
    ///
    /// The command runs as root in the current folder. All of this machine's files are there; what it writes is
    /// lost with the VM, but for what it writes below /out (VMHOP_VM_OUT). Exit code 124 says that it took too
    /// long, 125 that the VM failed.
    Run(Options),
    /// Say which kernels there are, and which of them are in the cache
    List,
    /// Bring kernels into the cache
    Fetch {
        /// Series of the kernels, or `all`
        #[arg(required = true, value_name = "KERNEL")]
        kernels: Vec<String>,
    },
    /// The other end of a run, inside the VM
    #[command(hide = true)]
    Agent {
        /// What to do
        job: PathBuf,
    },
}

/// A run as typed
#[derive(Debug, Args)]
pub struct Options {
    /// Series of the kernel, of those that `cargo xtask vm list` shows
    #[arg(long, value_name = "KERNEL", value_parser = Kernel::named)]
    kernel: &'static Kernel,
    #[command(flatten)]
    hardware: Hardware,
    /// The VM is ended after this time
    #[arg(long, default_value = "30m", value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Folder for what the command writes below /out [default: one of its own below target/xtask/vm-out]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Does the job.
pub fn run(job: Job) -> anyhow::Result<ExitCode> {
    match job {
        Job::Run(options) => Ok(ExitCode::from(run_and_tell(options))),
        Job::List => list(),
        Job::Fetch { kernels } => fetch(&kernels),
        Job::Agent { job } => agent::run(&job).map(|()| ExitCode::SUCCESS),
    }
}

/// Runs the command with its output in our own; what goes wrong with the VM is told at the end of it.
fn run_and_tell(options: Options) -> u8 {
    let Options { kernel, hardware, timeout, out, command } = options;
    // A command may say nothing until its end.
    let run = Run { kernel, hardware, timeout, silence: Duration::MAX, out, command };
    // Ctrl-C ends what is fetched at once; from then on it ends the VM.
    let ended = Emulator::ensure().and_then(|_| fetch_kernel(kernel)).and_then(|_| {
        interrupt::catch();
        run.perform(&mut io::stdout().lock(), &mut io::stderr().lock())
    });
    match ended {
        Ok(Ended::Command(code)) => code,
        Ok(Ended::Interrupted(signal)) => u8::try_from(128 + signal).unwrap_or(FAILED),
        Ok(Ended::TimedOut(place) | Ended::Silent(place, _)) => {
            note(&format!(
                "xtask: the VM was ended {place}, after the {} that --timeout gives it",
                humantime::format_duration(timeout)
            ));
            TIMED_OUT
        }
        Err(error) if is_broken_pipe(&error) => BROKEN_PIPE,
        Err(error) => {
            note(&format!("xtask: {error:#}"));
            FAILED
        }
    }
}

/// Whether nobody reads our output any more.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn list() -> anyhow::Result<ExitCode> {
    for kernel in &KERNELS {
        let state = match Cached::find(kernel)? {
            Some(cached) => format!("{:<22} {}", cached.release, cached.packages),
            None => format!("not in the cache; Debian's {}", kernel.suite.name),
        };
        say(&format!("{:<5} {state}", kernel.name));
    }
    say(&format!("{:<5} {}", "QEMU", Emulator::ensure()?.describe()));
    Ok(ExitCode::SUCCESS)
}

fn fetch(names: &[String]) -> anyhow::Result<ExitCode> {
    let all = names.iter().any(|name| name == "all");
    let named = names.iter().filter(|name| *name != "all").map(|name| Kernel::named(name));
    let named = named.collect::<anyhow::Result<Vec<_>>>()?;
    let kernels: Vec<&Kernel> = if all { KERNELS.iter().collect() } else { named };
    Emulator::ensure()?;
    for kernel in kernels {
        let started = Instant::now();
        let cached = fetch_kernel(kernel)?;
        say(&format!("vm: {} is in the cache ({})", cached.release, seconds(started.elapsed())));
    }
    Ok(ExitCode::SUCCESS)
}
