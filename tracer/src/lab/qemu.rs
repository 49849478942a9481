//! The guest's QEMU: its command line, and choosing between KVM and emulation by trying.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{
    kernel::Kernel,
    layout::{self, GUEST, GUEST_PORTS, Lab, TAP},
    netns, tools,
};

pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    /// The processor, through /dev/kvm
    Kvm,
    /// QEMU's emulation, which works everywhere and is slower
    Tcg,
}

impl Accel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// Five-level page tables are only slower to emulate.
    fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max,la57=off",
        }
    }
}

/// What can be chosen about the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) accel: Accel,
    pub(crate) vhost: bool,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
}

/// QEMU's arguments.
fn arguments(lab: &Lab, kernel: &Path, machine: Machine) -> Vec<String> {
    let Machine { accel, vhost, memory_mib, cpus } = machine;
    let onoff = if vhost { "on" } else { "off" };
    let mut line: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| line.extend([format!("-{option}"), value]);
    add("name", format!("guest={},debug-threads=on", lab.vm()));
    add("machine", "pc".to_owned());
    add("accel", accel.name().to_owned());
    add("cpu", accel.cpu().to_owned());
    add("smp", cpus.to_string());
    add("m", memory_mib.to_string());
    add("kernel", kernel.display().to_string());
    add("initrd", lab.initramfs().display().to_string());
    // A guest that panics ends QEMU, since -no-reboot turns its reboot into an end.
    add("append", "console=ttyS0 panic=-1 loglevel=5".to_owned());
    add("serial", format!("file:{}", lab.console_log().display()));
    add("display", "none".to_owned());
    add("netdev", format!("tap,id=net0,ifname={TAP},script=no,downscript=no,vhost={onoff}"));
    // An empty romfile: the guest does not boot from the network.
    add("device", format!("virtio-net-pci,netdev=net0,mac={},romfile=", GUEST.mac));
    add("device", "virtio-serial-pci".to_owned());
    for port in 0..GUEST_PORTS {
        let socket = lab.port_socket(port);
        add("chardev", format!("socket,id=port{port},path={},server=on,wait=off", socket.display()));
        add("device", format!("virtserialport,chardev=port{port},name={}", layout::port_name(port)));
    }
    line.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(String::from));
    line
}

/// Starts QEMU inside the host side's namespace, in a session of its own, so that it stays when the terminal
/// goes; its messages go to the lab's qemu.log.
pub(crate) fn start(lab: &Lab, kernel: &Kernel, machine: Machine) -> anyhow::Result<Child> {
    let log_path = lab.qemu_log();
    let log = File::create(&log_path).with_context(|| format!("failed to make {}", log_path.display()))?;
    let mut command = Command::new(tools::need(QEMU, "qemu-system-x86")?);
    command.args(arguments(lab, &kernel.image, machine));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    own_session(&mut command);
    netns::enter_on_exec(&mut command, &lab.host_ns())?;
    command.spawn().with_context(|| format!("failed to start {QEMU}"))
}

/// Makes `command` the leader of a session of its own.
pub(crate) fn own_session(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and does one system call without arguments.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(std::io::Error::from)) };
}

/// Checks what QEMU would refuse later in its own words.
pub(crate) fn check(machine: Machine) -> anyhow::Result<()> {
    if machine.vhost && !Path::new("/dev/vhost-net").exists() {
        bail!(
            "vhost is not available: /dev/vhost-net does not exist; load module vhost_net, or leave out --vhost"
        );
    }
    if machine.accel == Accel::Kvm && !Path::new("/dev/kvm").exists() {
        bail!("KVM is not available: /dev/kvm does not exist; take --accel tcg");
    }
    Ok(())
}

/// The last lines of what QEMU and the guest's console have said.
pub(crate) fn last_words(lab: &Lab) -> String {
    let tail = |path: &Path| {
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("\n  | {line}")).collect::<String>()
    };
    let mut words = String::new();
    for (title, path) in
        [("QEMU said:", lab.qemu_log()), ("the guest's console ended with:", lab.console_log())]
    {
        let tail = tail(&path);
        if !tail.is_empty() {
            words += &format!("\n{title}{tail}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: Machine) -> String {
        arguments(&Lab::new("x").unwrap(), Path::new("/k"), machine).join(" ")
    }

    #[test]
    fn the_vm_can_be_found_by_the_labs_name_and_sits_on_the_tap() {
        let machine = Machine { accel: Accel::Tcg, vhost: false, memory_mib: 256, cpus: 2 };
        let line = line(machine);
        for part in [
            "-name guest=vmhop-x,debug-threads=on",
            "-netdev tap,id=net0,ifname=tap0,script=no,downscript=no,vhost=off",
            "-accel tcg -cpu max,la57=off -smp 2 -m 256",
            "-chardev socket,id=port1,path=/run/vmhop/lab-x/port1.sock,server=on,wait=off",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn kvm_gets_the_hosts_processor_and_vhost_when_asked_for() {
        let machine = Machine { accel: Accel::Kvm, vhost: true, memory_mib: 512, cpus: 1 };
        let line = line(machine);
        assert!(line.contains("-accel kvm -cpu host") && line.contains("vhost=on"), "{line}");
    }
}
