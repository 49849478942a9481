//! Masquerading, as libvirt's default network does it: IPv4 packets from the guests leave with the host's address.
//! IPv6 is routed as it is.

use std::{path::Path, process::Command};

use anyhow::bail;

use super::super::{addresses::GUESTS, layout::Lab, netns, spec::Spec, tools};

/// The programs that can set it up, the better one first.
const PROGRAMS: [&str; 2] = ["nft", "iptables"];

pub(super) fn check() -> anyhow::Result<()> {
    if PROGRAMS.iter().all(|program| tools::find(program).is_none()) {
        bail!("neither nft nor iptables is installed: {}, or install package nftables", tools::SETUP);
    }
    Ok(())
}

/// Masquerades what leaves by the NIC, with the first program that can.
pub(super) fn masquerade(lab: &Lab, spec: &Spec) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    for program in PROGRAMS {
        let Some(path) = tools::find(program) else { continue };
        let mut command = rule(program, &path, spec.nic());
        netns::enter_on_exec(&mut command, &lab.host_ns())?;
        match tools::run(&mut command) {
            Ok(_) => return Ok(()),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!(
        "cannot masquerade: {}; the kernel needs modules nf_nat and nft_masq, or take --network routed",
        errors.join("; ")
    )
}

fn rule(program: &str, path: &Path, nic: &str) -> Command {
    let guests = GUESTS.ipv4_range();
    let mut command = Command::new(path);
    if program == "nft" {
        let table = "add table ip vmhop; ";
        let chain = "add chain ip vmhop postrouting { type nat hook postrouting priority 100; }; ";
        let rule = format!("add rule ip vmhop postrouting ip saddr {guests} oifname \"{nic}\" masquerade");
        command.arg([table, chain, &rule].concat());
    } else {
        command.args(["-w", "-t", "nat", "-A", "POSTROUTING", "-s", &guests, "-o", nic, "-j", "MASQUERADE"]);
    }
    command
}
