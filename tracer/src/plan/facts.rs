//! What the plan depends on: what this kernel offers, and what the traced VMs need.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    plan::{
        catalog::{Attach, Program},
        chains::Case,
    },
    topology::{Device, DeviceKind, SwitchKind, Tap, ThreadRole, Vm},
};

/// What this kernel offers of what the catalog names, and the cases of the traced VMs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Tracepoints by name.
    pub tracepoints: BTreeMap<String, Tracepoint>,
    /// Functions by name.
    pub functions: BTreeMap<String, Function>,
    /// Of functions asked for that this kernel does not have: those of similar names.
    pub similar: BTreeMap<String, Vec<String>>,
    /// Why no program can see a frame, whatever it is attached to; none where they can.
    pub no_reading: Option<String>,
    /// Why no function can be kprobed; none where they can.
    pub no_kprobes: Option<String>,
    /// Why fentry cannot be used; none where it can.
    pub no_fentry: Option<String>,
    /// Cases that the traced VMs are.
    pub cases: BTreeSet<Case>,
}

/// A tracepoint of this kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracepoint {
    /// Whether it is in the BTF of vmlinux, and so can be used with types.
    pub typed: bool,
    /// Types of its arguments, where BTF tells.
    pub parameters: Option<Vec<String>>,
}

/// A function of this kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Module that it is in; none for vmlinux.
    pub module: Option<String>,
    /// Types of its arguments, where BTF tells.
    pub parameters: Option<Vec<String>>,
}

impl Facts {
    /// Adds the cases of these VMs.
    pub fn with_vms(mut self, vms: &[&Vm]) -> Facts {
        self.cases.extend(cases_of_all(vms));
        self
    }

    /// Whether this kernel has what `program` attaches to, as the program expects it.
    ///
    /// # Errors
    /// Why not, in a few words.
    pub fn offers(&self, program: &Program) -> Result<(), String> {
        if let Some(why) = &self.no_reading {
            return Err(why.clone());
        }
        match program.attach {
            Attach::TpBtf(name) => match self.tracepoints.get(name) {
                Some(found) if found.typed => matches(program, found.parameters.as_deref()),
                _ => Err("not in the kernel's BTF".to_owned()),
            },
            Attach::RawTracepoint(name) => match self.tracepoints.get(name) {
                Some(found) => matches(program, found.parameters.as_deref()),
                None => Err(format!("no such tracepoint{}", module_hint(name))),
            },
            Attach::Fentry(name) => {
                if let Some(why) = &self.no_fentry {
                    return Err(why.clone());
                }
                match self.functions.get(name) {
                    Some(Function { module: None, parameters: Some(parameters) }) => {
                        matches(program, Some(parameters))
                    }
                    Some(Function { module: None, .. }) => Err("not in the kernel's BTF".to_owned()),
                    Some(_) => Err("in a module".to_owned()),
                    None => Err("no such function".to_owned()),
                }
            }
            Attach::Kprobe(name) => {
                if let Some(why) = &self.no_kprobes {
                    return Err(why.clone());
                }
                match self.functions.get(name) {
                    Some(found) => matches(program, found.parameters.as_deref()),
                    None => Err(self.no_function(name)),
                }
            }
        }
    }

    /// That this kernel has no function of this name, and what may be meant.
    pub(super) fn no_function(&self, name: &str) -> String {
        let hint = module_hint(name);
        match self.similar.get(name).map(Vec::as_slice) {
            None | Some([]) => format!("no such function{hint}"),
            Some(similar) => format!("no such function{hint}; similar: {}", similar.join(", ")),
        }
    }
}

/// Most of what is missing is in a module that is not loaded.
fn module_hint(name: &str) -> String {
    let module = match name {
        _ if name.starts_with("kvm_") || name == "ioeventfd_write" || name == "irqfd_wakeup" => "kvm",
        _ if name.starts_with("vhost_") || name.starts_with("handle_tx") => "vhost_net",
        _ if name.starts_with("tun_") => "tun",
        _ if name.starts_with("tap_") => "macvtap",
        _ if name.starts_with("macvlan_") => "macvlan",
        _ if name.starts_with("VNet") => "vmnet",
        _ if name.starts_with("br_") => "bridge",
        _ if name.starts_with("ovs_") => "openvswitch",
        _ => return String::new(),
    };
    format!(": module {module} is not loaded, or built without it")
}

/// Whether the arguments that the program reads are where it expects them.
fn matches(program: &Program, parameters: Option<&[String]>) -> Result<(), String> {
    let Some(parameters) = parameters else { return Ok(()) };
    let differs = |(number, expected): (usize, &str)| {
        let expected = expected.trim();
        expected != "_"
            && !expected.is_empty()
            && parameters.get(number).is_none_or(|found| found != expected)
    };
    let expected = program.prototype.trim_matches(['(', ')']);
    match expected.split(',').enumerate().any(differs) {
        false => Ok(()),
        true => Err(format!("its prototype is ({}), not {}", parameters.join(", "), program.prototype)),
    }
}

/// The cases that these VMs are, together.
pub fn cases_of_all(vms: &[&Vm]) -> BTreeSet<Case> {
    let mut cases = BTreeSet::from([Case::Any]);
    for vm in vms {
        cases.insert(if vm.kvm { Case::Kvm } else { Case::Emulated });
        cases.extend(vm.taps.iter().flat_map(|tap| cases_of(vm, tap)));
    }
    cases
}

/// The cases that a VM's frames through a tap are.
pub fn cases_of(vm: &Vm, tap: &Tap) -> Vec<Case> {
    let mut cases = vec![Case::Any, if vm.kvm { Case::Kvm } else { Case::Emulated }];
    let macvtap = tap.device.kind == DeviceKind::Macvtap;
    // A VM may have devices of both kinds: the hooks of what it has not are silent.
    cases.extend(match macvtap {
        true => [Case::Macvtap, Case::VmmMacvtap],
        false => [Case::Tap, Case::VmmTap],
    });
    if vm.threads.iter().any(|thread| thread.role == ThreadRole::Vhost) {
        cases.push(if macvtap { Case::VhostMacvtap } else { Case::VhostTap });
    }
    match tap.switch.as_ref().map(|switch| switch.kind) {
        Some(SwitchKind::Bridge) => cases.push(Case::Bridge),
        Some(SwitchKind::Ovs) => cases.push(Case::Ovs),
        Some(SwitchKind::Route) => cases.push(Case::Routed),
        Some(SwitchKind::Macvtap) | None => {}
    }
    if tap.routed {
        cases.push(Case::Routed);
    }
    if tap.nics.iter().any(|nic: &Device| !nic.irqs.is_empty()) {
        cases.push(Case::NicIrq);
    }
    cases
}
