//! What this host can trace: the checks, and the hook that serves each hop.
//!
//! Not in here: judging (`preflight`, `plan`), showing (`export::doctor`).

use serde::Serialize;
use tracer_common::hop::Hop;

use crate::{
    plan::{Facts, Plan, REPORTED_HOPS, XdpMode, btf::KernelBtf},
    preflight::{self, Check, System},
    probe::{self, Trial},
    recording::{Host, PlannedHop},
    topology::{Topology, Vm},
};

/// What `vmhop doctor` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// This machine.
    pub host: Host,
    /// Whether anything can be recorded here.
    pub can_record: bool,
    /// What recording depends on, the gravest first.
    pub checks: Vec<Check>,
    /// Names of the VMs that the plan is for; none: it is for a VM on KVM behind a NIC of hardware.
    pub vms: Vec<String>,
    /// Each hop with what serves it.
    pub hops: Vec<HopState>,
}

/// What serves one hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HopState {
    /// Name of the hop.
    pub hop: String,
    /// What its time stamp means.
    pub describe: String,
    /// Hooks that serve it, first choice first.
    pub hooks: Vec<String>,
    /// Why none serves it, and what would help.
    pub unserved: Option<String>,
}

/// Looks at this host. What this user may not look at is told as not checked.
pub fn diagnose() -> Diagnosis {
    let mut checks = preflight::checks(&System::read());
    let topology = Topology::discover().map_err(|error| format!("{error:#}"));
    let vms: &[Vm] = topology.as_ref().map_or(&[], |topology| &topology.vms);
    let names: Vec<String> = vms.iter().map(|vm| vm.name.clone()).collect();
    let may_try = !checks.iter().any(Check::prevents);
    let (trials, hops) = match KernelBtf::load() {
        Ok(btf) => {
            let mut plan = Plan::new(&facts(&btf, vms), XdpMode::Auto);
            let trials = may_try.then(|| try_load(&btf, &plan));
            refuse(&mut plan, trials.as_ref());
            (trials, plan.hops().into_iter().map(HopState::from).collect())
        }
        Err(error) => (None, unknown_hops(&format!("not known: {error:#}"))),
    };
    checks.extend(preflight::programs(trials.as_ref()));
    checks.push(preflight::vms(topology.as_ref().map(|_| names.as_slice()).map_err(String::as_str)));
    let can_record = !checks.iter().any(Check::prevents);
    Diagnosis { host: Host::here(), can_record, checks, vms: names, hops }
}

/// The facts for the VMs found; without one, for a VM that shows all that this kernel has to show.
fn facts(btf: &KernelBtf, vms: &[Vm]) -> Facts {
    let facts = btf.facts();
    if vms.is_empty() {
        let kvm_guest = facts.kvm;
        return Facts { kvm_guest, emulated_guest: !kvm_guest, nic_irq: true, ..facts };
    }
    facts.with_vms(&vms.iter().collect::<Vec<_>>())
}

fn try_load(btf: &KernelBtf, plan: &Plan) -> Result<Vec<Trial>, String> {
    let trials = btf.offsets().and_then(|offsets| probe::try_load(plan, &offsets));
    trials.map_err(|error| format!("{error:#}"))
}

/// Takes out of the plan what the kernel refused.
fn refuse(plan: &mut Plan, trials: Option<&Result<Vec<Trial>, String>>) {
    let Some(Ok(trials)) = trials else { return };
    for program in plan.programs.clone() {
        let trial = trials.iter().find(|trial| trial.program == program.name);
        if let Some(reason) = trial.and_then(|trial| trial.refused.as_ref()) {
            plan.fail(program, reason);
        }
    }
}

fn unknown_hops(reason: &str) -> Vec<HopState> {
    let unknown = |hop: &Hop| HopState {
        hop: hop.name().to_owned(),
        describe: hop.describe().to_owned(),
        hooks: Vec::new(),
        unserved: Some(reason.to_owned()),
    };
    REPORTED_HOPS.iter().map(unknown).collect()
}

impl From<PlannedHop> for HopState {
    fn from(PlannedHop { hop, hooks, unserved }: PlannedHop) -> HopState {
        let describe = Hop::from_name(&hop).map_or("", Hop::describe).to_owned();
        HopState { hop, describe, hooks, unserved }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_type_information_no_hop_is_promised() {
        let hops = unknown_hops("not known: no BTF");
        assert_eq!(hops.len(), REPORTED_HOPS.len());
        assert!(hops.iter().all(|hop| hop.hooks.is_empty() && hop.unserved.is_some()));
    }

    #[test]
    fn a_refused_program_is_out_of_the_plan() {
        let tracepoints = vec!["net_dev_queue".to_owned(), "sched_switch".to_owned()];
        let mut plan = Plan::new(&Facts { tracepoints, ..Facts::default() }, XdpMode::Auto);
        let trial = |program: &'static crate::plan::catalog::Program, refused: Option<&str>| Trial {
            program: program.name,
            hook: program.hook,
            refused: refused.map(str::to_owned),
        };
        let trials = vec![trial(plan.programs[0], Some("EACCES: bad")), trial(plan.programs[1], None)];
        refuse(&mut plan, Some(&Ok(trials)));
        let hops: Vec<HopState> = plan.hops().into_iter().map(HopState::from).collect();
        let find = |name: &str| hops.iter().find(|hop| hop.hop == name).unwrap();
        assert!(find("nic.queue").unserved.as_ref().unwrap().contains("EACCES: bad"));
        assert_eq!(find("vmm.wake").hooks, ["tp_btf:sched_switch"]);
        assert_eq!(find("vmm.wake").describe, "VMM or vhost thread gets the CPU");
    }
}
