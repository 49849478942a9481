//! The guest's QEMU: its command line, and choosing between KVM and emulation by trying.

use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{
    accel::Accel,
    addresses,
    kernel::Kernel,
    layout::{self, GUEST_PORTS, Guest},
    netns,
    network::macvtap,
    spec::{Network, Spec},
    tools,
};

pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// A guest to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'a> {
    pub(crate) guest: Guest<'a>,
    pub(crate) spec: &'a Spec,
    pub(crate) accel: Accel,
}

/// QEMU's arguments; `queues` are the descriptors of a macvtap.
fn arguments(machine: Machine<'_>, kernel: &Path, queues: &[RawFd]) -> Vec<String> {
    let Machine { guest, spec, accel } = machine;
    let mut line: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| line.extend([format!("-{option}"), value]);
    add("name", format!("guest={},debug-threads=on", guest.vm()));
    add("machine", "pc".to_owned());
    add("accel", accel.name().to_owned());
    add("cpu", accel.cpu().to_owned());
    add("smp", spec.cpus.to_string());
    add("m", spec.memory_mib.to_string());
    add("kernel", kernel.display().to_string());
    add("initrd", guest.lab.initramfs().display().to_string());
    add("append", kernel_words(guest, spec));
    add("serial", format!("file:{}", guest.console_log().display()));
    add("display", "none".to_owned());
    add("netdev", netdev(guest, spec, queues));
    add("device", network_device(guest, spec));
    add("device", "virtio-serial-pci".to_owned());
    for port in 0..GUEST_PORTS {
        let socket = guest.port_socket(port);
        add("chardev", format!("socket,id=port{port},path={},server=on,wait=off", socket.display()));
        add("device", format!("virtserialport,chardev=port{port},name={}", layout::port_name(port)));
    }
    line.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(String::from));
    line
}

/// The kernel's command line; the words with a dot are for init.sh.
fn kernel_words(guest: Guest<'_>, spec: &Spec) -> String {
    let station = addresses::guest(spec.network, guest.number);
    let (ipv4, ipv6) = addresses::guest_prefixes(spec.network);
    // A guest that panics ends QEMU, since -no-reboot turns its reboot into an end.
    let mut words = "console=ttyS0 panic=-1 loglevel=5".to_owned();
    words += &format!(" vmhop.ipv4={}/{ipv4} vmhop.ipv6={}/{ipv6}", station.ipv4, station.ipv6);
    // Behind a host that forwards nothing there is nowhere to go.
    if let Some(gateway) = addresses::gateway(spec.network).filter(|_| spec.network.is_routed()) {
        words += &format!(" vmhop.gateway4={} vmhop.gateway6={}", gateway.ipv4, gateway.ipv6);
    }
    words
}

/// The host's side of the guest's network device.
fn netdev(guest: Guest<'_>, spec: &Spec, queues: &[RawFd]) -> String {
    let fds: Vec<String> = queues.iter().map(RawFd::to_string).collect();
    let device = match fds.as_slice() {
        [] => format!("ifname={},script=no,downscript=no", layout::tap(guest.number)),
        [fd] => format!("fd={fd}"),
        fds => format!("fds={}", fds.join(":")),
    };
    // The number of descriptors says how many queues there are; a tap that QEMU opens itself has to be told.
    let count =
        if spec.queues > 1 && fds.is_empty() { format!(",queues={}", spec.queues) } else { String::new() };
    let vhost = if spec.vhost { "on" } else { "off" };
    format!("tap,id=net0,{device}{count},vhost={vhost}")
}

/// The guest's side.
fn network_device(guest: Guest<'_>, spec: &Spec) -> String {
    // One interrupt a queue, of which a pair has two; one for the control queue and one for the configuration.
    let queues =
        if spec.queues > 1 { format!(",mq=on,vectors={}", 2 * spec.queues + 2) } else { String::new() };
    // An empty romfile: the guest does not boot from the network.
    format!("virtio-net-pci,netdev=net0,mac={}{queues},romfile=", addresses::guest_mac(guest.number))
}

/// Starts QEMU inside the host side's namespace, in a session of its own, so that it stays when the terminal
/// goes; its messages go to the guest's qemu.log.
pub(crate) fn start(kernel: &Kernel, machine: Machine<'_>) -> anyhow::Result<Child> {
    let Machine { guest, spec, .. } = machine;
    let namespace = guest.lab.host_ns();
    let log_path = guest.qemu_log();
    let log = File::create(&log_path).with_context(|| format!("failed to make {}", log_path.display()))?;
    let queues = match spec.network {
        Network::Macvtap => macvtap::open(&namespace, &layout::tap(guest.number), spec.queues)?,
        _ => Vec::new(),
    };
    let fds: Vec<RawFd> = queues.iter().map(File::as_raw_fd).collect();
    let mut command = Command::new(tools::need(QEMU, "qemu-system-x86")?);
    command.args(arguments(machine, &kernel.image, &fds));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    own_session(&mut command);
    netns::enter_on_exec(&mut command, &namespace)?;
    keep_open(&mut command, queues);
    command.spawn().with_context(|| format!("failed to start {QEMU}"))
}

/// Hands these files on to `command`, under the numbers that they have here.
fn keep_open(command: &mut Command, files: Vec<File>) {
    let keep = move || {
        files.iter().try_for_each(|file| {
            fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).map(drop).map_err(std::io::Error::from)
        })
    };
    // SAFETY: the closure runs between fork and exec and does system calls on descriptors that it owns: it
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(keep) };
}

/// Makes `command` the leader of a session of its own.
pub(crate) fn own_session(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and does one system call without arguments.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(std::io::Error::from)) };
}

/// Checks what QEMU would refuse later in its own words.
pub(crate) fn check(spec: &Spec, accel: Accel) -> anyhow::Result<()> {
    if spec.vhost && !Path::new("/dev/vhost-net").exists() {
        bail!(
            "vhost is not available: /dev/vhost-net does not exist; load module vhost_net, or leave out --vhost"
        );
    }
    if accel == Accel::Kvm && !Path::new("/dev/kvm").exists() {
        bail!("KVM is not available: /dev/kvm does not exist; take --accel tcg");
    }
    Ok(())
}

/// The last lines of what QEMU and the guest's console have said.
pub(crate) fn last_words(guest: Guest<'_>) -> String {
    let tail = |path: &Path| {
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("\n  | {line}")).collect::<String>()
    };
    let mut words = String::new();
    for (title, path) in
        [("QEMU said:", guest.qemu_log()), ("the guest's console ended with:", guest.console_log())]
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
    use super::{super::layout::Lab, *};

    fn line(spec: &Spec, number: u8, accel: Accel, queues: &[RawFd]) -> String {
        let lab = Lab::new("x").unwrap();
        let machine = Machine { guest: lab.guest(number), spec, accel };
        arguments(machine, Path::new("/k"), queues).join(" ")
    }

    #[test]
    fn the_vm_can_be_found_by_the_labs_name_and_sits_on_the_tap() {
        let line = line(&Spec { cpus: 2, ..Spec::default() }, 1, Accel::Tcg, &[]);
        for part in [
            "-name guest=vmhop-x,debug-threads=on",
            "-netdev tap,id=net0,ifname=tap0,script=no,downscript=no,vhost=off",
            "-accel tcg -cpu max,la57=off -smp 2 -m 256",
            "-chardev socket,id=port1,path=/run/vmhop/lab-x/port1.sock,server=on,wait=off",
            " vmhop.ipv4=192.0.2.2/24 vmhop.ipv6=2001:db8::2/64 -serial",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn kvm_gets_the_hosts_processor_and_vhost_when_asked_for() {
        let line = line(&Spec { vhost: true, ..Spec::default() }, 1, Accel::Kvm, &[]);
        assert!(line.contains("-accel kvm -cpu host") && line.contains("vhost=on"), "{line}");
    }

    #[test]
    fn a_second_guest_shares_nothing_with_the_first() {
        let line = line(&Spec { network: Network::Routed, ..Spec::default() }, 2, Accel::Tcg, &[]);
        for part in [
            "guest=vmhop-x-2,",
            "ifname=tap1,",
            "mac=52:54:00:db:80:04,",
            "path=/run/vmhop/lab-x/port0-2.sock,",
            "file:/run/vmhop/lab-x/console-2.log",
            "vmhop.ipv4=198.51.100.4/32",
            "vmhop.gateway4=198.51.100.1 vmhop.gateway6=2001:db8:1::1",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn queues_are_told_to_both_sides() {
        let spec = Spec { queues: 2, ..Spec::default() };
        let line = |fds: &[RawFd]| line(&spec, 1, Accel::Tcg, fds);
        let (opened, given) = (line(&[]), line(&[5, 7]));
        assert!(opened.contains("downscript=no,queues=2,vhost=off"), "{opened}");
        assert!(given.contains("tap,id=net0,fds=5:7,vhost=off"), "{given}");
        assert!(opened.contains(",mq=on,vectors=6,"), "{opened}");
    }
}
