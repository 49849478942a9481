//! From what a person typed (`--vm NAME|PID|TAP`) to a VM.

use thiserror::Error;

use super::{
    model::{Topology, Vm},
    text::printable,
};

/// Why a selector stands for no VM.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// Nothing has this name, PID or tap.
    #[error("no VM, PID or tap `{selector}`: {}", existing(known))]
    NotFound {
        /// What was typed.
        selector: String,
        /// The VMs that exist, each with its PID and taps.
        known: Vec<String>,
    },
    /// Several VMs have this name, or a tap of it in different namespaces.
    #[error("`{selector}` stands for {} VMs: {}; use the PID", candidates.len(), candidates.join("; "))]
    Ambiguous {
        /// What was typed.
        selector: String,
        /// The VMs it may stand for, each with its PID and taps.
        candidates: Vec<String>,
    },
}

impl Vm {
    /// Whether this is its PID, its name, or the name of one of its taps.
    pub fn answers_to(&self, selector: &str) -> bool {
        selector.parse() == Ok(self.pid)
            || self.name == selector
            || self.taps.iter().any(|tap| tap.device.name == selector)
    }
}

impl Topology {
    /// The VM of this name or PID, or that holds a tap of this name.
    pub fn find(&self, selector: &str) -> Result<&Vm, SelectError> {
        // A PID is the way out of an ambiguous name, so it comes before any name.
        if let Ok(pid) = selector.parse::<i32>()
            && let Some(vm) = self.vms.iter().find(|vm| vm.pid == pid)
        {
            return Ok(vm);
        }
        let matches: Vec<&Vm> = self
            .vms
            .iter()
            .filter(|vm| vm.name == selector || vm.taps.iter().any(|tap| tap.device.name == selector))
            .collect();
        match matches[..] {
            [vm] => Ok(vm),
            [] => Err(SelectError::NotFound {
                selector: selector.to_owned(),
                known: self.vms.iter().map(described).collect(),
            }),
            _ => Err(SelectError::Ambiguous {
                selector: selector.to_owned(),
                candidates: matches.into_iter().map(described).collect(),
            }),
        }
    }
}

fn described(vm: &Vm) -> String {
    let taps: Vec<_> = vm
        .taps
        .iter()
        .map(|tap| format!("tap {} in {}", tap.device.name, tap.device.netns_label()))
        .collect();
    printable(&format!("{} (PID {}, {})", vm.name, vm.pid, taps.join(", ")))
}

fn existing(known: &[String]) -> String {
    if known.is_empty() {
        return "no process holds a tap; start a VM with one, or the lab with `vmhop lab up`".to_owned();
    }
    format!("there is {}; `vmhop topology` shows them", known.join("; "))
}
