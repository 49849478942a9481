//! A profile as a TOML file. An error names the file, the line, the key, and what was expected there.

use anyhow::{Result, anyhow};
use serde::Deserialize;
use toml::Spanned;

use super::{Definition, check_name, hook::Place};
use crate::written::Written;

/// A set of hops for something that vmhop does not know by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its hops.
    pub hops: Vec<Definition>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProfile {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    hop: Vec<WrittenHop>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHop {
    name: Spanned<String>,
    hook: Spanned<Hooks>,
    #[serde(default)]
    describe: String,
    #[serde(default)]
    optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"kprobe:FUNCTION(skb=argN)\", or a list of such, the best first")]
enum Hooks {
    One(String),
    Several(Vec<String>),
}

impl Profile {
    /// Reads a profile. `shown` is what errors call the file, `origin` what its hops say of where they are from.
    ///
    /// # Errors
    /// What is wrong, and where, on one line.
    pub fn parse(text: &str, shown: &str, origin: &str) -> Result<Profile> {
        let file = Written { text, shown };
        let written: WrittenProfile = file.read()?;
        if written.hop.is_empty() {
            return Err(anyhow!("{shown}: it has no [[hop]]: give at least one, with name and hook"));
        }
        let mut hops: Vec<Definition> = Vec::new();
        for hop in written.hop {
            let line = hop.name.span();
            let hop = definition(&file, hop, origin)?;
            if hops.iter().any(|other| other.name == hop.name) {
                return Err(file.wrong(&line, "name", &anyhow!("hop {} is defined twice", hop.name)));
            }
            hops.push(hop);
        }
        Ok(Profile { name: written.name, description: written.description, hops })
    }
}

/// The hop that was written, checked.
fn definition(file: &Written<'_>, hop: WrittenHop, origin: &str) -> Result<Definition> {
    let WrittenHop { name, hook, describe, optional } = hop;
    check_name(name.get_ref()).map_err(|error| file.wrong(&name.span(), "name", &error))?;
    let span = hook.span();
    let written = match hook.into_inner() {
        Hooks::One(hook) => vec![hook],
        Hooks::Several(hooks) => hooks,
    };
    if written.is_empty() {
        let expected = anyhow!("the list is empty: give at least one \"kprobe:FUNCTION(skb=argN)\"");
        return Err(file.wrong(&span, "hook", &expected));
    }
    let places: Result<Vec<Place>> = written.iter().map(|hook| hook.parse()).collect();
    Ok(Definition {
        name: name.into_inner(),
        places: places.map_err(|error| file.wrong(&span, "hook", &error))?,
        describe,
        optional,
        origin: origin.to_owned(),
    })
}
