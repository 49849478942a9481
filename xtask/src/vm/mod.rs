//! `cargo xtask vm`: commands of this machine, run under other kernels.
//!
//! A VM boots one of Debian's kernels on this machine's own root file system, so that a command finds there what
//! it finds here, in the same places. See docs/vm.md.

mod agent;
mod apt;
mod attempt;
mod cache;
mod fetch;
mod files;
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

use self::{
    cache::Cached,
    kernels::{KERNELS, Kernel},
    nics::Nic,
    qemu::Accel,
    run::{Ended, Run},
};

/// Exit code of a run that took longer than it may, as that of `timeout`
const TIMED_OUT: u8 = 124;
/// Exit code of a run whose VM failed: no kernel, no boot, a panic
const FAILED: u8 = 125;

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
    /// Processors
    #[arg(long, default_value_t = 2, value_name = "N")]
    cpus: u32,
    /// Memory in MiB; the files that the command writes are in it too
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    memory: u32,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// The VM is ended after this time
    #[arg(long, default_value = "30m", value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// What executes the VM's instructions
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    accel: Accel,
    /// Pairs of emulated NICs, each two ends of one cable: e1000e0 and e1000e1, virtio0 and virtio1, igb0 and igb1
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "e1000e,virtio-net",
        value_name = "KINDS"
    )]
    nics: Vec<Nic>,
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
    let timeout = humantime::format_duration(options.timeout);
    let timed_out = format!("xtask: the VM was ended after {timeout}, the time that --timeout gives it");
    let perform = || {
        let run = Run {
            name: options.kernel.name,
            kernel: fetch::ensure(options.kernel)?,
            accel: options.accel,
            cpus: options.cpus,
            memory: options.memory,
            append: options.append,
            nics: options.nics,
            timeout: options.timeout,
            out: options.out,
            command: options.command,
        };
        interrupt::catch();
        run.perform(&mut io::stdout().lock(), &mut io::stderr().lock())
    };
    match perform() {
        Ok(Ended::Command(code)) => code,
        Ok(Ended::Interrupted(signal)) => u8::try_from(128 + signal).unwrap_or(FAILED),
        Ok(Ended::TimedOut) => {
            note(&timed_out);
            TIMED_OUT
        }
        Err(error) => {
            note(&format!("xtask: {error:#}"));
            FAILED
        }
    }
}

fn list() -> anyhow::Result<ExitCode> {
    for kernel in &KERNELS {
        let state = match Cached::find(kernel)? {
            Some(cached) => format!("{:<22} {}", cached.release, cached.packages),
            None => format!("not in the cache; Debian's {}", kernel.suite),
        };
        say(&format!("{:<5} {state}", kernel.name));
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(names: &[String]) -> anyhow::Result<ExitCode> {
    let all = names.iter().any(|name| name == "all");
    let named = names.iter().filter(|name| *name != "all").map(|name| Kernel::named(name));
    let named = named.collect::<anyhow::Result<Vec<_>>>()?;
    let kernels: Vec<&Kernel> = if all { KERNELS.iter().collect() } else { named };
    for kernel in kernels {
        let started = Instant::now();
        let cached = fetch::ensure(kernel)?;
        say(&format!("vm: {} is in the cache ({})", cached.release, seconds(started.elapsed())));
    }
    Ok(ExitCode::SUCCESS)
}
