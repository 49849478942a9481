//! `lab status`: what of a lab is there, and what should be there and is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    process::ExitCode,
    time::Duration,
};

use serde::Serialize;

use super::{
    accel::Accel,
    addresses,
    client::Client,
    layout::{self, Guest, Lab, RUN_DIR},
    netns, network,
    spec::{Cable, Network, Spec},
    state::{Process, State},
};

/// How long a guest that is up may take to answer; far less but under emulation on a busy machine.
const ANSWER: Duration = Duration::from_secs(15);

/// Which labs to show, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Name of the lab; without it, all labs on this machine
    #[arg(long)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Up,
    Degraded,
    Down,
}

/// What was found of a lab.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    name: String,
    state: Health,
    /// Why it is degraded.
    problems: Vec<String>,
    network: Network,
    /// The first guest's, as in `guests`.
    vm: String,
    qemu_pid: Option<i32>,
    accel: Option<Accel>,
    vhost: bool,
    queues: u32,
    wire: Option<Cable>,
    kernel: Option<String>,
    guests: Vec<GuestStatus>,
    namespaces: BTreeMap<&'static str, String>,
    devices: BTreeMap<&'static str, Vec<String>>,
    addresses: BTreeMap<String, [String; 2]>,
    state_dir: String,
}

/// One guest.
#[derive(Debug, Serialize)]
struct GuestStatus {
    /// What `lab exec` calls it.
    place: String,
    vm: String,
    tap: String,
    qemu_pid: Option<i32>,
}

impl Status {
    pub(crate) fn is_up(&self) -> bool {
        self.state == Health::Up
    }

    pub(crate) fn is_down(&self) -> bool {
        self.state == Health::Down
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }
}

pub(crate) fn run(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let labs = args.name.as_ref().map_or_else(all, |name| Lab::new(name).map(|lab| vec![lab]))?;
    let found = labs.iter().map(inspect).collect::<anyhow::Result<Vec<_>>>()?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &serde_json::json!({ "labs": found }))?;
        writeln!(out)?;
    } else if found.is_empty() {
        writeln!(out, "there is no lab; `vmhop lab up` makes one")?;
    } else {
        found.iter().try_for_each(|status| print(status, out))?;
    }
    let all_up = found.iter().all(Status::is_up);
    Ok(if args.name.is_none() || all_up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(status: &Status, out: &mut dyn Write) -> std::io::Result<()> {
    let Status { name, state, problems, network, accel, vhost, queues, guests, .. } = status;
    let health = match state {
        Health::Up => "up",
        Health::Degraded => "degraded",
        Health::Down => "down",
    };
    writeln!(out, "lab {name}: {health}")?;
    for problem in problems {
        writeln!(out, "  problem: {problem}")?;
    }
    if *state == Health::Degraded {
        writeln!(out, "  remedy: vmhop lab down --name {name}")?;
    }
    if *state == Health::Down {
        return Ok(());
    }
    let accel = accel.map_or("unknown", Accel::name);
    let vhost = if *vhost { "on" } else { "off" };
    for GuestStatus { vm, qemu_pid, .. } in guests {
        let pid = qemu_pid.map_or("gone".to_owned(), |pid| pid.to_string());
        write!(out, "  VM {vm}, QEMU pid {pid}, accelerator {accel}, vhost {vhost}")?;
        writeln!(out, "{}", if *queues > 1 { format!(", queues {queues}") } else { String::new() })?;
    }
    writeln!(out, "  network {}", network.name())?;
    for (side, namespace) in &status.namespaces {
        writeln!(out, "  {side:<7} namespace {namespace}, devices {}", status.devices[side].join(" "))?;
    }
    for (station, [ipv4, ipv6]) in &status.addresses {
        writeln!(out, "  {station:<7} {ipv4} {ipv6}")?;
    }
    Ok(())
}

/// Every lab that has left something on this machine.
pub(crate) fn all() -> anyhow::Result<Vec<Lab>> {
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let folders = names(RUN_DIR);
    let namespaces = names("/run/netns");
    let from_folders = folders.iter().filter_map(|name| name.strip_prefix("lab-"));
    let from_namespaces = namespaces.iter().filter_map(|name| {
        let name = name.strip_prefix("vmhop-")?;
        name.strip_suffix("-host").or_else(|| name.strip_suffix("-peer"))
    });
    let labs = from_folders.chain(from_namespaces).filter_map(|name| Lab::new(name).ok());
    Ok(labs.collect::<BTreeSet<Lab>>().into_iter().collect())
}

/// Looks at `lab` without changing anything.
pub(crate) fn inspect(lab: &Lab) -> anyhow::Result<Status> {
    let state = State::load(lab)?;
    let [host, peer] = lab.namespaces();
    let there = state.is_some() || netns::exists(&host) || netns::exists(&peer);
    let problems = if there { problems(lab, state.as_ref()) } else { Vec::new() };
    let health = match (there, problems.is_empty()) {
        (false, _) => Health::Down,
        (true, true) => Health::Up,
        (true, false) => Health::Degraded,
    };
    // Of a lab without a state the usual is assumed, for want of anything else.
    let spec = state.as_ref().map(|state| state.spec.clone()).unwrap_or_default();
    let guests = guests(lab, &spec, state.as_ref());
    Ok(Status {
        name: lab.name().to_owned(),
        state: health,
        problems,
        network: spec.network,
        vm: lab.guest(1).vm(),
        qemu_pid: guests.first().and_then(|guest| guest.qemu_pid),
        accel: state.as_ref().map(|state| state.accel),
        vhost: spec.vhost,
        queues: spec.queues,
        wire: spec.wire.clone(),
        kernel: state.map(|state| state.kernel),
        guests,
        namespaces: [("host", host), ("peer", peer)].into(),
        devices: devices(&spec).into(),
        addresses: addresses::all(lab, &spec)
            .into_iter()
            .map(|(name, station)| (name, [station.ipv4, station.ipv6]))
            .collect(),
        state_dir: lab.dir().display().to_string(),
    })
}

fn devices(spec: &Spec) -> [(&'static str, Vec<String>); 2] {
    [("host", spec.host_devices()), ("peer", spec.peer_devices())]
}

fn guests(lab: &Lab, spec: &Spec, state: Option<&State>) -> Vec<GuestStatus> {
    let describe = |number| {
        let guest = lab.guest(number);
        let qemu = qemu_of(guest, state).filter(|qemu| qemu.alive());
        let qemu_pid = qemu.map(|qemu| qemu.pid);
        GuestStatus { place: guest.place(), vm: guest.vm(), tap: layout::tap(number), qemu_pid }
    };
    (1..=spec.guests).map(describe).collect()
}

fn qemu_of(guest: Guest<'_>, state: Option<&State>) -> Option<Process> {
    state?.qemus.get(usize::from(guest.number) - 1).copied()
}

/// What is missing of a lab that is there.
fn problems(lab: &Lab, state: Option<&State>) -> Vec<String> {
    let mut problems = Vec::new();
    for namespace in lab.namespaces().into_iter().filter(|namespace| !netns::exists(namespace)) {
        problems.push(format!("network namespace {namespace} is missing"));
    }
    let Some(state) = state else {
        problems.push("its state file is missing".to_owned());
        return problems;
    };
    for (namespace, (_, devices)) in lab.namespaces().into_iter().zip(devices(&state.spec)) {
        if netns::exists(&namespace) {
            let missing = network::missing_devices(&namespace, &devices).into_iter();
            problems.extend(missing.map(|device| format!("device {device} is missing in {namespace}")));
        }
    }
    let ended = state.helpers.iter().filter(|helper| !helper.process.alive());
    problems.extend(ended.map(|helper| format!("{} is not running", helper.name)));
    let guests = (1..=state.spec.guests).map(|number| lab.guest(number));
    problems.extend(guests.filter_map(|guest| guest_problem(guest, state)));
    problems
}

fn guest_problem(guest: Guest<'_>, state: &State) -> Option<String> {
    // One guest needs no name.
    let which = if state.spec.guests == 1 { String::new() } else { format!(" of VM {}", guest.vm()) };
    if !qemu_of(guest, Some(state)).is_some_and(Process::alive) {
        Some(format!("QEMU{which} is not running"))
    } else if !state.ready {
        Some(format!("the guest{which} has not become ready"))
    } else if !guest_answers(guest) {
        Some(format!("the guest{which} does not answer"))
    } else {
        None
    }
}

/// Whether the guest's agent answers; one that is busy with a command counts as well.
fn guest_answers(guest: Guest<'_>) -> bool {
    match Client::try_connect(guest, layout::GUEST_PORTS - 1) {
        Ok(Some(mut client)) => {
            client.say_hello();
            client.hears_ready(ANSWER).unwrap_or(false)
        }
        Ok(None) => true,
        Err(_) => false,
    }
}
