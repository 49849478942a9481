//! `lab up`: makes the network, the peer and the guest, waits until the guest answers, and takes all of it
//! down again if anything fails or Ctrl-C comes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::bail;
use clap::ValueEnum;

use super::{
    boot, down, initramfs,
    interrupts::Interrupts,
    kernel::{self, Kernel},
    layout::{BRIDGE, GUEST, HOST, LARGE_FILE, Lab, PEER, SMALL_FILE, TAP},
    lock, network, peer,
    qemu::{self, Accel, Machine},
    state::State,
    status,
    tools::{self, progress},
};

/// Which accelerator to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM if a guest really starts under it, else emulation
    Auto,
    /// KVM or nothing
    Kvm,
    /// QEMU's emulation
    Tcg,
}

/// What can be chosen for a lab.
#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Name of the lab
    #[arg(long, default_value = super::DEFAULT_NAME)]
    name: String,
    /// What executes the guest's instructions
    #[arg(long, value_enum, default_value = "auto")]
    accel: AccelChoice,
    /// Let the kernel's vhost-net move the guest's frames instead of QEMU
    #[arg(long)]
    vhost: bool,
    /// Memory of the guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(128..))]
    memory: u32,
    /// Processors of the guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
}

/// What the lab is made from.
struct Parts {
    kernel: Kernel,
    busybox: PathBuf,
}

/// Takes the lab down when dropped, until it is whole.
struct Unfinished<'a>(Option<&'a Lab>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(lab) = self.0
            && let Err(error) = down::remove(lab)
        {
            progress(&format!("failed to take it down again: {error:#}"));
        }
    }
}

pub(crate) fn run(args: &UpArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let lab = Lab::new(&args.name)?;
    let parts = parts(args)?;
    let _lock = lock::take(&lab)?;
    match status::inspect(&lab)? {
        found if found.is_up() => {
            writeln!(out, "lab {} is already up", lab.name())?;
            usage(&lab, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        found if found.is_down() => {}
        found => bail!(
            "lab {name} is there but not whole ({}): run `vmhop lab down --name {name}` first",
            found.problems().join("; "),
            name = lab.name()
        ),
    }
    let started = Instant::now();
    let interrupts = Interrupts::catch()?;
    let mut unfinished = Unfinished(Some(&lab));
    make(&lab, args, &parts, &interrupts)?;
    unfinished.0 = None;
    writeln!(out, "lab {} is up after {:.1} s", lab.name(), started.elapsed().as_secs_f64())?;
    usage(&lab, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Finds everything first, so that what is missing is said before anything is made.
fn parts(args: &UpArgs) -> anyhow::Result<Parts> {
    tools::need("ip", "iproute2")?;
    tools::need(qemu::QEMU, "qemu-system-x86")?;
    if !Path::new("/dev/net/tun").exists() {
        bail!("/dev/net/tun does not exist, so there can be no tap: load module tun");
    }
    let accel = if args.accel == AccelChoice::Kvm { Accel::Kvm } else { Accel::Tcg };
    qemu::check(machine(args, accel))?;
    Ok(Parts { kernel: kernel::find()?, busybox: tools::need_busybox()? })
}

fn machine(args: &UpArgs, accel: Accel) -> Machine {
    Machine { accel, vhost: args.vhost, memory_mib: args.memory, cpus: args.cpus }
}

fn make(lab: &Lab, args: &UpArgs, parts: &Parts, interrupts: &Interrupts) -> anyhow::Result<()> {
    progress(&format!("network: {} and {}", lab.host_ns(), lab.peer_ns()));
    network::create(lab)?;
    let mut state = State {
        ready: false,
        qemu: None,
        peer_httpd: Some(peer::start(lab, &parts.busybox)?),
        accel: Accel::Tcg,
        vhost: args.vhost,
        memory_mib: args.memory,
        cpus: args.cpus,
        kernel: parts.kernel.image.display().to_string(),
    };
    state.save(lab)?;
    initramfs::build(lab, &parts.busybox, parts.kernel.load_modules()?)?;
    for accel in boot::candidates(args.accel) {
        progress(&format!("guest: starting under {}", accel.name()));
        match boot::start(lab, &parts.kernel, machine(args, accel), &mut state, interrupts) {
            Ok(()) => {
                boot::remember(accel, args.accel);
                state.ready = true;
                return state.save(lab);
            }
            Err(error) if boot::falls_back(accel, args.accel, &error) => {
                progress(&format!("KVM does not work here, taking emulation: {error:#}"));
            }
            Err(error) => {
                progress(qemu::last_words(lab).trim_start());
                return Err(error.context(format!("failed to start the guest of lab {}", lab.name())));
            }
        }
    }
    Ok(())
}

/// What one can do with the lab now.
fn usage(lab: &Lab, out: &mut dyn Write) -> std::io::Result<()> {
    let name = lab.name();
    let option = if name == super::DEFAULT_NAME { String::new() } else { format!(" --name {name}") };
    writeln!(out, "  VM {}, on {TAP} of {BRIDGE} in network namespace {}", lab.vm(), lab.host_ns())?;
    for (place, station) in [("guest", GUEST), ("peer", PEER), ("host", HOST)] {
        writeln!(out, "  {place:<5} {} {}", station.ipv4, station.ipv6)?;
    }
    let (large, small) = (LARGE_FILE.0, SMALL_FILE.0);
    writeln!(out, "  guest and peer serve http://ADDRESS/{large} and /{small}")?;
    writeln!(out, "try:")?;
    writeln!(out, "  vmhop lab exec{option} peer -- ping -c 3 {}", GUEST.ipv4)?;
    writeln!(out, "  vmhop lab exec{option} guest -- wget -O /dev/null http://{}/{large}", PEER.ipv4)?;
    writeln!(
        out,
        "  vmhop record --vm {} -- vmhop lab exec{option} peer -- ping -c 100 -i 0.05 {}",
        lab.vm(),
        GUEST.ipv4
    )?;
    writeln!(out, "  vmhop lab down{option}")
}
