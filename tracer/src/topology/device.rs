//! One device by its name, as `--nic IF` asks for it.

use anyhow::{Result, anyhow, bail};

use super::{model::Device, process, text::printable, world::World};

/// The namespace to look for a device in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace<'a> {
    /// The caller's own.
    Own,
    /// By its inode number, as [`Device::netns`] has it.
    Inode(u32),
    /// By its name under /run/netns.
    Named(&'a str),
}

/// Describes the device of this name in this namespace. The error of a wrong name says which names there are.
pub fn device(namespace: Namespace<'_>, name: &str) -> Result<Device> {
    let mut world = World::new()?;
    let netns = match namespace {
        Namespace::Own => world.own(),
        Namespace::Inode(inode) => inode,
        Namespace::Named(wanted) => world.namespaces.find(wanted).ok_or_else(|| {
            anyhow!("no network namespace `{wanted}`: there is {}", listed(&world.namespaces.names()))
        })?,
    };
    if netns != world.own() {
        process::check_permission()?;
    }
    match world.by_name(netns, name)? {
        Some(link) => world.device(netns, &link),
        None => {
            let label = world.namespaces.name(netns).unwrap_or_else(|| format!("net:[{netns}]"));
            let names: Vec<_> = world.links(netns)?.values().map(|link| link.name.clone()).collect();
            bail!("no device `{name}` in network namespace {label}: there is {}", listed(&names))
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { printable(&names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        assert_eq!(device(Namespace::Own, "lo").unwrap().ifindex, 1);
        let error = device(Namespace::Own, "nosuch").unwrap_err().to_string();
        assert!(
            error.starts_with("no device `nosuch` in network namespace") && error.contains("lo"),
            "{error}"
        );
        let error = device(Namespace::Named("nosuch"), "lo").unwrap_err().to_string();
        assert!(error.starts_with("no network namespace `nosuch`: there is "), "{error}");
    }
}
