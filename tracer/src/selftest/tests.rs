use std::collections::BTreeSet;

use tracer_common::hop::{Hook, Hop};

use super::{judge::rows, network::Way, *};
use crate::plan::{Facts, Function, Tracepoint, chains::Case};

/// A plan for the test's own cases on a kernel that has just these.
fn plan(wishes: &Wishes) -> Plan {
    let mut facts = Facts {
        cases: BTreeSet::from([Case::Any, Case::Kvm, Case::Tap, Case::VmmTap, Case::Bridge]),
        ..Facts::default()
    };
    for function in ["tun_chr_write_iter", "br_handle_frame"] {
        facts.functions.insert(function.to_owned(), Function::default());
    }
    for name in ["sys_enter", "netif_receive_skb", "kvm_entry", "napi_gro_receive_entry", "netif_rx"] {
        facts.tracepoints.insert(name.to_owned(), Tracepoint { typed: true, parameters: None });
    }
    Plan::new(&facts, wishes).unwrap()
}

fn tested(wishes: &Wishes, fired: &[(Hop, Hook)]) -> Tested {
    let fired = Fired(fired.iter().map(|&place| (place, 7)).collect());
    Tested { plan: plan(wishes), fired, ipv6: true }
}

fn find(rows: &[Row], hop: &str) -> Row {
    rows.iter().find(|row| row.hop == hop).unwrap().clone()
}

const FIRE: [(Hop, Hook); 3] = [
    (Hop::TapRx, Hook::NetifReceiveSkb),
    (Hop::NicStack, Hook::NetifReceiveSkb),
    (Hop::NicRx, Hook::NetifRx),
];

#[test]
fn a_hook_fired_was_silent_or_was_not_exercised() {
    let rows = rows(&plan(&Wishes::default()), &tested(&Wishes::default(), &FIRE), &[]);
    assert_eq!((find(&rows, "tap.rx").state, find(&rows, "tap.rx").fired), (State::Fired, Some(7)));
    assert_eq!((find(&rows, "bridge.in").state, find(&rows, "bridge.in").fired), (State::Silent, Some(0)));
    let vcpu = find(&rows, "vcpu.enter");
    assert_eq!((vcpu.state, vcpu.fired), (State::NotExercised, None));
    assert!(vcpu.why.unwrap().contains("a guest on KVM"));
    let napi = find(&rows, "nic.rx");
    assert_eq!((napi.hook.as_str(), napi.state), ("tp_btf:napi_gro_receive_entry", State::NotExercised));
}

#[test]
fn a_way_that_could_not_be_made_is_not_exercised_and_says_why() {
    let left_out = [(Way::Bridge, "no module bridge".to_owned())];
    let rows = rows(&plan(&Wishes::default()), &tested(&Wishes::default(), &FIRE), &left_out);
    assert!(find(&rows, "bridge.in").why.unwrap().contains("no module bridge"));
    // The routed tap is one as well.
    assert_eq!(find(&rows, "tap.rx").state, State::Fired);
}

#[test]
fn of_a_silent_hook_one_that_fires_in_its_place_is_looked_for() {
    let wishes = Wishes::default();
    let first = tested(&wishes, &FIRE);
    let mut found = rows(&plan(&wishes), &first, &[]);
    let mut asked = Vec::new();
    let mut round = |wishes: &Wishes| {
        asked.extend(wishes.hooks.clone());
        Ok(tested(wishes, &[(Hop::TapWrite, Hook::SysEnter)]))
    };
    try_others(&mut found, &first, &mut round).unwrap();
    assert_eq!(asked, [(Hop::TapWrite, Hook::SysEnter)]);
    let write = find(&found, "tap.write");
    assert_eq!(write.state, State::Silent);
    assert!(write.why.unwrap().contains("record with --hook tap.write=raw_tp:sys_enter, which fires"));
    assert!(find(&found, "bridge.in").why.unwrap().contains("no other hook for it fires here"));
}

#[test]
fn the_test_runs_on_this_kernel_and_leaves_nothing() {
    if !geteuid().is_root() {
        return;
    }
    let devices = || std::fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let before = devices();
    let network = Network::make().unwrap();
    let btf = KernelBtf::load(None).unwrap();
    let planned = Plan::new(&Facts::default(), &Wishes::default()).unwrap();
    let tested = trace::round(&btf, &network, &Wishes::default(), &planned).unwrap();
    for (hop, hook) in [(Hop::TapRx, Hook::NetifReceiveSkb), (Hop::VmmReadEnd, Hook::ConsumeSkb)] {
        assert!(tested.fired.of(hop, hook) > 0, "{}: {:?}", hop.name(), tested.fired);
    }
    drop(network);
    assert_eq!(devices(), before);
}
