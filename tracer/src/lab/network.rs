//! The lab's links: a bridge with a tap and a veth pair that stands for NIC and wire, each in a namespace
//! of the lab, made with the `ip` command. Everything here goes away with the two namespaces.

use std::process::Command;

use anyhow::Context as _;

use super::{
    layout::{BRIDGE, HOST, Lab, NIC, PEER, PEER_NIC, TAP},
    tools,
};

/// Makes both namespaces and all links in them.
pub(crate) fn create(lab: &Lab) -> anyhow::Result<()> {
    for line in commands(lab) {
        let words = line.split_whitespace();
        tools::run(Command::new(tools::need("ip", "iproute2")?).args(words))
            .with_context(|| format!("failed to make the network of lab {}", lab.name()))?;
    }
    Ok(())
}

/// The `ip` command lines, in order.
///
/// Addresses get `nodad`, or IPv6 would be unusable for its first second. The bridge has no forwarding
/// delay and no spanning tree: a port forwards as soon as it is up.
fn commands(lab: &Lab) -> Vec<String> {
    let (host, peer) = (lab.host_ns(), lab.peer_ns());
    let mut lines = vec![format!("netns add {host}"), format!("netns add {peer}")];
    let mut on_host = vec![
        "link set lo up".to_owned(),
        format!("link add {BRIDGE} address {} type bridge stp_state 0 forward_delay 0", HOST.mac),
        format!("tuntap add dev {TAP} mode tap"),
        format!("link set {TAP} master {BRIDGE}"),
        format!("link add {NIC} type veth peer name {PEER_NIC} address {} netns {peer}", PEER.mac),
        format!("link set {NIC} master {BRIDGE}"),
    ];
    on_host.extend(addresses(BRIDGE, HOST.ipv4, HOST.ipv6));
    on_host.extend([TAP, NIC].map(|port| format!("link set {port} up")));
    let mut on_peer = vec!["link set lo up".to_owned()];
    on_peer.extend(addresses(PEER_NIC, PEER.ipv4, PEER.ipv6));
    lines.extend(on_host.into_iter().map(|line| format!("-n {host} {line}")));
    lines.extend(on_peer.into_iter().map(|line| format!("-n {peer} {line}")));
    lines
}

fn addresses(device: &str, ipv4: &str, ipv6: &str) -> [String; 3] {
    [
        format!("addr add {ipv4}/24 dev {device}"),
        format!("addr add {ipv6}/64 dev {device} nodad"),
        format!("link set {device} up"),
    ]
}

/// The devices that a namespace should have and does not.
pub(crate) fn missing_devices(namespace: &str, wanted: &[&str]) -> Vec<String> {
    let has = |device: &str| {
        let Some(ip) = tools::find("ip") else { return false };
        let show = ["-n", namespace, "link", "show", "dev", device];
        tools::run(Command::new(ip).args(show)).is_ok()
    };
    wanted.iter().filter(|device| !has(device)).map(|&device| device.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_but_the_making_of_namespaces_stays_inside_one_of_them() {
        let lab = Lab::new("x").unwrap();
        for line in commands(&lab).iter().skip(2) {
            assert!(
                line.starts_with("-n vmhop-x-host ") || line.starts_with("-n vmhop-x-peer "),
                "{line:?} would touch the machine's own network"
            );
        }
    }
}
