//! The programs that the lab and the tests run.

use std::{fs::File, io::Read as _, path::Path};

use super::{
    Outcome,
    system::{Distribution, System, as_root, find},
};

/// A program and the package that brings it: on Debian, Fedora, Arch, openSUSE.
struct Program {
    name: &'static str,
    packages: [&'static str; 4],
}

const PROGRAMS: [Program; 19] = [
    Program { name: "ip", packages: ["iproute2", "iproute", "iproute2", "iproute2"] },
    Program {
        name: "qemu-system-x86_64",
        packages: ["qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86", "qemu-x86"],
    },
    Program { name: "busybox", packages: ["busybox-static", "busybox", "busybox", "busybox-static"] },
    Program { name: "tcpdump", packages: ["tcpdump", "tcpdump", "tcpdump", "tcpdump"] },
    // What vmhop's cost is held against.
    Program { name: "bpftrace", packages: ["bpftrace", "bpftrace", "bpftrace", "bpftrace"] },
    // What the hops of a guest on KVM are held against.
    Program { name: "trace-cmd", packages: ["trace-cmd", "trace-cmd", "trace-cmd", "trace-cmd"] },
    Program { name: "ping", packages: ["iputils-ping", "iputils", "iputils", "iputils"] },
    Program { name: "bpftool", packages: ["bpftool", "bpftool", "bpf", "bpftool"] },
    Program { name: "nft", packages: ["nftables", "nftables", "nftables", "nftables"] },
    Program {
        name: "ovs-vswitchd",
        packages: ["openvswitch-switch", "openvswitch", "openvswitch", "openvswitch"],
    },
    // Traffic of the tests, and what a NIC does for it.
    Program { name: "iperf3", packages: ["iperf3", "iperf3", "iperf3", "iperf"] },
    Program { name: "ethtool", packages: ["ethtool", "ethtool", "ethtool", "ethtool"] },
    // Stations of experiments that are reached over ssh.
    Program { name: "ssh", packages: ["openssh-client", "openssh-clients", "openssh", "openssh-clients"] },
    Program { name: "sshd", packages: ["openssh-server", "openssh-server", "openssh", "openssh-server"] },
    // What a capture that vmhop writes is read by.
    Program { name: "tshark", packages: ["tshark", "wireshark-cli", "wireshark-cli", "wireshark"] },
    // The terminal that the live view is looked at on.
    Program { name: "tmux", packages: ["tmux", "tmux", "tmux", "tmux"] },
    Program { name: "xz", packages: ["xz-utils", "xz", "xz", "xz"] },
    Program { name: "zstd", packages: ["zstd", "zstd", "zstd", "zstd"] },
    // Opens the pages of reports.
    Program { name: "chromium", packages: ["chromium", "chromium", "chromium", "chromium"] },
];

/// Further names of a program, by which other packages bring it.
fn other_names(name: &str) -> &'static [&'static str] {
    match name {
        "chromium" => &["chromium-browser", "google-chrome", "google-chrome-stable"],
        _ => &[],
    }
}

impl Program {
    fn package(&self, distribution: Distribution) -> &'static str {
        let [debian, fedora, arch, suse] = self.packages;
        match distribution {
            Distribution::Debian => debian,
            Distribution::Fedora => fedora,
            Distribution::Arch => arch,
            Distribution::Suse => suse,
            Distribution::Other => self.name,
        }
    }

    fn is_there(&self) -> bool {
        // The guest has no libraries, so a busybox that needs some is none for it.
        let found = find(self.name).is_some_and(|path| self.name != "busybox" || is_static(&path));
        found || other_names(self.name).iter().any(|name| find(name).is_some())
    }
}

pub fn ensure(system: &System) -> anyhow::Result<Outcome> {
    let missing = missing();
    if missing.is_empty() {
        let names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        return Ok(Outcome::Found(names.join(", ")));
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package(system.distribution)).collect();
    if !system.may_install() {
        let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
        return Ok(Outcome::Missing(names.join(", "), vec![remedy(system.distribution, &packages)]));
    }
    system.apt_install(&packages)?;
    Ok(Outcome::Installed(packages.join(", ")))
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| !program.is_there()).collect()
}

/// What to type to get these packages.
pub fn remedy(distribution: Distribution, packages: &[&str]) -> String {
    let packages = packages.join(" ");
    match distribution.install_command() {
        // As root already, so only typing it was missing.
        Some(command) if as_root().is_some_and(<[_]>::is_empty) => format!("{command} {packages}"),
        Some(command) => format!("sudo {command} {packages}"),
        None => format!("install what brings these programs: {packages}"),
    }
}

/// Whether a program asks for no loader; the name of one stands near the start of the file.
fn is_static(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && !start.windows(7).any(|bytes| bytes == b"/ld-lin" || bytes == b"/ld-mus")
}
