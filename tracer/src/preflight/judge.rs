//! The checks. Pure: facts in, checks out.

use crate::{
    host,
    plan::{Plan, btf::VMLINUX, user::Missing},
    preflight::{Check, System},
    probe::Trial,
    profile::Definition,
    topology::printable,
};

/// The oldest kernel whose tracepoints the programs are made for.
const OLDEST: (u32, u32) = (5, 10);

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Each capability that is needed, and the one that stands for it as well. Network namespaces can be entered
/// with CAP_SYS_ADMIN only, and that includes the two of BPF (`bpf_capable`, `perfmon_capable`).
const CAPABILITIES: &[(&str, u32, u32)] = &[
    ("CAP_BPF", CAP_BPF, CAP_SYS_ADMIN),
    ("CAP_PERFMON", CAP_PERFMON, CAP_SYS_ADMIN),
    ("CAP_NET_ADMIN", CAP_NET_ADMIN, CAP_NET_ADMIN),
    ("CAP_SYS_PTRACE", CAP_SYS_PTRACE, CAP_SYS_PTRACE),
    ("CAP_SYS_ADMIN", CAP_SYS_ADMIN, CAP_SYS_ADMIN),
];

/// Judges what the system says; the gravest first. A file with the kernel's BTF stands for the kernel's own.
pub fn checks(system: &System, has_btf_file: bool) -> Vec<Check> {
    vec![
        privileges(system),
        kernel(&system.release),
        btf(system.btf_error.as_deref(), has_btf_file),
        lockdown(system.lockdown.as_deref()),
        jit(system.jit.as_deref()),
        tun(system.tun),
        kvm(system.kvm),
    ]
}

fn check(
    name: &str,
    needed: bool,
    ok: Option<bool>,
    found: impl Into<String>,
    why: &str,
    remedy: &str,
) -> Check {
    let remedy = (ok == Some(false)).then(|| remedy.to_owned());
    Check { name: name.to_owned(), needed, ok, found: found.into(), why: why.to_owned(), remedy }
}

fn privileges(system: &System) -> Check {
    let has = |bit: u32| system.capabilities & (1 << bit) != 0;
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(_, bit, instead)| !has(*bit) && !has(*instead))
        .map(|(name, ..)| *name)
        .collect();
    let why = "loading programs, finding VMs and entering their network namespaces needs root's rights";
    let (ok, found, remedy) = match (missing.as_slice(), system.user_namespace) {
        ([], false) => (true, "all that is needed".to_owned(), ""),
        ([], true) => (
            false,
            "this process is in a user namespace, where root's rights do not reach the kernel's programs"
                .to_owned(),
            "run vmhop as root of the host, outside of the container",
        ),
        (missing, _) => (false, format!("{} missing", missing.join(", ")), "run vmhop as root (sudo)"),
    };
    check("privileges", true, Some(ok), found, why, remedy)
}

fn kernel(release: &str) -> Check {
    let version = host::version(release);
    let why = "the programs are made for the tracepoints of Linux 5.10 and later";
    check("kernel", true, version.map(|version| version >= OLDEST), release, why, "boot Linux 5.10 or later")
}

fn btf(error: Option<&str>, has_file: bool) -> Check {
    let found = match error {
        _ if has_file => "the file that --btf names".to_owned(),
        None => VMLINUX.to_owned(),
        Some(error) => format!("{VMLINUX}: {error}"),
    };
    let why = "the kernel's type information (BTF) says where its structures keep what the programs read";
    let remedy = "boot a kernel with CONFIG_DEBUG_INFO_BTF, as all current distributions' are, or name a file with \
                  this kernel's BTF by --btf";
    check("BTF", true, Some(has_file || error.is_none()), found, why, remedy)
}

fn lockdown(modes: Option<&str>) -> Check {
    let mode = modes.map(|modes| modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')));
    let mode = match mode {
        None => "not in this kernel",
        Some(Some((mode, _))) => mode,
        Some(None) => "unknown",
    };
    let why = "in mode confidentiality no program may read kernel memory";
    let remedy = "boot with lockdown=integrity, or with Secure Boot off where that sets the mode";
    check("lockdown", true, Some(mode != "confidentiality"), mode, why, remedy)
}

fn jit(setting: Option<&str>) -> Check {
    let (ok, found) = match setting {
        None => (None, "not checked: needs root"),
        Some("0") => (Some(false), "off"),
        Some(_) => (Some(true), "on"),
    };
    let why = "interpreted programs cost each frame several times as much";
    check("BPF compiler", false, ok, found, why, "run sysctl -w net.core.bpf_jit_enable=1")
}

fn tun(exists: bool) -> Check {
    let found = if exists { "/dev/net/tun" } else { "no /dev/net/tun" };
    check("taps", false, Some(exists), found, "a VM's frames enter the host by a tap", "run modprobe tun")
}

fn kvm(exists: bool) -> Check {
    let found = if exists { "/dev/kvm" } else { "no /dev/kvm" };
    let why = "without KVM guests are emulated, and vmm.irq is not to be seen";
    let remedy = "run modprobe kvm_intel or kvm_amd; in a VM, turn on nested virtualization";
    check("KVM", false, Some(exists), found, why, remedy)
}

/// Judges what the kernel said to the programs, in two checks: the ring buffer that all need, and each
/// program. `None`: they were not tried.
pub fn programs(trials: Option<&Result<Vec<Trial>, String>>) -> [Check; 2] {
    let ring = |ok, found: &str| {
        let remedy = "allow BPF here: no container, no seccomp profile without bpf(2), Linux 5.8 or later";
        check("ring buffer", true, ok, found, "events reach vmhop by a BPF ring buffer", remedy)
    };
    let loaded = |needed, ok, found: String| {
        let why = "the hops of a program that the kernel refuses are not measured";
        check(
            "programs",
            needed,
            ok,
            found,
            why,
            "report the kernel's words (vmhop -vv doctor) with its version",
        )
    };
    let trials = match trials {
        None => return [ring(None, "not checked"), loaded(true, None, "not checked".to_owned())],
        Some(Err(error)) => return [ring(Some(false), error), loaded(true, None, "not checked".to_owned())],
        Some(Ok(trials)) => trials,
    };
    let refused: Vec<_> = trials
        .iter()
        .filter_map(|trial| Some(format!("{} ({})", trial.hook.name(), trial.refused.as_ref()?)))
        .collect();
    let count = trials.len() - refused.len();
    let mut found = format!("{count} of {} load", trials.len());
    if !refused.is_empty() {
        found = format!("{found}; refused: {}", refused.join("; "));
    }
    [ring(Some(true), "works"), loaded(count == 0, Some(refused.is_empty() && count > 0), found)]
}

/// Judges what came of the user's own hops: whether a plan has them, or why it cannot. None where the user has none.
pub fn own_hops(own: &[Definition], plan: &Plan, refused: Option<String>) -> Option<Check> {
    if own.is_empty() {
        return None;
    }
    // What the kernel refuses at last leaves a plan that had it.
    let needed = |hop: &&Missing| own.iter().any(|other| other.name == hop.name && !other.optional);
    let lost = plan.missing.iter().find(needed).map(|hop| format!("hop {}: {}", hop.name, hop.why));
    let wrong = refused.or(lost);
    let ok = Some(wrong.is_none());
    let found = wrong.unwrap_or_else(|| format!("{} of {} can be served", plan.user_hops.len(), own.len()));
    let why = "with a hop that cannot be served, a recording does not start";
    let remedy = "correct it, or leave it out; in a profile, a hop may be `optional = true`";
    Some(check("own hops", true, ok, found, why, remedy))
}

/// Judges what was found of VMs: their names, or why they could not be looked for.
pub fn vms(names: Result<&[String], &str>) -> Check {
    let (ok, found) = match names {
        Err(error) => (None, format!("not checked: {error}")),
        Ok([]) => (Some(false), "no process holds a tap".to_owned()),
        Ok(names) => (Some(true), format!("{}: {}", names.len(), printable(&names.join(", ")))),
    };
    let remedy = "start a VM with a tap, or the lab with `vmhop lab up`";
    check("VMs", false, ok, found, "record needs a VM to trace", remedy)
}

#[cfg(test)]
mod tests;
