//! Hops of the user's own: typed as `--hop NAME=HOOK`, or from a profile, a TOML file of such hops.
//!
//! Not in here: whether this kernel has the functions they name, and whether the argument is an skb (`plan::user`).

mod file;
mod hook;
mod shipped;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use tracer_common::hop::Hop;

pub use self::{
    file::Profile,
    hook::Place,
    shipped::{SHIPPED, Shipped},
};

/// Longest name of a hop: the report's tables have to hold it.
const NAME_BYTES: usize = 32;

/// A hop that a user defined, as said: nothing of it is known to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name in the report, such as `vmnet.in`.
    pub name: String,
    /// Functions that can serve it, the best first: one kernel has this one, another that.
    pub places: Vec<Place>,
    /// What its time stamp means, in a few words.
    pub describe: String,
    /// Whether it may be missing.
    pub optional: bool,
    /// Who says so: `--hop`, `profile ovs`.
    pub origin: String,
}

/// Reads what was typed behind `--hop` and `--profile`.
///
/// # Errors
/// Words that are no hop, a profile that does not exist or is wrong, two hops of one name.
pub fn gather(hops: &[String], profiles: &[String]) -> Result<Vec<Definition>> {
    let mut all: Vec<Definition> = hops.iter().map(|typed| typed_hop(typed)).collect::<Result<_>>()?;
    for (number, name) in profiles.iter().enumerate() {
        if !profiles[..number].contains(name) {
            all.extend(load(name)?.hops);
        }
    }
    let mut origins: BTreeMap<&str, &str> = BTreeMap::new();
    for Definition { name, origin, .. } in &all {
        if let Some(other) = origins.insert(name, origin) {
            bail!("hop {name} is defined twice, by {other} and by {origin}: give each a name of its own");
        }
    }
    Ok(all)
}

/// Reads `NAME=kprobe:FUNCTION(skb=argN)`.
fn typed_hop(typed: &str) -> Result<Definition> {
    let (name, place) = typed.split_once('=').with_context(|| {
        format!("--hop `{typed}` is not NAME=kprobe:FUNCTION(skb=argN), such as vmnet.in=kprobe:VNetHubReceive(skb=arg1)")
    })?;
    check_name(name).with_context(|| format!("--hop `{typed}`"))?;
    let place: Place = place.parse().with_context(|| format!("--hop `{typed}`"))?;
    Ok(Definition {
        name: name.to_owned(),
        places: vec![place],
        describe: "defined by --hop".to_owned(),
        optional: false,
        origin: "--hop".to_owned(),
    })
}

/// The profile of this name, of those that vmhop has, or else in the file of this path.
///
/// # Errors
/// There is neither, or the file is no profile.
pub fn load(name: &str) -> Result<Profile> {
    if let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == name) {
        return Profile::parse(shipped.text, &format!("profile {name}"), &format!("profile {name}"));
    }
    let path = Path::new(name);
    let known: Vec<_> = SHIPPED.iter().map(|shipped| shipped.name).collect();
    ensure!(
        path.exists(),
        "--profile `{name}` is neither one of vmhop's own ({}) nor a file: `vmhop profiles` lists them",
        known.join(", ")
    );
    let text = fs::read_to_string(path).with_context(|| format!("failed to read profile {name}"))?;
    Profile::parse(&text, name, &format!("profile {name}"))
}

/// Whether a hop can be called so.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    ensure!(
        begins && name.chars().all(allowed) && name.len() <= NAME_BYTES,
        "`{name}` is no name for a hop: up to {NAME_BYTES} letters, digits, `.`, `_` and `-`, beginning with a letter"
    );
    ensure!(
        Hop::from_name(name).is_none(),
        "{name} is one of vmhop's own hops: choose another name, or choose what serves that one by --hook"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
