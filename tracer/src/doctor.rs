//! What this host can trace: the checks, and the hook that serves each hop.
//!
//! Not in here: judging (`preflight`, `plan`), showing (`export::doctor`).

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use tracer_common::hop::Hop;

use crate::{
    plan::{Facts, Plan, REPORTED_HOPS, Wishes, btf::KernelBtf, chains::Case, user},
    preflight::{self, Check, System},
    probe::{self, Trial},
    profile::Definition,
    recording::{Choice, Host, PlannedHop},
    selftest::{self, Row, State},
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
    /// What came of the self-test, hook by hook; none where none was asked for, or it could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_test: Option<Vec<Row>>,
    /// Why the self-test could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_test_failed: Option<String>,
}

impl Diagnosis {
    /// Whether the self-test has found a hook that is silent, or could not be made.
    pub fn is_doubtful(&self) -> bool {
        let silent = |row: &Row| row.state == State::Silent;
        self.self_test_failed.is_some() || self.self_test.iter().flatten().any(silent)
    }
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
    /// What was chosen in each case, and what was passed over for it.
    pub choices: Vec<Choice>,
}

/// Looks at this host, and whether these hops of the user's own can be served. What this user may not look at is
/// told as not checked. With a self-test, if all else is well. `btf` names a file with the kernel's BTF, where it is
/// not the kernel's own.
pub fn diagnose(btf: Option<&Path>, own: &[Definition], self_test: bool) -> Diagnosis {
    let mut checks = preflight::checks(&System::read(), btf.is_some());
    let topology = Topology::discover().map_err(|error| format!("{error:#}"));
    let vms: &[Vm] = topology.as_ref().map_or(&[], |topology| &topology.vms);
    let names: Vec<String> = vms.iter().map(|vm| vm.name.clone()).collect();
    let may_try = !checks.iter().any(Check::prevents);
    let found = KernelBtf::load(btf).and_then(|btf| Ok((plan(&btf, vms, own)?, btf)));
    let mut tested = None;
    let (trials, hops) = match found {
        Ok(((mut plan, refused), btf)) => {
            let trials = may_try.then(|| try_out(&btf, &mut plan));
            let planned = plan.hops().into_iter().map(|hop| HopState::of(hop, own));
            let (why, judged) =
                refused.map_or((None, Vec::new()), |refused| (Some(refused.why), refused.hops));
            checks.extend(preflight::own_hops(own, &plan, why));
            let hops = planned.chain(judged).collect();
            tested = Some(plan);
            (trials, hops)
        }
        Err(error) => (None, unknown_hops(&format!("not known: {error:#}"))),
    };
    checks.extend(preflight::programs(trials.as_ref()));
    checks.push(preflight::vms(topology.as_ref().map(|_| names.as_slice()).map_err(String::as_str)));
    let can_record = !checks.iter().any(Check::prevents);
    let tested = tested.filter(|_| self_test && can_record);
    let tested = tested.map(|plan| KernelBtf::load(btf).and_then(|btf| selftest::run(&btf, &plan, own)));
    let (self_test, self_test_failed) = match tested {
        None => (None, None),
        Some(Ok(rows)) => (Some(rows), None),
        Some(Err(error)) => (None, Some(format!("{error:#}"))),
    };
    Diagnosis { host: Host::here(), can_record, checks, vms: names, hops, self_test, self_test_failed }
}

/// The plan for the VMs found; without one, for VMs of every kind. Where the user's own hops cannot be, the plan is
/// without them, with the reason, and what is known of each.
fn plan(btf: &KernelBtf, vms: &[Vm], own: &[Definition]) -> Result<(Plan, Option<Refused>)> {
    let wishes = Wishes { user_hops: own.to_vec(), ..Wishes::default() };
    let mut facts = btf.facts(&wishes.functions());
    match vms {
        [] => facts.cases.extend(Case::ALL),
        vms => facts = facts.with_vms(&vms.iter().collect::<Vec<_>>()),
    }
    match Plan::new(&facts, &wishes) {
        Ok(plan) => Ok((plan, None)),
        Err(error) if own.is_empty() => Err(error),
        Err(error) => {
            let hops = own.iter().map(|hop| HopState::judged(hop, &facts)).collect();
            Ok((Plan::new(&facts, &Wishes::default())?, Some(Refused { why: error.to_string(), hops })))
        }
    }
}

/// Hops of the user's own that a recording would not start with.
struct Refused {
    why: String,
    hops: Vec<HopState>,
}

fn try_out(btf: &KernelBtf, plan: &mut Plan) -> Result<Vec<Trial>, String> {
    let trials = btf.offsets().and_then(|offsets| probe::try_out(plan, &offsets));
    trials.map_err(|error| format!("{error:#}"))
}

fn unknown_hops(reason: &str) -> Vec<HopState> {
    let unknown = |hop: &Hop| HopState {
        hop: hop.name().to_owned(),
        describe: hop.describe().to_owned(),
        hooks: Vec::new(),
        unserved: Some(reason.to_owned()),
        choices: Vec::new(),
    };
    REPORTED_HOPS.iter().map(unknown).collect()
}

impl HopState {
    fn of(PlannedHop { hop, hooks, unserved, choices }: PlannedHop, own: &[Definition]) -> HopState {
        let by_user = own.iter().find(|known| known.name == hop).map(|known| known.describe.clone());
        let describe = || Hop::from_name(&hop).map_or("", Hop::describe).to_owned();
        HopState { describe: by_user.unwrap_or_else(describe), hop, hooks, unserved, choices }
    }

    /// A hop of the user's by itself, whatever is wrong with the others.
    fn judged(own: &Definition, facts: &Facts) -> HopState {
        let judged = user::judge(own, facts);
        HopState {
            hop: own.name.clone(),
            describe: own.describe.clone(),
            hooks: judged.iter().map(|(hop, _)| format!("kprobe:{}", hop.function)).collect(),
            unserved: judged.err(),
            choices: Vec::new(),
        }
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
}
