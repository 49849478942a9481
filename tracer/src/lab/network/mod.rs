//! The lab's network: namespaces, links, and what forwards frames between them. All of it goes away with the two
//! namespaces, but for the devices of `--wire`, which go back to where they came from.
//!
//! `links` are the devices, made with the `ip` command; `cable` lends the machine's own devices; `nat` and `ovs`
//! make what a host of that kind has; `macvtap` opens the queues that QEMU gets.

pub(crate) mod cable;
mod links;
pub(crate) mod macvtap;
mod nat;
mod ovs;

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;

use super::{
    layout::Lab,
    netns,
    spec::{Network, Spec},
    state::Helper,
    tools,
};

/// Says what is missing for this network before anything is made.
pub(crate) fn check(spec: &Spec) -> anyhow::Result<()> {
    tools::need("ip", "iproute2")?;
    if let Some(wire) = &spec.wire {
        cable::check(wire)?;
    }
    match spec.network {
        Network::Nat => nat::check(),
        Network::Ovs => ovs::check(),
        Network::Vlan => links::check_names(spec),
        Network::Bridge | Network::Routed | Network::HostOnly | Network::Macvtap | Network::Vxlan => Ok(()),
    }
}

/// Makes both namespaces and all in them; gives the processes that keep the network going.
pub(crate) fn create(lab: &Lab, spec: &Spec) -> anyhow::Result<Vec<Helper>> {
    make(lab, spec).with_context(|| match spec.network.module() {
        Some(module) => format!(
            "failed to make the network of lab {}, which needs a kernel with module {module}",
            lab.name()
        ),
        None => format!("failed to make the network of lab {}", lab.name()),
    })
}

fn make(lab: &Lab, spec: &Spec) -> anyhow::Result<Vec<Helper>> {
    run_all(links::namespaces(lab))?;
    lab.namespaces().iter().try_for_each(|namespace| ask_for_no_router(namespace))?;
    run_all(links::wire(lab, spec))?;
    if spec.network.is_apart() {
        forward(lab, spec.network.is_routed())?;
    }
    let mut helpers = Vec::new();
    run_all(links::devices(lab, spec))?;
    if spec.network == Network::Ovs {
        helpers = ovs::start(lab, spec)?;
    }
    run_all(links::addresses(lab, spec))?;
    if spec.network == Network::Nat {
        nat::translate(lab, spec)?;
    }
    Ok(helpers)
}

/// Runs `ip` with each of these command lines.
fn run_all(lines: Vec<String>) -> anyhow::Result<()> {
    let ip = tools::need("ip", "iproute2")?;
    for line in lines {
        tools::run(Command::new(&ip).args(line.split_whitespace()))?;
    }
    Ok(())
}

/// Lets the host's namespace forward by IP, or forbids it: a new namespace begins with the machine's own setting of IPv4.
/// The machine's own settings are another namespace's.
fn forward(lab: &Lab, does: bool) -> anyhow::Result<()> {
    netns::inside(&lab.host_ns(), || {
        for file in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
            // A kernel without IPv6 forwards none of it.
            if !does && !Path::new(file).exists() {
                continue;
            }
            fs::write(file, if does { "1" } else { "0" })
                .with_context(|| format!("failed to write {file}"))?;
        }
        Ok(())
    })
}

/// There is none, and the lab is quiet until somebody uses it.
fn ask_for_no_router(namespace: &str) -> anyhow::Result<()> {
    netns::inside(namespace, || {
        let file = Path::new("/proc/sys/net/ipv6/conf/default/router_solicitations");
        // A kernel without IPv6 asks nobody.
        if !file.exists() {
            return Ok(());
        }
        fs::write(file, "0").with_context(|| format!("failed to write {}", file.display()))
    })
}

/// The devices that a namespace should have and does not.
pub(crate) fn missing_devices(namespace: &str, wanted: &[String]) -> Vec<String> {
    wanted.iter().filter(|device| !has_device(namespace, device)).cloned().collect()
}

fn has_device(namespace: &str, device: &str) -> bool {
    let Some(ip) = tools::find("ip") else { return false };
    tools::run(Command::new(ip).args(["-n", namespace, "link", "show", "dev", device])).is_ok()
}
