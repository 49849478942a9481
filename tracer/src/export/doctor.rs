//! The diagnosis as text, for `vmhop doctor`. Pure: data in, text out.

use std::io::{self, Write};

use crate::{
    doctor::{Diagnosis, HopState},
    export::selftest,
    preflight::Check,
    recording::{Choice, Host},
    topology::printable,
};

/// Writes the checks, the hops and the verdict.
pub fn write_diagnosis(diagnosis: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    let Diagnosis { host, can_record, checks, vms, hops, self_test, self_test_failed } = diagnosis;
    let Host { name, kernel, arch, cpus, vmhop } = host;
    writeln!(out, "vmhop {vmhop} on {}: Linux {kernel}, {arch}, {cpus} CPUs", printable(name))?;
    writeln!(out, "\nChecks")?;
    write_checks(checks, out)?;
    match vms.as_slice() {
        [] => writeln!(out, "\nHops, for a VM on this host")?,
        vms => writeln!(out, "\nHops, for {}", printable(&vms.join(", ")))?,
    }
    write_hops(hops, out)?;
    if let Some(rows) = self_test {
        selftest::write(rows, out)?;
    }
    if let Some(why) = self_test_failed {
        writeln!(out, "\nSelf-test: it could not be made: {}", printable(why))?;
    }
    let prevents: Vec<_> = checks.iter().filter(|check| check.prevents()).map(|check| &*check.name).collect();
    let served = hops.iter().filter(|hop| !hop.hooks.is_empty()).count();
    match can_record {
        true => writeln!(out, "\nThis host can record: {served} of {} hops are served.", hops.len()),
        false => writeln!(out, "\nThis host cannot record: {}.", prevents.join(", ")),
    }
}

fn write_checks(checks: &[Check], out: &mut dyn Write) -> io::Result<()> {
    let width = width(checks.iter().map(|check| check.name.as_str()));
    for Check { name, needed, ok, found, why, remedy } in checks {
        let state = match (ok, needed) {
            (Some(true), _) => "ok",
            (Some(false), true) => "FAILED",
            (Some(false), false) => "missing",
            (None, _) => "unknown",
        };
        writeln!(out, "  {state:<8} {name:width$}  {found}")?;
        if *ok == Some(false) {
            writeln!(out, "  {:<8} {:width$}  why: {why}", "", "")?;
            if let Some(remedy) = remedy {
                writeln!(out, "  {:<8} {:width$}  remedy: {remedy}", "", "")?;
            }
        }
    }
    Ok(())
}

fn write_hops(hops: &[HopState], out: &mut dyn Write) -> io::Result<()> {
    let name_width = width(hops.iter().map(|hop| hop.hop.as_str()));
    let describe_width = width(hops.iter().map(|hop| hop.describe.as_str()));
    for HopState { hop, describe, hooks, unserved, choices } in hops {
        let mut lines = lines_of(choices);
        if let Some(reason) = unserved {
            lines = vec![format!("- {reason}")];
        } else if lines.is_empty() {
            lines = vec![hooks.join(", ")];
        }
        let mut label = format!("{hop:name_width$}  {describe:describe_width$}");
        for line in lines {
            writeln!(out, "  {label}  {line}")?;
            label = " ".repeat(label.chars().count());
        }
    }
    Ok(())
}

/// What serves a hop in each case, with what was passed over for it and why.
fn lines_of(choices: &[Choice]) -> Vec<String> {
    let line = |Choice { case, hooks, passed_over }: &Choice| {
        let case = if case.is_empty() { String::new() } else { format!("{case}: ") };
        let served = if hooks.is_empty() { "-".to_owned() } else { hooks.join(", ") };
        let over: Vec<_> =
            passed_over.iter().map(|over| format!("not {}: {}", over.hook, over.why)).collect();
        let over = if over.is_empty() { String::new() } else { format!(" ({})", over.join("; ")) };
        format!("{case}{served}{over}")
    };
    choices.iter().map(line).collect()
}

fn width<'a>(words: impl Iterator<Item = &'a str>) -> usize {
    words.map(|word| word.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, needed: bool, ok: Option<bool>, found: &str) -> Check {
        let remedy = (ok == Some(false)).then(|| "do so".to_owned());
        Check {
            name: name.to_owned(),
            needed,
            ok,
            found: found.to_owned(),
            why: "it matters".to_owned(),
            remedy,
        }
    }

    fn diagnosis() -> Diagnosis {
        let hop = |hop: &str, describe: &str, hook: Option<&str>| HopState {
            hop: hop.to_owned(),
            describe: describe.to_owned(),
            hooks: hook.map(str::to_owned).into_iter().collect(),
            unserved: hook.is_none().then(|| "nothing sees it".to_owned()),
            choices: Vec::new(),
        };
        let host = Host {
            name: "host".to_owned(),
            kernel: "6.1.0".to_owned(),
            arch: "x86_64".to_owned(),
            cpus: 2,
            vmhop: "0.0.1".to_owned(),
        };
        let checks = vec![
            check("privileges", true, Some(false), "CAP_BPF missing"),
            check("BTF", true, Some(true), "there"),
            check("KVM", false, Some(false), "no /dev/kvm"),
            check("VMs", false, None, "not checked: needs root"),
        ];
        let hops = vec![hop("tap.rx", "frame enters", Some("tp_btf:x")), hop("nic.hw", "stamp", None)];
        Diagnosis {
            host,
            can_record: false,
            checks,
            vms: vec!["a\n".to_owned()],
            hops,
            self_test: None,
            self_test_failed: None,
        }
    }

    #[test]
    fn columns_are_aligned_and_only_failures_are_explained() {
        let mut out = Vec::new();
        write_diagnosis(&diagnosis(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        vmhop 0.0.1 on host: Linux 6.1.0, x86_64, 2 CPUs

        Checks
          FAILED   privileges  CAP_BPF missing
                               why: it matters
                               remedy: do so
          ok       BTF         there
          missing  KVM         no /dev/kvm
                               why: it matters
                               remedy: do so
          unknown  VMs         not checked: needs root

        Hops, for a\n
          tap.rx  frame enters  tp_btf:x
          nic.hw  stamp         - nothing sees it

        This host cannot record: privileges.
        ");
    }
}
