//! `lab up`: makes the network, the peer and the guest, waits until the guest answers, and takes all of it
//! down again if anything fails or Ctrl-C comes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, bail};

use super::{
    accel::{Accel, AccelChoice},
    addresses, boot, down, elf, http, initramfs,
    interrupts::Interrupts,
    kernel::{self, Kernel},
    layout::{self, BRIDGE, LARGE_FILE, Lab, MAX_GUESTS, SMALL_FILE},
    lock, network, qemu,
    spec::{Cable, Network, Spec},
    state::State,
    status,
    tools::{self, progress},
};

/// What can be chosen for a lab.
#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Name of the lab
    #[arg(long, default_value = super::DEFAULT_NAME)]
    name: String,
    /// What executes the guest's instructions
    #[arg(long, value_enum, default_value = "auto")]
    accel: AccelChoice,
    /// How the guests' frames get to the wire
    #[arg(long, value_enum, default_value = "bridge")]
    network: Network,
    /// Number of guests, at most 4
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_GUESTS)))]
    guests: u8,
    /// Pairs of queues of each guest's network device
    ///
    /// A guest uses no more of them than it has processors: see --cpus.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    queues: u32,
    /// Two devices of this machine that are cabled together, to use as the wire
    ///
    /// They move into the lab's namespaces, lose their settings, and come back, switched off, with `lab down`.
    #[arg(long, value_name = "DEV,PEERDEV")]
    wire: Option<Cable>,
    /// Let the kernel's vhost-net move the guest's frames instead of QEMU
    #[arg(long)]
    vhost: bool,
    /// Memory of each guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(128..))]
    memory: u32,
    /// Processors of each guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// A program of this machine that the guests get too, with its libraries; can be given several times
    ///
    /// By name or path: --with iperf3.
    #[arg(long, value_name = "PROGRAM")]
    with: Vec<String>,
}

impl UpArgs {
    fn spec(&self) -> anyhow::Result<Spec> {
        let Self { name: _, accel: _, network, guests, queues, wire, vhost, memory, cpus, with } = self;
        Ok(Spec {
            network: *network,
            guests: *guests,
            queues: *queues,
            wire: wire.clone(),
            vhost: *vhost,
            memory_mib: *memory,
            cpus: *cpus,
            with: with.iter().map(|program| program_file(program)).collect::<anyhow::Result<_>>()?,
        })
    }
}

/// The file of a program that was named or given by its path.
fn program_file(program: &str) -> anyhow::Result<PathBuf> {
    if !program.contains('/') {
        return tools::find(program).with_context(|| format!("--with {program}: there is no such program"));
    }
    std::path::absolute(program).with_context(|| format!("--with {program}: there is no such file"))
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
    let spec = args.spec()?;
    let _lock = lock::take(&lab)?;
    if is_there(&lab, &spec)? {
        writeln!(out, "lab {} is already up", lab.name())?;
        usage(&lab, &spec, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let interrupts = Interrupts::catch()?;
    let mut unfinished = Unfinished(Some(&lab));
    let parts = parts(args.accel, &spec)?;
    make(&lab, args.accel, &spec, &parts, &interrupts)?;
    unfinished.0 = None;
    writeln!(out, "lab {} is up after {:.1} s", lab.name(), started.elapsed().as_secs_f64())?;
    usage(&lab, &spec, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether this very lab is up already; one that is broken or another is an error.
fn is_there(lab: &Lab, spec: &Spec) -> anyhow::Result<bool> {
    let (name, found) = (lab.name(), status::inspect(lab)?);
    if found.is_down() {
        return Ok(false);
    }
    if !found.is_up() {
        bail!(
            "lab {name} is there but not whole ({}): run `vmhop lab down --name {name}` first",
            found.problems().join("; ")
        );
    }
    let there = State::load(lab)?.map(|state| state.spec).unwrap_or_default();
    if there != *spec {
        bail!("lab {name} is up already, but with {there}: run `vmhop lab down --name {name}` first");
    }
    Ok(true)
}

/// Finds everything first, so that what is missing is said before anything is made.
fn parts(accel: AccelChoice, spec: &Spec) -> anyhow::Result<Parts> {
    network::check(spec)?;
    tools::need(qemu::QEMU, "qemu-system-x86")?;
    if !Path::new("/dev/net/tun").exists() {
        bail!("/dev/net/tun does not exist, so there can be no tap: load module tun");
    }
    for program in &spec.with {
        elf::program(program)?;
    }
    qemu::check(spec, if accel == AccelChoice::Kvm { Accel::Kvm } else { Accel::Tcg })?;
    Ok(Parts { kernel: kernel::find()?, busybox: tools::need_busybox()? })
}

fn make(
    lab: &Lab,
    choice: AccelChoice,
    spec: &Spec,
    parts: &Parts,
    interrupts: &Interrupts,
) -> anyhow::Result<()> {
    progress(&format!("network: {} and {}", lab.host_ns(), lab.peer_ns()));
    if spec.queues > spec.cpus {
        progress(&format!("a guest uses {} of its {} pairs of queues: see --cpus", spec.cpus, spec.queues));
    }
    let mut state = State {
        ready: false,
        spec: spec.clone(),
        qemus: Vec::new(),
        helpers: Vec::new(),
        accel: Accel::Tcg,
        kernel: parts.kernel.image.display().to_string(),
    };
    // Before anything is made: `lab down` has to know which devices are only lent.
    state.save(lab)?;
    state.helpers = network::create(lab, spec)?;
    http::start(lab, &parts.busybox, &mut state.helpers)?;
    state.save(lab)?;
    initramfs::build(lab, &parts.busybox, parts.kernel.load_modules()?, &spec.with)?;
    for accel in boot::candidates(choice) {
        let guests = if spec.guests == 1 { "guest".to_owned() } else { format!("{} guests", spec.guests) };
        progress(&format!("{guests}: starting under {}", accel.name()));
        match boot::start(lab, &parts.kernel, (accel, choice), &mut state, interrupts) {
            Ok(()) => {
                boot::remember(accel, choice);
                state.ready = true;
                return state.save(lab);
            }
            Err(error) if boot::falls_back(accel, choice, &error) => {
                progress(&format!("KVM does not work here, taking emulation: {error:#}"));
            }
            Err(error) => {
                for number in 1..=spec.guests {
                    progress(qemu::last_words(lab.guest(number)).trim_start());
                }
                return Err(error.context(format!("failed to start lab {}", lab.name())));
            }
        }
    }
    Ok(())
}

/// What one can do with the lab now.
fn usage(lab: &Lab, spec: &Spec, out: &mut dyn Write) -> std::io::Result<()> {
    let name = lab.name();
    let option = if name == super::DEFAULT_NAME { String::new() } else { format!(" --name {name}") };
    let behind = if spec.network.has_bridge() { format!(" of {BRIDGE}") } else { String::new() };
    for number in 1..=spec.guests {
        let (vm, tap) = (lab.guest(number).vm(), layout::tap(number));
        writeln!(out, "  VM {vm}, on {tap}{behind} in network namespace {}", lab.host_ns())?;
    }
    for (place, station) in addresses::all(lab, spec) {
        writeln!(out, "  {place:<7} {} {}", station.ipv4, station.ipv6)?;
    }
    let (large, small) = (LARGE_FILE.0, SMALL_FILE.0);
    // Nobody but the host reaches guests that are alone with it.
    let (other, station) = match addresses::gateway(spec.network) {
        Some(gateway) if !spec.network.is_routed() => ("host", gateway.ipv4),
        _ => ("peer", addresses::peer().ipv4),
    };
    let guest = addresses::guest(spec.network, 1).ipv4;
    writeln!(out, "  guests, peer and host serve http://ADDRESS/{large} and /{small}")?;
    writeln!(out, "try:")?;
    writeln!(out, "  vmhop lab exec{option} {other} -- ping -c 3 {guest}")?;
    writeln!(out, "  vmhop lab exec{option} guest -- wget -O /dev/null http://{station}/{large}")?;
    writeln!(
        out,
        "  vmhop record --vm {} -- vmhop lab exec{option} {other} -- ping -c 100 -i 0.05 {guest}",
        lab.guest(1).vm(),
    )?;
    writeln!(out, "  vmhop lab down{option}")
}
