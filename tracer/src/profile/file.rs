//! A profile as a TOML file. An error names the file, the line, the key, and what was expected there.

use std::ops::Range;

use anyhow::{Error, Result, anyhow};
use serde::Deserialize;
use toml::Spanned;

use super::{Definition, check_name, hook::Place};

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
struct Written {
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
        let file = File { text, shown };
        let written: Written = toml::from_str(text).map_err(|error| file.unread(&error))?;
        if written.hop.is_empty() {
            return Err(anyhow!("{shown}: it has no [[hop]]: give at least one, with name and hook"));
        }
        let mut hops: Vec<Definition> = Vec::new();
        for hop in written.hop {
            let line = hop.name.span();
            let hop = file.definition(hop, origin)?;
            if hops.iter().any(|other| other.name == hop.name) {
                return Err(file.wrong(&line, "name", &anyhow!("hop {} is defined twice", hop.name)));
            }
            hops.push(hop);
        }
        Ok(Profile { name: written.name, description: written.description, hops })
    }
}

/// What an error needs to tell where it is.
struct File<'a> {
    text: &'a str,
    shown: &'a str,
}

impl File<'_> {
    fn definition(&self, hop: WrittenHop, origin: &str) -> Result<Definition> {
        let WrittenHop { name, hook, describe, optional } = hop;
        check_name(name.get_ref()).map_err(|error| self.wrong(&name.span(), "name", &error))?;
        let span = hook.span();
        let written = match hook.into_inner() {
            Hooks::One(hook) => vec![hook],
            Hooks::Several(hooks) => hooks,
        };
        if written.is_empty() {
            let expected = anyhow!("the list is empty: give at least one \"kprobe:FUNCTION(skb=argN)\"");
            return Err(self.wrong(&span, "hook", &expected));
        }
        let places: Result<Vec<Place>> = written.iter().map(|hook| hook.parse()).collect();
        Ok(Definition {
            name: name.into_inner(),
            places: places.map_err(|error| self.wrong(&span, "hook", &error))?,
            describe,
            optional,
            origin: origin.to_owned(),
        })
    }

    fn wrong(&self, span: &Range<usize>, key: &str, error: &Error) -> Error {
        anyhow!("{}, line {}: key {key}: {error:#}", self.shown, self.line(span.start))
    }

    /// The TOML reader's own words. It names the key only where the key itself is wrong or missing.
    fn unread(&self, error: &toml::de::Error) -> Error {
        let words = error.message().replace('\n', " ");
        let Some(span) = error.span() else { return anyhow!("{}: {words}", self.shown) };
        let number = self.line(span.start);
        let line = self.text.lines().nth(number - 1).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !words.contains(*key));
        let key = key.map_or(String::new(), |key| format!(" key {key}:"));
        anyhow!("{}, line {number}:{key} {words}", self.shown)
    }

    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
    }
}
