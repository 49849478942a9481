//! Masquerading, as libvirt's default network does it: IPv4 packets from the guests leave with the host's address. One
//! port of the host leads to the first guest. IPv6 is routed as it is.

use std::{path::Path, process::Command};

use anyhow::bail;

use super::super::{
    addresses::{self, GUESTS},
    layout::Lab,
    netns,
    spec::Spec,
    tools,
};

/// The host's port that leads to the first guest's HTTP server.
pub(crate) const FORWARDED_PORT: u16 = 8080;
const HTTP_PORT: u16 = 80;

/// The programs that can set it up, the better one first.
const PROGRAMS: [&str; 2] = ["nft", "iptables"];

pub(super) fn check() -> anyhow::Result<()> {
    if PROGRAMS.iter().all(|program| tools::find(program).is_none()) {
        bail!("neither nft nor iptables is installed: {}, or install package nftables", tools::SETUP);
    }
    Ok(())
}

/// Sets up the translation of what leaves by the NIC, and of the forwarded port, with the first program that can.
pub(super) fn translate(lab: &Lab, spec: &Spec) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    for program in PROGRAMS {
        let Some(path) = tools::find(program) else { continue };
        let done = commands(program, &path, spec).into_iter().try_for_each(|mut command| {
            netns::enter_on_exec(&mut command, &lab.host_ns())?;
            tools::run(&mut command).map(drop)
        });
        match done {
            Ok(()) => return Ok(()),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!(
        "cannot masquerade: {}; the kernel needs modules nf_nat and nft_masq, or take --network routed",
        errors.join("; ")
    )
}

fn commands(program: &str, path: &Path, spec: &Spec) -> Vec<Command> {
    let (nic, guests) = (spec.nic(), GUESTS.ipv4_range());
    let target = format!("{}:{HTTP_PORT}", addresses::guest(spec.network, 1).ipv4);
    let lines = match program {
        "nft" => vec![
            "add table ip vmhop".to_owned(),
            "add chain ip vmhop postrouting { type nat hook postrouting priority 100; }".to_owned(),
            format!("add rule ip vmhop postrouting ip saddr {guests} oifname \"{nic}\" masquerade"),
            "add chain ip vmhop prerouting { type nat hook prerouting priority -100; }".to_owned(),
            format!(
                "add rule ip vmhop prerouting iifname \"{nic}\" tcp dport {FORWARDED_PORT} dnat to {target}"
            ),
        ],
        _ => vec![
            format!("-w -t nat -A POSTROUTING -s {guests} -o {nic} -j MASQUERADE"),
            format!(
                "-w -t nat -A PREROUTING -i {nic} -p tcp --dport {FORWARDED_PORT} -j DNAT --to-destination {target}"
            ),
        ],
    };
    let command = |line: &String| {
        let mut command = Command::new(path);
        match program {
            // One argument for the whole line: it has words of its own.
            "nft" => command.arg(line),
            _ => command.args(line.split_whitespace()),
        };
        command
    };
    lines.iter().map(command).collect()
}
