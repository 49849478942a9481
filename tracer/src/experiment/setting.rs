//! The stations of a block of runs: a lab made for it, or what is there.

use std::{
    collections::BTreeMap,
    env, io,
    net::IpAddr,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;

use super::{
    schedule::Run,
    spec::{LabSpec, Spec, StationSpec, WorkloadKind},
    station::{Reach, Role, Station},
    workload::Ends,
};
use crate::{
    cli::{Cli, Command as Vmhop},
    lab::{self, Network},
    topology::Vm,
};

/// The stations of a block; a lab goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Setting {
    stations: BTreeMap<String, Station>,
    /// The lab's name and network.
    lab: Option<(String, Network)>,
    www: String,
    vmhop: PathBuf,
}

impl Setting {
    /// Makes the lab, or takes what is there.
    pub(super) fn make(spec: &Spec, network: Option<Network>, lab_name: &str) -> Result<Setting> {
        let vmhop = env::current_exe().context("failed to find vmhop's own program")?;
        let (Some(lab), Some(network)) = (&spec.lab, network) else {
            let stations =
                spec.stations.iter().map(|(name, station)| (name.clone(), existing(name, station)));
            return Ok(Setting { stations: stations.collect(), lab: None, www: String::new(), vmhop });
        };
        let words = [vec!["down", "--name", lab_name]];
        words.iter().try_for_each(|words| lab_command(words))?;
        // From here on dropping it takes down whatever there is.
        let mut setting = Setting {
            stations: BTreeMap::new(),
            lab: Some((lab_name.to_owned(), network)),
            www: lab::www(lab_name)?.display().to_string(),
            vmhop,
        };
        let up = up_words(spec, lab, network, lab_name);
        lab_command(&up.iter().map(String::as_str).collect::<Vec<_>>())?;
        for (place, addresses) in lab::stations(network, lab.guests) {
            setting.stations.insert(place.clone(), setting.in_lab(lab_name, &place, addresses));
        }
        Ok(setting)
    }

    fn in_lab(&self, lab: &str, place: &str, addresses: Vec<IpAddr>) -> Station {
        let role = match place {
            "host" => Role::Host,
            "peer" => Role::Peer,
            _ => Role::Guest,
        };
        Station {
            name: place.to_owned(),
            role,
            reach: Reach::Lab { vmhop: self.vmhop.clone(), lab: lab.to_owned(), place: place.to_owned() },
            addresses,
            vm: (role == Role::Guest).then(|| lab::vm_name(lab, place)),
        }
    }

    /// The station of this name.
    pub(super) fn station(&self, name: &str) -> Result<&Station> {
        self.stations.get(name).with_context(|| format!("there is no station {name}"))
    }

    /// How a command gets to the machine that is traced.
    pub(super) fn on_host(&self) -> Reach {
        self.stations.get("host").map_or(Reach::Here, |host| host.reach.clone())
    }

    /// The ends of a run's path.
    pub(super) fn ends(&self, run: &Run) -> Result<Ends<'_>> {
        let (from, to) = (self.station(&run.from)?, self.station(&run.to)?);
        let address = |of: &Station, other: &Station| {
            // A host that routes has an address on either side.
            let towards_guests = of.role == Role::Host && other.role == Role::Guest;
            let address = if towards_guests { of.addresses.last() } else { of.addresses.first() };
            address.copied().with_context(|| format!("station {} has no address", of.name))
        };
        Ok(Ends { from: (from, address(from, to)?), to: (to, address(to, from)?), www: &self.www })
    }

    /// The VMs that are traced in a run: those on its path, else the first, for the NIC behind it.
    pub(super) fn traced(&self, run: &Run) -> Result<Vec<String>> {
        let ends = [self.station(&run.from)?, self.station(&run.to)?];
        let mut vms: Vec<String> = ends.iter().filter_map(|station| station.vm.clone()).collect();
        if vms.is_empty() {
            vms.extend(self.stations.values().find_map(|station| station.vm.clone()));
        }
        if vms.is_empty() {
            bail!("no station has a VM: give key vm of the guests under [stations]");
        }
        Ok(vms)
    }

    /// Whether a VM of this host is one of its stations.
    pub(super) fn has_vm(&self, vm: &Vm) -> bool {
        let selectors = self.stations.values().filter_map(|station| station.vm.as_deref());
        let by_tap = |selector: &str| vm.taps.iter().any(|tap| tap.device.name == selector);
        let mut selectors = selectors.map(|it| it == vm.name || it == vm.pid.to_string() || by_tap(it));
        selectors.any(|is_it| is_it)
    }

    /// Whether its stations have iperf3, as far as that can be told: those of a lab have what this machine has.
    pub(super) fn has_iperf3(&self) -> bool {
        self.lab.is_none() || lab::tools::find("iperf3").is_some()
    }

    /// Whether its lab is whole; what exists is not asked.
    pub(super) fn is_whole(&self) -> bool {
        let Some((lab, _)) = &self.lab else { return true };
        let mut status = Command::new(&self.vmhop);
        status.args(["lab", "status", "--name", lab]).stdin(Stdio::null());
        let status = status.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Some((lab, _)) = &self.lab
            && let Err(error) = lab_command(&["down", "--name", lab])
        {
            log::warn!("failed to take lab {lab} down: {error:#}");
        }
    }
}

fn existing(name: &str, spec: &StationSpec) -> Station {
    let role = match (&spec.vm, &spec.ssh) {
        (Some(_), _) => Role::Guest,
        (None, None) => Role::Host,
        (None, Some(_)) => Role::Peer,
    };
    Station {
        name: name.to_owned(),
        role,
        reach: spec
            .ssh
            .clone()
            .map_or(Reach::Here, |destination| Reach::Ssh { destination, config: spec.ssh_config.clone() }),
        addresses: vec![spec.address],
        vm: spec.vm.clone(),
    }
}

fn up_words(spec: &Spec, lab: &LabSpec, network: Network, name: &str) -> Vec<String> {
    let LabSpec { networks: _, guests, vhost, cpus, memory_mib } = lab;
    let mut words: Vec<String> =
        ["up", "--name", name, "--network", network.name()].map(str::to_owned).to_vec();
    words.extend(["--guests", &guests.to_string(), "--cpus", &cpus.to_string()].map(str::to_owned));
    words.extend(["--memory", &memory_mib.to_string()].map(str::to_owned));
    words.extend(vhost.then(|| "--vhost".to_owned()));
    let iperf3 = spec.workloads.iter().any(|workload| matches!(workload.kind, WorkloadKind::Iperf3 { .. }));
    let iperf3 = iperf3 && lab::tools::find("iperf3").is_some();
    words.extend(iperf3.then_some(["--with", "iperf3"].map(str::to_owned)).into_iter().flatten());
    words
}

/// Runs `vmhop lab …` in this process.
fn lab_command(words: &[&str]) -> Result<()> {
    let line = [&["vmhop", "lab"], words].concat();
    let parsed = Cli::try_parse_from(line).context("failed to ask for a lab")?;
    let Vmhop::Lab(command) = parsed.command else { bail!("{words:?} is no command of the lab") };
    lab::run(command, &mut io::sink()).map(drop)
}
