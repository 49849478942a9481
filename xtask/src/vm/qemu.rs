//! QEMU's command line for one run.

use std::{
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{nics::Nic, ports};

/// What executes the VM's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM, or QEMU's emulation when the VM does not start under it
    Auto,
    /// QEMU's emulation, which works everywhere and has a processor with AMD's virtualization
    Tcg,
    /// KVM; nested KVM needs the host's `nested=1`
    Kvm,
}

/// What a VM is made of.
#[derive(Debug)]
pub struct Machine {
    /// KVM or emulation.
    pub kvm: bool,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// The kernel.
    pub image: PathBuf,
    /// More words for the kernel.
    pub append: Vec<String>,
    /// What it starts from.
    pub initramfs: PathBuf,
    /// The kernel's modules.
    pub modules: PathBuf,
    /// The folder for results.
    pub out: PathBuf,
    /// Takes what the kernel says.
    pub console: PathBuf,
    /// Pairs of NICs.
    pub nics: Vec<Nic>,
}

/// The kernel's own words: the console in the log, and an end instead of going on after an oops.
const KERNEL: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic net.ifnames=0 random.trust_cpu=on";

impl Machine {
    /// QEMU's words; the ports write to these descriptors, standard output, standard error and status.
    pub fn words(&self, descriptors: [RawFd; 3]) -> Vec<String> {
        let (accel, processor) =
            if self.kvm { ("kvm", "host") } else { ("tcg,thread=multi", "max,+svm,la57=off") };
        let mut words: Vec<String> = ["-machine", "q35", "-nodefaults", "-display", "none", "-no-reboot"]
            .into_iter()
            .chain(["-accel", accel, "-cpu", processor])
            .map(str::to_owned)
            .collect();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("-smp", self.cpus.to_string());
        add("-m", self.memory.to_string());
        add("-kernel", self.image.display().to_string());
        add("-initrd", self.initramfs.display().to_string());
        add("-append", [KERNEL, &self.append.join(" ")].join(" ").trim().to_owned());
        add("-serial", format!("file:{}", comma(&self.console)));
        share(&mut add, "root", Path::new("/"), true);
        share(&mut add, "modules", &self.modules, true);
        share(&mut add, "out", &self.out, false);
        add("-device", "virtio-serial-pci".to_owned());
        let ports = [ports::OUT, ports::ERRORS, ports::STATUS];
        for (set, (port, descriptor)) in (1..).zip(ports.into_iter().zip(descriptors)) {
            add("-add-fd", format!("fd={descriptor},set={set}"));
            add("-chardev", format!("file,id=port{set},path=/dev/fdset/{set},append=on"));
            add("-device", format!("virtserialport,chardev=port{set},name={port}"));
        }
        for (hub, nic) in self.nics.iter().enumerate() {
            cable(&mut add, hub, *nic);
        }
        words
    }
}

/// A folder of this machine, under its name in the VM.
fn share(add: &mut impl FnMut(&str, String), name: &str, folder: &Path, read_only: bool) {
    let mode = if read_only { "readonly=on" } else { "readonly=off" };
    let path = comma(folder);
    add("-virtfs", format!("local,path={path},mount_tag={name},security_model=none,multidevs=remap,{mode}"));
}

/// Two NICs on one hub of their own: what one sends, the other receives.
fn cable(add: &mut impl FnMut(&str, String), hub: usize, nic: Nic) {
    for end in [0, 1] {
        let (id, device, mac) = (nic.interface(end), nic.device(), nic.mac(end));
        add("-netdev", format!("hubport,id={id},hubid={hub}"));
        add("-device", format!("{device},netdev={id},mac={mac}"));
    }
}

/// A path as a value among others, where a comma would end it.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            kvm: false,
            cpus: 2,
            memory: 2048,
            image: "/c/vmlinuz".into(),
            append: vec!["quiet".to_owned(), "nosmp".to_owned()],
            initramfs: "/r/initramfs".into(),
            modules: "/c/a,b".into(),
            out: "/o".into(),
            console: "/r/console.log".into(),
            nics: vec![Nic::E1000e, Nic::VirtioNet],
        }
    }

    #[test]
    fn what_is_appended_comes_after_our_own_words() {
        let words = machine().words([3, 4, 5]);
        assert!(words.contains(&format!("{KERNEL} quiet nosmp")), "{words:?}");
    }

    #[test]
    fn the_machines_root_is_shared_read_only_and_the_results_are_not() {
        let line = machine().words([3, 4, 5]).join(" ");
        let common = "security_model=none,multidevs=remap";
        assert!(line.contains(&format!("path=/,mount_tag=root,{common},readonly=on")), "{line}");
        assert!(line.contains(&format!("path=/o,mount_tag=out,{common},readonly=off")), "{line}");
        assert!(line.contains("path=/c/a,,b,"), "{line}");
    }

    #[test]
    fn each_pair_of_nics_has_a_hub_of_its_own() {
        let line = machine().words([3, 4, 5]).join(" ");
        for part in [
            "hubport,id=e1000e0,hubid=0",
            "hubport,id=e1000e1,hubid=0",
            "hubport,id=virtio0,hubid=1",
            "virtio-net-pci,netdev=virtio1,mac=52:54:00:76:02:01",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
