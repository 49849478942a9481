//! Devices of the machine that are cabled together, lent to a lab as its wire.
//!
//! They keep their names, so that even after a crash that forgot everything they are themselves again: hardware
//! returns to the machine's first namespace when the one that it is in goes away (default_device_exit_net).

use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::{
    super::{layout::Lab, spec::Cable, tools},
    has_device,
};

/// What `ip -json addr` says of a device.
#[derive(Debug, Deserialize)]
struct Shown {
    /// Of a gap in the list there is none.
    ifname: Option<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    scope: Option<String>,
    local: Option<String>,
}

/// Checks that both devices are there, and that nothing uses them.
pub(crate) fn check(cable: &Cable) -> anyhow::Result<()> {
    let shown = tools::run(Command::new(tools::need("ip", "iproute2")?).args(["-json", "addr", "show"]))?;
    check_against(cable, &shown)
}

fn check_against(cable: &Cable, shown: &[u8]) -> anyhow::Result<()> {
    let devices: Vec<Shown> = serde_json::from_slice(shown).context("failed to read what `ip` shows")?;
    for name in [&cable.nic, &cable.peer] {
        let Some(device) = devices.iter().find(|device| device.ifname.as_ref() == Some(name)) else {
            let names: Vec<&str> = devices.iter().filter_map(|device| device.ifname.as_deref()).collect();
            bail!("there is no device {name} for --wire: there is {}", names.join(", "));
        };
        let global = device.addr_info.iter().find(|address| address.scope.as_deref() == Some("global"));
        if let Some(address) = global.and_then(|address| address.local.as_deref()) {
            bail!(
                "device {name} has address {address}, so the machine may need it: \
                 run `ip addr flush dev {name}` first if it does not"
            );
        }
    }
    Ok(())
}

/// Moves what the lab still has of the devices into the caller's namespace, switched off as lab and move leave
/// them; lists them.
pub(crate) fn take_back(lab: &Lab, cable: &Cable) -> anyhow::Result<Vec<String>> {
    let own = format!("/proc/{}/ns/net", std::process::id());
    let mut back = Vec::new();
    for (namespace, device) in [(lab.host_ns(), &cable.nic), (lab.peer_ns(), &cable.peer)] {
        if has_device(&namespace, device) {
            let words = ["-n", &namespace, "link", "set", "dev", device, "netns", &own];
            tools::run(Command::new(tools::need("ip", "iproute2")?).args(words))
                .with_context(|| format!("failed to take device {device} back from the lab"))?;
            back.push(device.clone());
        }
    }
    Ok(back)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &[u8] = br#"[{},
        {"ifname":"lo","addr_info":[{"scope":"host","local":"127.0.0.1"}]},
        {"ifname":"e0","addr_info":[{"scope":"link","local":"fe80::1"}]}, {"ifname":"e1"},
        {"ifname":"ens3","addr_info":[{"scope":"global","local":"192.0.2.9"}]}]"#;

    #[test]
    fn a_device_that_is_missing_or_in_use_is_refused() {
        let check = |text: &str| check_against(&text.parse().unwrap(), SHOWN);
        assert!(check("e0,e1").is_ok());
        let missing = check("e0,e7").unwrap_err().to_string();
        assert_eq!(missing, "there is no device e7 for --wire: there is lo, e0, e1, ens3");
        let used = check("ens3,e1").unwrap_err().to_string();
        assert!(used.starts_with("device ens3 has address 192.0.2.9"), "{used}");
    }
}
