//! The topology as a tree of text, for `vmhop topology`. Pure: data in, text out.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use crate::topology::{
    Device, DeviceKind, SwitchKind, Tap, Thread, ThreadRole, Topology, Vm, Vmm, printable,
};

/// Width of the column of labels left of threads and paths.
const LABEL: usize = 8;

/// Writes a tree with a branch for each VM, its threads and the path behind each of its taps.
pub fn write_tree(topology: &Topology, out: &mut dyn Write) -> io::Result<()> {
    if topology.vms.is_empty() {
        writeln!(out, "No VM found: no process holds a tap.")?;
        return writeln!(out, "Start a VM with a tap, or the lab with `vmhop lab up`.");
    }
    for (at, vm) in topology.vms.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        write_vm(vm, out)?;
    }
    Ok(())
}

fn write_vm(vm: &Vm, out: &mut dyn Write) -> io::Result<()> {
    let cpu = match (&vm.vmm, vm.kvm) {
        (_, true) => ", KVM",
        (Vmm::Qemu, false) => ", emulated",
        (_, false) => "",
    };
    let kind = printable(&vm.vmm.to_string());
    writeln!(out, "{}  {kind}, PID {}{cpu}", printable(&vm.name), vm.pid)?;
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    if !vm.threads.is_empty() {
        rows.push(("threads", thread_lines(&vm.threads)));
    }
    rows.extend(vm.taps.iter().map(|tap| ("path", path_lines(tap))));
    let last = rows.len().saturating_sub(1);
    for (at, (label, lines)) in rows.into_iter().enumerate() {
        let (branch, stem) = if at == last { ("└─", "  ") } else { ("├─", "│ ") };
        for (line_at, line) in lines.iter().enumerate() {
            match line_at {
                0 => writeln!(out, "{branch} {label:LABEL$} {line}")?,
                _ => writeln!(out, "{stem} {:LABEL$} {line}", "")?,
            }
        }
    }
    Ok(())
}

/// One line a role: the vCPUs, what serves devices, vhost, and how many others there are.
fn thread_lines(threads: &[Thread]) -> Vec<String> {
    let mut vcpus: Vec<(u32, i32)> = Vec::new();
    let (mut io, mut vhost, mut others) = (Vec::new(), Vec::new(), 0);
    for Thread { tid, name, role } in threads {
        match role {
            ThreadRole::Vcpu(cpu) => vcpus.push((*cpu, *tid)),
            ThreadRole::Io => io.push(format!("{tid} {}", printable(name))),
            ThreadRole::Vhost => vhost.push(format!("{tid} {}", printable(name))),
            ThreadRole::Other => others += 1,
        }
    }
    vcpus.sort_unstable();
    let vcpus: Vec<_> = vcpus.into_iter().map(|(cpu, tid)| format!("{tid} CPU {cpu}")).collect();
    let mut lines: Vec<String> = [("vCPU", vcpus), ("I/O", io), ("vhost", vhost)]
        .into_iter()
        .filter(|(_, threads)| !threads.is_empty())
        .map(|(role, threads)| format!("{role:6} {}", threads.join(", ")))
        .collect();
    if others > 0 {
        lines.push(format!("{:6} {others}", "other"));
    }
    lines
}

/// The path behind a tap: one line, and one more for each further NIC, its arrow below the first one's.
fn path_lines(tap: &Tap) -> Vec<String> {
    let Tap { device, fds: _, switch, routed, nics } = tap;
    let queues = if device.queues > 1 { format!(", {} queues", device.queues) } else { String::new() };
    let kind = if device.kind == DeviceKind::Tap { String::new() } else { format!("{}, ", device.kind) };
    let mut head = format!("{} ({kind}ns {}{queues})", state(device), printable(&device.netns_label()));
    let between = match switch {
        Some(switch) if switch.kind == SwitchKind::Route || switch.kind == SwitchKind::Macvtap => None,
        Some(switch) => Some((switch.kind, &switch.device)),
        None => None,
    };
    if let Some((kind, switch)) = between {
        // The device that stands for Open vSwitch's datapath is never up; its ports say what passes.
        let name = if kind == SwitchKind::Ovs { printable(&switch.name) } else { state(switch) };
        let _ = write!(head, " → {kind} {name}");
    }
    if *routed {
        head.push_str(" → routed");
    }
    let Some((first, rest)) = nics.split_first() else {
        let end = if switch.is_some() { "the host itself" } else { "nothing" };
        return vec![format!("{head} → {end}: no NIC behind it and no default route")];
    };
    if rest.is_empty() {
        return vec![format!("{head} → {}", nic(first, device))];
    }
    let indent = head.chars().count() + 1;
    let mut lines = vec![format!("{head} ┬→ {}", nic(first, device))];
    for (at, further) in rest.iter().enumerate() {
        let corner = if at + 1 == rest.len() { '└' } else { '├' };
        lines.push(format!("{:indent$}{corner}→ {}", "", nic(further, device)));
    }
    lines
}

/// A NIC behind the devices on top of it.
fn nic(nic: &Device, tap: &Device) -> String {
    let uppers =
        nic.via.iter().map(|upper| format!("{} {} → ", printable(&upper.kind.to_string()), state(upper)));
    uppers.collect::<String>() + &described(nic, tap)
}

/// A device with what tells it from others; its namespace only where it is not the tap's.
fn described(nic: &Device, tap: &Device) -> String {
    let mut words = vec![match (&nic.kind, &nic.driver) {
        (DeviceKind::Physical, Some(driver)) => printable(driver),
        (kind, _) => printable(&kind.to_string()),
    }];
    if nic.netns != tap.netns {
        words.push(format!("ns {}", printable(&nic.netns_label())));
    }
    if let Some(far) = &nic.far_end {
        let name = far.name.as_deref().map_or_else(|| format!("device {}", far.ifindex), printable);
        let place = match (&far.netns_name, far.netns) {
            (_, Some(netns)) if netns == nic.netns => String::new(),
            (Some(netns), _) => format!(" in {}", printable(netns)),
            (None, Some(netns)) => format!(" in net:[{netns}]"),
            (None, None) => " in an unknown namespace".to_owned(),
        };
        words.push(format!("far end {name}{place}"));
    }
    if !nic.irqs.is_empty() {
        words.push(format!("{} IRQ{}", nic.irqs.len(), if nic.irqs.len() == 1 { "" } else { "s" }));
    }
    format!("{} ({})", state(nic), words.join(", "))
}

/// A device's name, marked if nothing can pass it.
fn state(device: &Device) -> String {
    let name = printable(&device.name);
    if device.up { name } else { format!("{name} [down]") }
}

#[cfg(test)]
mod tests;
