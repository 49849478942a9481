//! XDP on request, on taps and NICs only: never on a bridge, never in the place of a program that is there.

use std::{fs::File, thread};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf,
    programs::{self, links::FdLink},
};
use nix::sched::{CloneFlags, setns};
use tracer_common::config::device_value;

use crate::{
    plan::XdpMode,
    probe::targets::{Target, Targets, fill},
    topology,
};

/// What came of it.
pub(super) struct Outcome {
    /// Attachments, each undone when dropped.
    pub links: Vec<FdLink>,
    /// Devices without, and why, one sentence each.
    pub refused: Vec<String>,
}

/// Attaches the program to every traced device that takes it.
pub(super) fn attach(ebpf: &mut Ebpf, mode: XdpMode, targets: &Targets) -> Outcome {
    let mut outcome = Outcome { links: Vec::new(), refused: Vec::new() };
    let mut used: Vec<u32> = Vec::new();
    for target in &targets.devices {
        let name = format!("{} in {}", target.device.name, target.device.netns_label());
        let result = if used.contains(&target.device.ifindex) {
            Err(anyhow!(
                "another traced device has the same index in another namespace, and XDP cannot tell them apart"
            ))
        } else {
            attach_one(ebpf, mode, target)
        };
        match result {
            Ok(link) => {
                used.push(target.device.ifindex);
                outcome.links.push(link);
            }
            Err(error) => {
                outcome.refused.push(format!("no XDP on {name}: {error:#}; the tracepoint serves there"))
            }
        }
    }
    outcome
}

fn attach_one(ebpf: &mut Ebpf, mode: XdpMode, target: &Target) -> Result<FdLink> {
    let device = &target.device;
    fill(ebpf, "XDP_DEVICES", &[(device.ifindex, device_value(target.slot, target.role))])?;
    let program = ebpf.program_mut("xdp_pass").ok_or_else(|| anyhow!("the BPF object has no XDP program"))?;
    let program: &mut programs::Xdp = program.try_into()?;
    if program.fd().is_err() {
        program.load().context("failed to load the XDP program")?;
    }
    let mode = match mode {
        XdpMode::Generic => programs::xdp::XdpMode::Skb,
        _ => programs::xdp::XdpMode::Driver,
    };
    let namespace = topology::open_namespace(device.netns)?;
    let link = in_namespace(namespace, || program.attach_to_if_index(device.ifindex, mode))?
        .context("the kernel refuses it, or another XDP program is there")?;
    keep_only_a_link(program, link)
}

/// aya falls back to netlink where the kernel has no XDP links; such an attachment would outlive this process.
fn keep_only_a_link(program: &mut programs::Xdp, link: programs::xdp::XdpLinkId) -> Result<FdLink> {
    match FdLink::try_from(program.take_link(link)?) {
        Ok(link) => Ok(link),
        Err(_) => bail!(
            "this kernel has no XDP links (v5.9 and later have), and without one it would outlive vmhop"
        ),
    }
}

/// Runs `work` in a thread that has entered the network namespace: a link is made where its maker is.
fn in_namespace<T: Send>(namespace: File, work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let entered = scope.spawn(move || -> Result<T> {
            setns(&namespace, CloneFlags::CLONE_NEWNET)
                .context("failed to enter the device's network namespace")?;
            Ok(work())
        });
        entered.join().map_err(|_| anyhow!("the thread in the device's network namespace ended early"))?
    })
}
