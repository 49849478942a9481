//! From a process's executable and command line to the VMM and the VM's name. Pure.

use super::model::Vmm;

/// The VMM whose executable has this file name.
pub(super) fn vmm(exe: &str) -> Vmm {
    // The link /proc/PID/exe of a program that was replaced on disk, as an upgrade does, ends in this.
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    match exe {
        _ if exe.starts_with("qemu-system-") => Vmm::Qemu,
        "qemu-kvm" | "kvm" | "qemu" => Vmm::Qemu,
        _ if exe.starts_with("firecracker") => Vmm::Firecracker,
        _ if exe.starts_with("cloud-hypervisor") => Vmm::CloudHypervisor,
        _ => Vmm::Other(exe.to_owned()),
    }
}

/// The name that the VM was started under, else `exe-PID`.
pub(super) fn name(vmm: &Vmm, exe: &str, pid: i32, cmdline: &[String]) -> String {
    let given = match vmm {
        Vmm::Qemu => option(cmdline, &["-name", "--name"]).and_then(qemu_guest),
        Vmm::Firecracker => option(cmdline, &["--id"]).map(str::to_owned),
        Vmm::CloudHypervisor => option(cmdline, &["--api-socket"]).and_then(socket_stem),
        Vmm::Other(_) => None,
    };
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    given.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("{exe}-{pid}"))
}

/// The value of the last of these options, as `--name value` or `--name=value`.
fn option<'a>(cmdline: &'a [String], names: &[&str]) -> Option<&'a str> {
    let mut value = None;
    for (at, argument) in cmdline.iter().enumerate().skip(1) {
        if names.contains(&argument.as_str()) {
            value = cmdline.get(at + 1).map(String::as_str);
        } else if let Some((name, rest)) = argument.split_once('=')
            && names.contains(&name)
        {
            value = Some(rest);
        }
    }
    value
}

/// The guest's name in the value of QEMU's `-name`: `guest=` may be left out of the first part, and a comma
/// within a value is written twice (QemuOpts).
fn qemu_guest(value: &str) -> Option<String> {
    let value = value.replace(",,", "\0");
    let mut guest = None;
    for (at, part) in value.split(',').enumerate() {
        match part.split_once('=') {
            Some(("guest", name)) => guest = Some(name),
            None if at == 0 => guest = Some(part),
            Some(_) | None => {}
        }
    }
    guest.map(|name| name.replace('\0', ","))
}

/// The file name of a socket given as `PATH` or `path=PATH,...`, without its ending.
fn socket_stem(value: &str) -> Option<String> {
    let path = value.split(',').find_map(|part| part.strip_prefix("path=")).unwrap_or(value);
    if path.starts_with("fd=") {
        return None;
    }
    Some(std::path::Path::new(path).file_stem()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(exe: &str, arguments: &str) -> String {
        let cmdline: Vec<String> =
            std::iter::once(exe).chain(arguments.split_whitespace()).map(str::to_owned).collect();
        name(&vmm(exe), exe, 7, &cmdline)
    }

    #[test]
    fn an_executable_tells_the_vmm() {
        for (exe, expected) in [
            ("qemu-system-x86_64", Vmm::Qemu),
            ("qemu-kvm", Vmm::Qemu),
            ("qemu-system-aarch64 (deleted)", Vmm::Qemu),
            ("firecracker", Vmm::Firecracker),
            ("firecracker-v1.13.1-x86_64", Vmm::Firecracker),
            ("cloud-hypervisor-static", Vmm::CloudHypervisor),
            ("qemu-img", Vmm::Other("qemu-img".into())),
            ("crosvm", Vmm::Other("crosvm".into())),
        ] {
            assert_eq!(vmm(exe), expected, "{exe}");
        }
    }

    #[test]
    fn a_command_line_names_the_vm() {
        for (exe, arguments, expected) in [
            ("qemu-system-x86_64", "-name lab -m 1G", "lab"),
            ("qemu-system-x86_64", "-m 1G -name guest=web,debug-threads=on", "web"),
            ("qemu-system-x86_64", "-name debug-threads=on,guest=web", "web"),
            ("qemu-system-x86_64", "--name web,process=x", "web"),
            ("qemu-system-x86_64", "-name guest=a,,b", "a,b"),
            ("qemu-system-x86_64", "-name first -name second", "second"),
            ("qemu-system-x86_64", "-name debug-threads=on", "qemu-system-x86_64-7"),
            ("qemu-system-x86_64", "-m 1G", "qemu-system-x86_64-7"),
            ("qemu-system-x86_64", "-name", "qemu-system-x86_64-7"),
            ("qemu-kvm (deleted)", "", "qemu-kvm-7"),
            ("firecracker", "--id fc1 --api-sock /run/fc.sock", "fc1"),
            ("firecracker", "--id=fc1", "fc1"),
            ("firecracker", "--no-api", "firecracker-7"),
            ("cloud-hypervisor", "--api-socket /run/web.sock", "web"),
            ("cloud-hypervisor", "--api-socket path=/run/web.sock,x=y", "web"),
            ("cloud-hypervisor", "--api-socket=/run/web.sock", "web"),
            ("cloud-hypervisor", "--api-socket fd=3", "cloud-hypervisor-7"),
            ("pasta", "--name x", "pasta-7"),
        ] {
            assert_eq!(named(exe, arguments), expected, "{exe} {arguments}");
        }
    }
}
