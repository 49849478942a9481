//! What a recording's header says of each tap: what lies behind it, and which hops are served for its frames.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::{
    loss::{Between, TapFacts},
    per_hop::PerHop,
    plan::cases_of,
    recording::{Choice, DeviceSlot, Header, PlannedHop},
    topology::{SwitchKind, Tap, Vm},
};

/// Each tap, by its slot.
pub(super) fn facts(header: &Header) -> BTreeMap<u8, TapFacts> {
    let of_tap = |vm: &Vm, tap: &Tap| {
        let same = |slot: &&DeviceSlot| {
            slot.device.netns == tap.device.netns && slot.device.ifindex == tap.device.ifindex
        };
        let slot = header.devices.iter().find(same)?.slot;
        Some((slot, TapFacts { behind: behind(tap), served: served(header, vm, tap) }))
    };
    let taps = header.topology.vms.iter().flat_map(|vm| vm.taps.iter().map(move |tap| (vm, tap)));
    taps.filter_map(|(vm, tap)| of_tap(vm, tap)).collect()
}

/// The VM of each tap, by its slot.
pub(crate) fn vms(header: &Header) -> FxHashMap<u8, usize> {
    let slot_of = |tap: &Tap| {
        let place = (tap.device.netns, tap.device.ifindex);
        let same = |slot: &&DeviceSlot| (slot.device.netns, slot.device.ifindex) == place;
        header.devices.iter().find(same).map(|slot| slot.slot)
    };
    let vms = header.topology.vms.iter().enumerate();
    vms.flat_map(|(vm, entry)| {
        entry.taps.iter().filter_map(slot_of).map(move |slot| (slot, vm)).collect::<Vec<_>>()
    })
    .collect()
}

fn behind(tap: &Tap) -> Option<Between> {
    let switch = tap.switch.as_ref().map(|switch| switch.kind);
    match switch {
        _ if tap.routed => Some(Between::Route),
        Some(SwitchKind::Bridge | SwitchKind::Ovs) => Some(Between::Switch),
        Some(SwitchKind::Route) => Some(Between::Route),
        Some(SwitchKind::Macvtap) | None => None,
    }
}

fn served(header: &Header, vm: &Vm, tap: &Tap) -> PerHop<bool> {
    let cases: Vec<&str> = cases_of(vm, tap).into_iter().map(|case| case.describe()).collect();
    let mut served = PerHop::default();
    for planned in &header.plan {
        if let Some(hop) = header.hop(&planned.hop) {
            served[hop as usize] = is_served(planned, &cases);
        }
    }
    served
}

/// Whether a hop is served in every case that the tap may be: whether vhost or the VMM serves a queue is not known
/// where a VM has vhost's threads, and a hop that is served in one of the two is not relied on.
fn is_served(planned: &PlannedHop, cases: &[&str]) -> bool {
    let mine: Vec<&Choice> =
        planned.choices.iter().filter(|choice| cases.contains(&choice.case.as_str())).collect();
    if planned.choices.is_empty() {
        // Of the user's, by XDP, or of a recording that does not tell cases apart.
        return !planned.hooks.is_empty();
    }
    let by_case = |case: &str| mine.iter().any(|choice| choice.case == case && !choice.hooks.is_empty());
    !mine.is_empty() && mine.iter().all(|choice| by_case(&choice.case))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(case: &str, hooks: &[&str]) -> Choice {
        let hooks = hooks.iter().map(|hook| (*hook).to_owned()).collect();
        Choice { case: case.to_owned(), hooks, passed_over: Vec::new() }
    }

    #[test]
    fn a_hop_is_relied_on_where_it_is_served_in_every_case_that_may_be() {
        let planned = |choices: Vec<Choice>| PlannedHop {
            hop: "tap.write".to_owned(),
            hooks: choices.iter().flat_map(|choice| choice.hooks.clone()).collect(),
            unserved: None,
            choices,
        };
        let both = ["tap served by vhost", "tap served by the VMM"];
        let vmm_only = planned(vec![choice(both[0], &[]), choice(both[1], &["raw_tp:sys_enter"])]);
        assert!(!is_served(&vmm_only, &both));
        assert!(is_served(&vmm_only, &both[1..]));
        assert!(!is_served(&vmm_only, &["guest on KVM"]));
        let versions = planned(vec![choice("routed", &["fentry:ip_forward"]), choice("routed", &[])]);
        assert!(is_served(&versions, &["routed"]));
        assert!(is_served(&PlannedHop { hooks: vec!["xdp".to_owned()], ..planned(Vec::new()) }, &both));
    }
}
