use super::*;
use crate::plan::{catalog::Attach, chains::Case};

/// A kernel that has everything, for VMs of these cases.
fn facts(cases: &[Case]) -> Facts {
    let mut facts = Facts { cases: cases.iter().copied().collect(), ..Facts::default() };
    for program in CATALOG {
        match program.attach {
            Attach::TpBtf(name) | Attach::RawTracepoint(name) => {
                let typed = !name.starts_with("kvm_");
                facts.tracepoints.insert(name.to_owned(), Tracepoint { typed, parameters: None });
            }
            Attach::Fentry(name) | Attach::Kprobe(name) => {
                let words = program.prototype.trim_matches(['(', ')']).split(',');
                let parameters = words.map(|word| word.trim().to_owned()).collect();
                let found = Function { module: None, parameters: Some(parameters) };
                facts.functions.insert(name.to_owned(), found);
            }
        }
    }
    facts
}

fn plan(facts: &Facts) -> Plan {
    Plan::new(facts, &Wishes::default()).unwrap()
}

#[test]
fn only_what_a_traced_vm_needs_is_attached() {
    let plan = plan(&facts(&[Case::Any, Case::Emulated, Case::Tap, Case::VmmTap, Case::Bridge]));
    assert!(plan.uses(Hook::BrHandleFrame) && plan.uses(Hook::SysEnter));
    for unused in [Hook::KvmEntry, Hook::OvsVportSend, Hook::TunSendmsg, Hook::TapHandleFrame] {
        assert!(!plan.uses(unused), "{}", unused.name());
    }
    assert!(!plan.serves(Hop::TapWrite, Hook::SysEnter));
}

#[test]
fn what_fails_moves_the_plan_down_the_chain_and_says_so() {
    let mut plan = plan(&facts(&[Case::Any, Case::Kvm, Case::Tap, Case::VmmTap, Case::Routed]));
    assert_eq!(plan.hooks(Hop::TapWrite), [Hook::TunChrWriteIter]);
    plan.fail(catalog::program(Hook::TunChrWriteIter).unwrap(), "no luck");
    assert!(plan.serves(Hop::TapWrite, Hook::SysEnter));
    plan.fail(catalog::program(Hook::FentryIpForward).unwrap(), "EPERM");
    assert_eq!(plan.hooks(Hop::IpIn), [Hook::KprobeIpForward, Hook::FentryIp6Forward]);
    plan.fail(catalog::program(Hook::KvmMsiSetIrq).unwrap(), "no luck");
    plan.fail(catalog::program(Hook::IrqfdWakeup).unwrap(), "no luck");
    plan.fail(catalog::program(Hook::VhostAddUsedAndSignalN).unwrap(), "no vhost");
    let hops = plan.hops();
    let find = |name: &str| hops.iter().find(|hop| hop.hop == name).unwrap();
    assert_eq!(find("tap.write").choices[0].passed_over[0].why, "no luck");
    assert!(
        find("vmm.irq").unserved.as_ref().unwrap().contains("kprobe:vhost_add_used_and_signal_n: no vhost")
    );
    assert!(find("bridge.in").unserved.as_ref().unwrap().contains("no traced tap"));
}

#[test]
fn a_further_hook_of_a_link_is_left_out_where_it_is_missing() {
    let mut facts = facts(&[Case::Any, Case::Kvm]);
    facts.tracepoints.remove("kvm_apicv_accept_irq");
    let plan = plan(&facts);
    assert_eq!(plan.hooks(Hop::VcpuEnter), [Hook::KvmEntry, Hook::KvmExit, Hook::KvmApicAcceptIrq]);
    let enter = plan.hops().into_iter().find(|hop| hop.hop == "vcpu.enter").unwrap();
    assert_eq!(enter.choices[0].passed_over[0].hook, "raw_tp:kvm_apicv_accept_irq");
}

#[test]
fn of_what_tells_vhosts_queues_apart_there_are_both_or_neither() {
    let mut facts = facts(&[Case::Any, Case::Kvm, Case::Tap, Case::VmmTap, Case::VhostTap]);
    assert!(plan(&facts).uses(Hook::VhostPollWakeup) && plan(&facts).uses(Hook::HandleTxKick));
    facts.functions.remove("handle_tx_kick");
    let plan = plan(&facts);
    assert!(!plan.uses(Hook::VhostPollWakeup));
    let kick = plan.hops().into_iter().find(|hop| hop.hop == "vmm.kick").unwrap();
    assert_eq!(kick.choices[0].passed_over[0].hook, "kprobe:handle_tx_kick");
}

#[test]
fn of_two_hooks_of_one_chain_one_can_be_wished_for() {
    let facts = facts(&[Case::Any, Case::Kvm, Case::Tap, Case::VmmTap, Case::VhostTap]);
    let wishes = |hooks: &[Hook]| Wishes {
        hooks: hooks.iter().map(|hook| (Hop::TapWrite, *hook)).collect(),
        ..Wishes::default()
    };
    let error = Plan::new(&facts, &wishes(&[Hook::TunChrWriteIter, Hook::SysEnter])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--hook tap.write: it is either kprobe:tun_chr_write_iter or raw_tp:sys_enter"
    );
    let mut plan = Plan::new(&facts, &wishes(&[Hook::TunSendmsg, Hook::SysEnter])).unwrap();
    plan.fail(catalog::program(Hook::SysEnter).unwrap(), "EPERM");
    assert!(plan.grants_all().unwrap_err().to_string().contains("raw_tp:sys_enter: EPERM"));
}

#[test]
fn a_changed_prototype_is_not_attached_to() {
    let mut facts = facts(&[Case::Any, Case::Bridge]);
    let changed = vec!["net *".to_owned(), "sk_buff *".to_owned()];
    facts.functions.get_mut("br_dev_queue_push_xmit").unwrap().parameters = Some(changed);
    let hops = plan(&facts).hops();
    let out = hops.iter().find(|hop| hop.hop == "bridge.out").unwrap();
    assert!(out.unserved.as_ref().unwrap().contains("its prototype is (net *, sk_buff *)"), "{out:?}");
}

#[test]
fn a_wish_is_granted_or_refused_before_anything_is_attached() {
    let facts = facts(&[Case::Any, Case::Kvm, Case::Tap, Case::VmmTap]);
    let wish = |hop, hook| Wishes { hooks: vec![(hop, hook)], ..Wishes::default() };
    let plan = Plan::new(&facts, &wish(Hop::TapWrite, Hook::SysEnter)).unwrap();
    assert!(plan.serves(Hop::TapWrite, Hook::SysEnter) && !plan.uses(Hook::TunChrWriteIter));
    let plan = Plan::new(&facts, &wish(Hop::TapRx, Hook::RawNetifReceiveSkb)).unwrap();
    assert_eq!(plan.hooks(Hop::TapRx), [Hook::RawNetifReceiveSkb]);
    assert_eq!(plan.hooks(Hop::NicStack), [Hook::NetifReceiveSkb], "another hop keeps its own");
    for (hop, hook, says) in [
        (Hop::BridgeIn, Hook::BrHandleFrame, "no traced tap is a port"),
        (Hop::TapWrite, Hook::TunSendmsg, "does not serve this hop here"),
    ] {
        let error = Plan::new(&facts, &wish(hop, hook)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut without = facts.clone();
    without.no_kprobes = Some("this kernel has no kprobes".to_owned());
    let error = Plan::new(&without, &wish(Hop::VmmKick, Hook::IoeventfdWrite)).unwrap_err().to_string();
    assert!(error.contains("no kprobes"), "{error}");
}

#[test]
fn where_kernel_memory_is_confidential_nothing_is_served_and_each_hop_says_why() {
    let facts = Facts { no_reading: Some("lockdown".to_owned()), ..facts(Case::ALL) };
    let plan = plan(&facts);
    assert!(plan.programs().is_empty());
    for hop in plan.hops() {
        let why = hop.unserved.unwrap();
        assert!(why.contains("lockdown") || hop.hop == Hop::NicHw.name(), "{}: {why}", hop.hop);
    }
}

#[test]
fn without_types_of_its_own_a_kernel_is_traced_by_raw_tracepoints() {
    let mut facts = facts(&[Case::Any, Case::Tap]);
    facts.tracepoints.values_mut().for_each(|found| found.typed = false);
    assert!(plan(&facts).programs().iter().all(|program| !matches!(program.attach, Attach::TpBtf(_))));
    assert_eq!(plan(&facts).hooks(Hop::TapRx), [Hook::RawNetifReceiveSkb]);
}

/// All hops but these are left out.
fn only(facts: &Facts, hops: &[Hop]) -> Plan {
    Plan::new(facts, &Wishes { only: hops.to_vec(), ..Wishes::default() }).unwrap()
}

#[test]
fn hops_that_are_not_asked_for_have_no_programs() {
    let facts = facts(&[Case::Any, Case::Emulated, Case::Tap, Case::VmmTap, Case::Bridge]);
    let plan = only(&facts, &[Hop::TapRx, Hop::NicQueue, Hop::NicXmit]);
    let names: Vec<_> = plan.programs().iter().map(|program| program.name).collect();
    assert_eq!(names, ["netif_receive_skb", "net_dev_queue", "net_dev_start_xmit"]);
    let hops = plan.hops();
    let find = |name: &str| hops.iter().find(|hop| hop.hop == name).unwrap();
    for left_out in ["vmm.kick", "tap.write", "bridge.in", "nic.done", "vmm.read.end", "vcpu.enter"] {
        assert_eq!(find(left_out).unserved.as_deref(), Some("left out by --hops"), "{left_out}");
    }
    // Of the same programs, so their events come.
    assert_eq!(find("nic.stack").hooks, ["tp_btf:netif_receive_skb"]);
    assert_eq!(find("tap.ring").hooks, ["tp_btf:net_dev_start_xmit"]);
    assert!(only(&facts, &[Hop::SkbDrop]).uses(Hook::KfreeSkb));
}

#[test]
fn of_a_link_of_several_hooks_only_the_attached_ones_come_along() {
    let plan = only(&facts(&[Case::Any, Case::Tap]), &[Hop::NicRx]);
    assert_eq!(plan.hooks(Hop::NicRx), [Hook::NapiGroReceiveEntry, Hook::NetifRx]);
    assert_eq!(plan.hooks(Hop::NicDone), [Hook::NetifRx, Hook::NapiGroReceiveEntry]);
    assert!(plan.hooks(Hop::VmmReadEnd).is_empty());
}

#[test]
fn a_kick_brings_what_tells_vhosts_queues_apart() {
    let facts = facts(&[Case::Any, Case::Kvm, Case::Tap, Case::VmmTap, Case::VhostTap]);
    assert!(only(&facts, &[Hop::VmmKick]).uses(Hook::HandleTxKick));
    let plan = only(&facts, &[Hop::TapWrite]);
    assert!(!plan.uses(Hook::HandleTxKick) && !plan.uses(Hook::VhostPollWakeup));
}

#[test]
fn what_is_left_out_stays_so_when_a_program_fails() {
    let mut plan = only(&facts(&[Case::Any, Case::Tap, Case::VmmTap]), &[Hop::NicQueue]);
    plan.fail(catalog::program(Hook::NetDevQueue).unwrap(), "no luck");
    assert_eq!(plan.hooks(Hop::NicQueue), [Hook::RawNetDevQueue]);
    assert_eq!(plan.programs().len(), 1);
}

#[test]
fn a_hook_cannot_be_wished_for_a_hop_that_is_left_out() {
    let facts = facts(&[Case::Any, Case::Tap, Case::VmmTap]);
    let hooks = vec![(Hop::TapWrite, Hook::SysEnter)];
    let wishes = Wishes { hooks, only: vec![Hop::NicQueue], ..Wishes::default() };
    let error = Plan::new(&facts, &wishes).unwrap_err().to_string();
    assert_eq!(error, "--hook tap.write: --hops leaves this hop out: add it there");
}

#[test]
fn xdp_serves_only_hops_that_are_asked_for() {
    let facts = facts(&[Case::Any, Case::Tap]);
    let wishes = |hop| Wishes { xdp: XdpMode::Native, only: vec![hop], ..Wishes::default() };
    assert_eq!(Plan::new(&facts, &wishes(Hop::TapRx)).unwrap().xdp, XdpMode::Native);
    assert_eq!(Plan::new(&facts, &wishes(Hop::NicQueue)).unwrap().xdp, XdpMode::Off);
}
