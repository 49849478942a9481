//! What the machine is while an experiment runs: kept beside the results, so that somebody else can tell what they hold for.

use std::{collections::BTreeMap, fs, process::Command};

use super::{setting::Setting, station::words};
use crate::{recording::Host, topology::Topology};

/// Key → value, in words of the system itself; what could not be read is not there.
pub(super) type Environment = BTreeMap<String, String>;

const FILES: [(&str, &str); 9] = [
    ("kernel.version", "/proc/version"),
    ("kernel.command_line", "/proc/cmdline"),
    ("cpu.governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    ("cpu.driver", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"),
    ("cpu.boost", "/sys/devices/system/cpu/cpufreq/boost"),
    ("cpu.smt", "/sys/devices/system/cpu/smt/control"),
    ("cpu.idle_driver", "/sys/devices/system/cpu/cpuidle/current_driver"),
    ("clock.source", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("memory.transparent_hugepages", "/sys/kernel/mm/transparent_hugepage/enabled"),
];

const MITIGATIONS: &str = "/sys/devices/system/cpu/vulnerabilities";

/// Looks at the machine and the block's VMs and NICs.
pub(super) fn look(setting: &Setting) -> Environment {
    let mut seen = Environment::new();
    let host = Host::here();
    seen.insert("vmhop".to_owned(), host.vmhop);
    seen.insert("host.name".to_owned(), host.name);
    seen.insert("host.cpus".to_owned(), host.cpus.to_string());
    seen.insert("kernel.release".to_owned(), host.kernel);
    seen.extend(FILES.iter().filter_map(|(key, path)| Some(((*key).to_owned(), read(path)?))));
    seen.extend(cpu_model().map(|model| ("cpu.model".to_owned(), model)));
    seen.extend(meminfo().map(|total| ("memory.total".to_owned(), total)));
    for entry in fs::read_dir(MITIGATIONS).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        seen.extend(read(&format!("{MITIGATIONS}/{name}")).map(|text| (format!("mitigations.{name}"), text)));
    }
    // Without root there are no VMs to be seen, and no experiment either.
    let topology = Topology::discover().unwrap_or_default();
    for vm in topology.vms.iter().filter(|vm| setting.has_vm(vm)) {
        seen.extend(command_line(vm.pid).map(|line| (format!("vmm.{}.command_line", vm.name), line)));
        seen.insert(format!("vmm.{}.kvm", vm.name), vm.kvm.to_string());
        seen.extend(version(vm.pid).map(|text| (format!("vmm.{}.version", vm.name), text)));
        for nic in vm.taps.iter().flat_map(|tap| &tap.nics) {
            let driver = nic.driver.clone().unwrap_or_else(|| "unknown".to_owned());
            seen.insert(format!("nic.{}.driver", nic.name), driver);
            seen.insert(format!("nic.{}.mtu", nic.name), nic.mtu.to_string());
            seen.extend(
                offloads(setting, &nic.name).map(|text| (format!("nic.{}.offloads", nic.name), text)),
            );
        }
    }
    seen
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cpu_model() -> Option<String> {
    field("/proc/cpuinfo", "model name")
}

fn meminfo() -> Option<String> {
    field("/proc/meminfo", "MemTotal")
}

fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, value) = text.lines().find(|line| line.starts_with(key))?.split_once(':')?;
    Some(value.trim().to_owned())
}

fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    Some(words.collect::<Vec<_>>().join(" ").trim().to_owned())
}

/// The first line of what the VMM says of itself.
fn version(pid: i32) -> Option<String> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    first_line(Command::new(program).arg("--version"))
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// What the NIC does for the host, as ethtool tells it.
fn offloads(setting: &Setting, nic: &str) -> Option<String> {
    let line = setting.on_host().command(&words(&["ethtool", "-k", nic])).ok()?;
    let (program, arguments) = line.split_first()?;
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let on = text.lines().skip(1).filter_map(|line| {
        let (name, state) = line.trim().split_once(": ")?;
        state.starts_with("on").then(|| name.to_owned())
    });
    Some(on.collect::<Vec<_>>().join(" "))
}
