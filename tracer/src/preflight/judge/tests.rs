use tracer_common::hop::Hook;

use super::*;

const ALL: u64 = 0x1ff_ffff_ffff;

fn system() -> System {
    System {
        capabilities: ALL,
        user_namespace: false,
        release: "6.1.0-13-amd64".to_owned(),
        btf_error: None,
        lockdown: Some("none [integrity] confidentiality".to_owned()),
        jit: Some("1".to_owned()),
        tun: true,
        kvm: true,
    }
}

/// The names of the checks that prevent recording, and of those that only warn.
fn failed(system: &System) -> (Vec<String>, Vec<String>) {
    let (needed, advised): (Vec<_>, Vec<_>) =
        checks(system, false).into_iter().filter(|check| check.ok == Some(false)).partition(Check::prevents);
    let names = |checks: Vec<Check>| checks.into_iter().map(|check| check.name).collect();
    (names(needed), names(advised))
}

#[test]
fn a_host_with_everything_lacks_nothing() {
    assert_eq!(failed(&system()), (vec![], vec![]));
    assert!(checks(&system(), false).iter().all(|check| check.ok == Some(true) && check.remedy.is_none()));
}

#[test]
fn each_lack_is_told_with_its_remedy() {
    let confidential = Some("none integrity [confidentiality]".to_owned());
    for (lacking, prevents, name) in [
        (System { capabilities: 0, ..system() }, true, "privileges"),
        (System { user_namespace: true, ..system() }, true, "privileges"),
        (System { release: "5.4.0-1".to_owned(), ..system() }, true, "kernel"),
        (System { release: "4.19".to_owned(), ..system() }, true, "kernel"),
        (System { btf_error: Some("No such file".to_owned()), ..system() }, true, "BTF"),
        (System { lockdown: confidential, ..system() }, true, "lockdown"),
        (System { jit: Some("0".to_owned()), ..system() }, false, "BPF compiler"),
        (System { tun: false, ..system() }, false, "taps"),
        (System { kvm: false, ..system() }, false, "KVM"),
    ] {
        let expected = vec![name.to_owned()];
        let (needed, advised) = failed(&lacking);
        assert_eq!(if prevents { needed } else { advised }, expected, "{lacking:?}");
        let remedy = checks(&lacking, false).into_iter().find(|check| check.name == name).unwrap().remedy;
        assert!(remedy.is_some_and(|remedy| !remedy.is_empty()), "{name}");
    }
}

#[test]
fn the_administrators_capability_includes_those_of_bpf() {
    let without = |bits: &[u32]| System {
        capabilities: bits.iter().fold(ALL, |all, bit| all & !(1 << bit)),
        ..system()
    };
    assert_eq!(privileges(&without(&[CAP_BPF, CAP_PERFMON])).ok, Some(true));
    let check = privileges(&without(&[CAP_SYS_ADMIN, CAP_SYS_PTRACE]));
    assert_eq!(check.found, "CAP_SYS_PTRACE, CAP_SYS_ADMIN missing");
}

#[test]
fn what_cannot_be_known_is_neither_good_nor_bad() {
    for unknown in [kernel("unknown"), jit(None), vms(Err("needs root"))] {
        assert_eq!(unknown.ok, None, "{unknown:?}");
        assert!(!unknown.prevents());
    }
    assert!(programs(None).iter().all(|check| check.ok.is_none()));
    assert_eq!(lockdown(None).ok, Some(true));
    assert_eq!(kernel("6.18").ok, Some(true));
}

#[test]
fn one_program_that_loads_is_enough_to_record() {
    let trial = |refused: Option<&str>| Trial {
        program: "net_dev_queue",
        hook: Hook::NetDevQueue,
        refused: refused.map(str::to_owned),
    };
    let judged = |trials: &[Trial]| {
        let [ring, programs] = programs(Some(&Ok(trials.to_vec())));
        assert_eq!(ring.ok, Some(true));
        (programs.ok, programs.prevents(), programs.found)
    };
    assert_eq!(judged(&[trial(None), trial(None)]), (Some(true), false, "2 of 2 load".to_owned()));
    let (ok, prevents, found) = judged(&[trial(None), trial(Some("EPERM"))]);
    assert_eq!((ok, prevents), (Some(false), false));
    assert_eq!(found, "1 of 2 load; refused: tp_btf:net_dev_queue (EPERM)");
    let (ok, prevents, _) = judged(&[trial(Some("EPERM"))]);
    assert_eq!((ok, prevents), (Some(false), true));
    let [ring, programs] = programs(Some(&Err("no BPF".to_owned())));
    assert!(ring.prevents() && programs.ok.is_none());
}

#[test]
fn a_file_with_the_kernels_types_makes_up_for_the_kernels_own() {
    let lacking = System { btf_error: Some("No such file".to_owned()), ..system() };
    assert!(!checks(&lacking, true).iter().any(Check::prevents));
}

#[test]
fn names_of_vms_are_shown_safely() {
    let names = ["a\u{1b}[31m".to_owned(), "b".to_owned()];
    assert_eq!(vms(Ok(&names)).found, "2: a\\u{1b}[31m, b");
    assert_eq!(vms(Ok(&[])).ok, Some(false));
}
