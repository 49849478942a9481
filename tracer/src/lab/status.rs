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
    client::Client,
    layout::{BRIDGE, GUEST, HOST, Lab, NIC, PEER, PEER_NIC, RUN_DIR, Station, TAP},
    netns, network,
    qemu::Accel,
    state::State,
};

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
    vm: String,
    qemu_pid: Option<i32>,
    accel: Option<Accel>,
    vhost: bool,
    kernel: Option<String>,
    namespaces: BTreeMap<&'static str, String>,
    devices: BTreeMap<&'static str, Vec<&'static str>>,
    addresses: BTreeMap<&'static str, [&'static str; 2]>,
    state_dir: String,
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
    let Status { name, state, problems, vm, qemu_pid, accel, vhost, namespaces, devices, addresses, .. } =
        status;
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
    let pid = qemu_pid.map_or("gone".to_owned(), |pid| pid.to_string());
    let vhost = if *vhost { "on" } else { "off" };
    writeln!(out, "  VM {vm}, QEMU pid {pid}, accelerator {accel}, vhost {vhost}")?;
    for (side, namespace) in namespaces {
        writeln!(out, "  {side:<5} namespace {namespace}, devices {}", devices[side].join(" "))?;
    }
    for (station, [ipv4, ipv6]) in addresses {
        writeln!(out, "  {station:<5} {ipv4} {ipv6}")?;
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
    let both = |station: Station| [station.ipv4, station.ipv6];
    Ok(Status {
        name: lab.name().to_owned(),
        state: health,
        problems,
        vm: lab.vm(),
        qemu_pid: state
            .as_ref()
            .and_then(|state| state.qemu)
            .filter(|qemu| qemu.alive())
            .map(|qemu| qemu.pid),
        accel: state.as_ref().map(|state| state.accel),
        vhost: state.as_ref().is_some_and(|state| state.vhost),
        kernel: state.map(|state| state.kernel),
        namespaces: [("host", host), ("peer", peer)].into(),
        devices: [("host", vec![BRIDGE, TAP, NIC]), ("peer", vec![PEER_NIC])].into(),
        addresses: [("host", both(HOST)), ("guest", both(GUEST)), ("peer", both(PEER))].into(),
        state_dir: lab.dir().display().to_string(),
    })
}

/// What is missing of a lab that is there.
fn problems(lab: &Lab, state: Option<&State>) -> Vec<String> {
    let mut problems = Vec::new();
    for (namespace, devices) in [(lab.host_ns(), &[BRIDGE, TAP, NIC][..]), (lab.peer_ns(), &[PEER_NIC])] {
        if !netns::exists(&namespace) {
            problems.push(format!("network namespace {namespace} is missing"));
            continue;
        }
        let missing = network::missing_devices(&namespace, devices).into_iter();
        problems.extend(missing.map(|device| format!("device {device} is missing in {namespace}")));
    }
    let Some(state) = state else {
        problems.push("its state file is missing".to_owned());
        return problems;
    };
    if !state.peer_httpd.is_some_and(|process| process.alive()) {
        problems.push("the peer's HTTP server is not running".to_owned());
    }
    if !state.qemu.is_some_and(|process| process.alive()) {
        problems.push("QEMU is not running".to_owned());
    } else if !state.ready {
        problems.push("the guest has not become ready".to_owned());
    } else if !guest_answers(lab) {
        problems.push("the guest does not answer".to_owned());
    }
    problems
}

/// Whether the guest's agent answers; one that is busy with a command counts as well.
fn guest_answers(lab: &Lab) -> bool {
    match Client::try_connect(lab, super::layout::GUEST_PORTS - 1) {
        Ok(Some(mut client)) => {
            client.say_hello();
            client.hears_ready(Duration::from_secs(5)).unwrap_or(false)
        }
        Ok(None) => true,
        Err(_) => false,
    }
}
