//! From a thread's name to its role. Pure; the names are those that the VMMs and the kernel give.

use super::model::{ThreadRole, Vmm};

/// What the thread named `comm` does for a VM run by `vmm`; `main` if it is the process's first thread.
pub(super) fn role(vmm: &Vmm, comm: &str, main: bool) -> ThreadRole {
    // Since 6.4 vhost's workers are threads of their owner (vhost_task_create, named by vhost_worker_create).
    if comm.strip_prefix("vhost-").is_some_and(is_number) {
        return ThreadRole::Vhost;
    }
    match vmm {
        Vmm::Qemu => qemu(comm, main),
        Vmm::Firecracker => firecracker(comm, main),
        Vmm::CloudHypervisor => cloud_hypervisor(comm),
        Vmm::Other(_) => other(comm, main),
    }
}

/// The PID in the name of a vhost worker, which is the thread that claimed the device (vhost_dev_set_owner).
pub(super) fn vhost_owner(comm: &str) -> Option<i32> {
    comm.strip_prefix("vhost-")?.parse().ok()
}

/// QEMU names its threads unless `debug-threads=off`; then only the main one, which runs the main loop, can be
/// told from the others.
fn qemu(comm: &str, main: bool) -> ThreadRole {
    if main {
        return ThreadRole::Io;
    }
    // `CPU 0/KVM`, `CPU 0/TCG`; one thread for all CPUs without multi-threaded TCG.
    if comm.starts_with("ALL CPUs/") {
        return ThreadRole::Vcpu(0);
    }
    if let Some(cpu) = comm.strip_prefix("CPU ").and_then(leading_number) {
        return ThreadRole::Vcpu(cpu);
    }
    // The monitor's own I/O thread serves no device.
    if comm.starts_with("IO ") && !comm.starts_with("IO mon_") {
        return ThreadRole::Io;
    }
    ThreadRole::Other
}

/// Firecracker emulates its devices in the main thread; `fc_api` only listens for requests.
fn firecracker(comm: &str, main: bool) -> ThreadRole {
    match comm.strip_prefix("fc_vcpu").and_then(leading_number) {
        Some(cpu) => ThreadRole::Vcpu(cpu),
        None if main => ThreadRole::Io,
        None => ThreadRole::Other,
    }
}

/// Cloud Hypervisor runs a thread for each pair of queues, named `DEVICE_qpN`; its main thread serves none.
fn cloud_hypervisor(comm: &str) -> ThreadRole {
    if let Some(cpu) = comm.strip_prefix("vcpu").and_then(leading_number) {
        return ThreadRole::Vcpu(cpu);
    }
    match comm.rsplit_once("_qp") {
        Some((_, pair)) if is_number(pair) => ThreadRole::Io,
        _ => ThreadRole::Other,
    }
}

/// Of an unknown VMM: most put `vcpu` into the name of a vCPU's thread.
fn other(comm: &str, main: bool) -> ThreadRole {
    let vcpu = comm.find("vcpu").map(|at| &comm[at + "vcpu".len()..]);
    match vcpu.and_then(|rest| leading_number(rest.trim_start_matches(['_', '-', ' ', ':']))) {
        Some(cpu) => ThreadRole::Vcpu(cpu),
        None if main => ThreadRole::Io,
        None => ThreadRole::Other,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_role() {
        let other = Vmm::Other("crosvm".into());
        for (vmm, comm, main, expected) in [
            (Vmm::Qemu, "qemu-system-x86", true, ThreadRole::Io),
            (Vmm::Qemu, "qemu-system-x86", false, ThreadRole::Other),
            (Vmm::Qemu, "CPU 0/KVM", false, ThreadRole::Vcpu(0)),
            (Vmm::Qemu, "CPU 127/TCG", false, ThreadRole::Vcpu(127)),
            (Vmm::Qemu, "ALL CPUs/TCG", false, ThreadRole::Vcpu(0)),
            (Vmm::Qemu, "CPU /KVM", false, ThreadRole::Other),
            (Vmm::Qemu, "IO iothread1", false, ThreadRole::Io),
            (Vmm::Qemu, "IO mon_iothread", false, ThreadRole::Other),
            (Vmm::Qemu, "call_rcu", false, ThreadRole::Other),
            (Vmm::Qemu, "vhost-4242", false, ThreadRole::Vhost),
            (Vmm::Qemu, "vhost-user", false, ThreadRole::Other),
            (Vmm::Firecracker, "firecracker", true, ThreadRole::Io),
            (Vmm::Firecracker, "fc_vcpu 3", false, ThreadRole::Vcpu(3)),
            (Vmm::Firecracker, "fc_api", false, ThreadRole::Other),
            (Vmm::CloudHypervisor, "vcpu12", false, ThreadRole::Vcpu(12)),
            (Vmm::CloudHypervisor, "_net2_qp0", false, ThreadRole::Io),
            (Vmm::CloudHypervisor, "_net2_ctrl", false, ThreadRole::Other),
            (Vmm::CloudHypervisor, "cloud-hyperviso", true, ThreadRole::Other),
            (other.clone(), "crosvm_vcpu5", false, ThreadRole::Vcpu(5)),
            (other.clone(), "crosvm", true, ThreadRole::Io),
            (other, "vcpu", false, ThreadRole::Other),
        ] {
            assert_eq!(role(&vmm, comm, main), expected, "{vmm} {comm}");
        }
    }

    #[test]
    fn a_vhost_worker_names_its_owner() {
        assert_eq!(vhost_owner("vhost-4242"), Some(4242));
        assert_eq!(vhost_owner("vhost-user"), None);
        assert_eq!(vhost_owner("kvm-pit/4242"), None);
    }
}
