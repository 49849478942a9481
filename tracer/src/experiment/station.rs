//! Where a workload's commands run: on this machine, in a lab, or where ssh gets to.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A station of an experiment that is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Station {
    /// Its name in the experiment.
    pub(super) name: String,
    /// What it is to the host that is traced.
    pub(super) role: Role,
    /// How a command gets there.
    pub(super) reach: Reach,
    /// Its addresses, the one that others send to first.
    pub(super) addresses: Vec<IpAddr>,
    /// Of a guest: its VM, as `vmhop record --vm` takes it.
    pub(super) vm: Option<String>,
}

/// What a station is to the host that is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Guest,
    Host,
    Peer,
}

/// How a command gets to a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It runs here.
    Here,
    /// In a lab of this name, at this place.
    Lab { vmhop: PathBuf, lab: String, place: String },
    /// By ssh, which asks for no password; with a file of settings, or the user's.
    Ssh { destination: String, config: Option<String> },
}

impl Reach {
    /// The words that run a command there.
    ///
    /// # Errors
    /// A word that no shell can be told.
    pub(super) fn command(&self, words: &[String]) -> Result<Vec<String>> {
        let front: Vec<String> = match self {
            Reach::Here => return Ok(words.to_vec()),
            Reach::Lab { vmhop, lab, place } => {
                let vmhop = vmhop.display().to_string();
                [&vmhop, "lab", "exec", "--name", lab, place, "--"].map(str::to_owned).to_vec()
            }
            Reach::Ssh { destination, config } => {
                let quoted = shlex::try_join(words.iter().map(String::as_str));
                let quoted = quoted.with_context(|| format!("failed to quote {words:?} for ssh"))?;
                let options =
                    ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5"];
                let front = options.map(str::to_owned).to_vec();
                let config = config.iter().flat_map(|file| ["-F".to_owned(), file.clone()]).collect();
                return Ok([front, config, vec![destination.clone(), "--".to_owned(), quoted]].concat());
            }
        };
        Ok([front, words.to_vec()].concat())
    }
}

/// Words from string slices.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_for_ssh_is_one_word_that_its_shell_takes_apart_again() {
        let typed = words(&["sh", "-c", "echo $1; 'x'", "a b"]);
        let command = Reach::Ssh { destination: "root@h".to_owned(), config: None }.command(&typed).unwrap();
        let last = command.last().unwrap();
        assert_eq!(shlex::split(last).unwrap(), typed);
        assert!(command.contains(&"BatchMode=yes".to_owned()));
    }

    #[test]
    fn in_a_lab_the_words_stay_as_they_are() {
        let reach = Reach::Lab { vmhop: "/v".into(), lab: "x".to_owned(), place: "guest".to_owned() };
        let command = reach.command(&words(&["ping", "a b"])).unwrap();
        assert_eq!(command.join("|"), "/v|lab|exec|--name|x|guest|--|ping|a b");
    }
}
