//! What cargo cannot do: preparing the machine, the demo, the whole test run, measurements, VMs with
//! other kernels. One file for each job.
//!
//! This crate depends on no other of the workspace: it must build before the BPF toolchain exists.

mod bench;
mod demo;
mod fuzz;
mod interrupt;
mod setup;
mod shell;
mod test;
mod vm;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;

/// Jobs around vmhop that cargo cannot do
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Job {
    /// Prepare this machine: BPF toolchain, bpf-linker, QEMU and the lab's other programs, a guest kernel
    ///
    /// Says what it found and what it did; safe to run again. Ends with exit code 2 when something is missing
    /// that it may not or cannot install, and says what to do.
    Setup(setup::Args),
    /// Build vmhop and show it at work: set-up, a lab, two recordings of its VM, two reports
    Demo(demo::Args),
    /// Run everything that must pass: set-up, formatting, lints, all tests, checks under other kernels
    Test(test::Args),
    /// Measure what vmhop costs, on release builds
    #[command(subcommand)]
    Bench(bench::Job),
    /// Run the parsers under cargo-fuzz: every target, for a minute each
    Fuzz(fuzz::Args),
    /// Run commands under other kernels, in VMs on this machine's own files
    #[command(subcommand)]
    Vm(vm::Job),
}

fn main() -> ExitCode {
    let done = match Job::parse() {
        Job::Setup(args) => setup::run(&args),
        Job::Demo(args) => demo::run(&args),
        Job::Test(args) => test::run(&args),
        Job::Bench(job) => bench::run(&job),
        Job::Fuzz(args) => fuzz::run(&args),
        Job::Vm(job) => vm::run(job),
    };
    done.unwrap_or_else(|error| {
        // A closed standard error leaves nobody to tell.
        let _ = writeln!(io::stderr(), "xtask: {error:#}");
        ExitCode::FAILURE
    })
}
