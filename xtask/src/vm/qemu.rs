//! QEMU's command line for one run.

use std::{os::fd::RawFd, path::Path};

use clap::{Args, ValueEnum};

use super::{cache::Cached, emulator::Emulator, files::Files, nics::Nic, ports};

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

/// The machine that a user asks for
#[derive(Debug, Clone, Args)]
pub struct Hardware {
    /// Processors
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub cpus: u32,
    /// Memory in MiB; the files that the command writes are in it too
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub memory: u32,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub append: Vec<String>,
    /// What executes the VM's instructions
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    pub accel: Accel,
    /// Pairs of emulated NICs, each two ends of one cable: e1000e0 and e1000e1, virtio0 and virtio1, igb0 and igb1
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "e1000e,virtio-net",
        value_name = "KINDS"
    )]
    pub nics: Vec<Nic>,
}

impl Default for Hardware {
    /// As when nothing is asked for.
    fn default() -> Self {
        let nics = vec![Nic::E1000e, Nic::VirtioNet];
        Self { cpus: 2, memory: 2048, append: Vec::new(), accel: Accel::Tcg, nics }
    }
}

/// What a VM is made of.
pub struct Machine<'a> {
    /// What it runs in.
    pub emulator: &'a Emulator,
    /// KVM or emulation.
    pub kvm: bool,
    /// What the user asks for.
    pub hardware: &'a Hardware,
    /// The kernel with its modules.
    pub cached: &'a Cached,
    /// What the VM starts from, where it writes and where the kernel's words go.
    pub files: &'a Files,
}

/// The kernel's own words: the console in the log, and an end instead of going on after an oops.
const KERNEL: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic net.ifnames=0 random.trust_cpu=on";

/// And under emulation: its processors share the host's TSC, so it needs no proof; and a test of the timer that a
/// host under load does not let pass is left out, as the kernel does itself under hypervisors that it knows.
const EMULATED: &str = "no_timer_check tsc=reliable";

impl Machine<'_> {
    /// QEMU's words; the ports write to these descriptors, standard output, standard error and status.
    pub fn words(&self, descriptors: [RawFd; 3]) -> Vec<String> {
        let (accel, processor, kernel) = if self.kvm {
            ("kvm", "host", KERNEL.to_owned())
        } else {
            ("tcg,thread=multi", "max,+svm,la57=off", format!("{KERNEL} {EMULATED}"))
        };
        let mut words: Vec<String> = ["-machine", "q35", "-nodefaults", "-display", "none", "-no-reboot"]
            .into_iter()
            .chain(["-accel", accel, "-cpu", processor])
            .map(str::to_owned)
            .collect();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("-smp", self.hardware.cpus.to_string());
        add("-m", self.hardware.memory.to_string());
        add("-kernel", self.cached.image().display().to_string());
        add("-initrd", self.files.initramfs().display().to_string());
        add("-append", [kernel, self.hardware.append.join(" ")].join(" ").trim().to_owned());
        add("-serial", format!("file:{}", comma(&self.files.console())));
        share(&mut add, "root", Path::new("/"), true);
        share(&mut add, "modules", &self.cached.modules(), true);
        share(&mut add, "out", &self.files.out, false);
        add("-device", "virtio-serial-pci".to_owned());
        let ports = [ports::OUT, ports::ERRORS, ports::STATUS];
        for (set, (port, descriptor)) in (1..).zip(ports.into_iter().zip(descriptors)) {
            add("-add-fd", format!("fd={descriptor},set={set}"));
            add("-chardev", format!("file,id=port{set},path=/dev/fdset/{set},append=on"));
            add("-device", format!("virtserialport,chardev=port{set},name={port}"));
        }
        for (hub, nic) in self.hardware.nics.iter().enumerate() {
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

/// Two NICs on one hub of their own: what one sends, the other receives. Without the ROM that would look for
/// something to boot on the other end. Each igb has a port of its own, since its virtual functions take the places
/// beside it.
fn cable(add: &mut impl FnMut(&str, String), hub: usize, nic: Nic) {
    for end in [0, 1] {
        let (id, device, mac) = (nic.interface(end), nic.device(), nic.mac(end));
        add("-netdev", format!("hubport,id={id},hubid={hub}"));
        let mut words = format!("{device},netdev={id},mac={mac},romfile=");
        if nic == Nic::Igb {
            add("-device", format!("pcie-root-port,id=port-{id},chassis={}", 1 + 2 * hub + usize::from(end)));
            words += &format!(",bus=port-{id}");
        }
        add("-device", words);
    }
}

/// A path as a value among others, where a comma would end it.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> String {
        let hardware =
            Hardware { append: vec!["quiet".to_owned(), "nosmp".to_owned()], ..Default::default() };
        let cached = Cached { folder: "/c/a,b".into(), release: String::new(), packages: String::new() };
        let files = Files { folder: "/r".into(), out: "/o".into() };
        let emulator = Emulator::own();
        let machine =
            Machine { emulator: &emulator, kvm: false, hardware: &hardware, cached: &cached, files: &files };
        machine.words([3, 4, 5]).join(" ")
    }

    #[test]
    fn what_is_appended_comes_after_our_own_words() {
        assert!(line().contains(&format!("-append {KERNEL} {EMULATED} quiet nosmp -")), "{}", line());
    }

    #[test]
    fn the_machines_root_is_shared_read_only_and_the_results_are_not() {
        let line = line();
        let common = "security_model=none,multidevs=remap";
        assert!(line.contains(&format!("path=/,mount_tag=root,{common},readonly=on")), "{line}");
        assert!(line.contains(&format!("path=/o,mount_tag=out,{common},readonly=off")), "{line}");
        assert!(line.contains("path=/c/a,,b/modules,"), "{line}");
    }

    #[test]
    fn each_pair_of_nics_has_a_hub_of_its_own() {
        let line = line();
        for part in [
            "hubport,id=e1000e0,hubid=0",
            "hubport,id=e1000e1,hubid=0",
            "hubport,id=virtio0,hubid=1",
            "virtio-net-pci,netdev=virtio1,mac=52:54:00:76:02:01,romfile=",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
