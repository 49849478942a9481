//! XDP on request, on taps and NICs only: never on a bridge, never in the place of a program that is there.

use std::{fs::File, thread};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{Ebpf, programs};
use nix::sched::{CloneFlags, setns};
use tracer_common::config::device_value;

use crate::{
    plan::XdpMode,
    probe::targets::{Target, Targets, fill},
    topology,
};

/// What came of it.
pub(super) struct Outcome {
    /// Devices with our program.
    pub attached: usize,
    /// Devices without, and why, one sentence each.
    pub refused: Vec<String>,
}

/// Attaches the program to every traced device that takes it.
pub(super) fn attach(ebpf: &mut Ebpf, mode: XdpMode, targets: &Targets) -> Outcome {
    let mut outcome = Outcome { attached: 0, refused: Vec::new() };
    let mut used: Vec<u32> = Vec::new();
    for target in &targets.devices {
        let name = format!("{} in {}", target.device.name, target.device.netns_label());
        let result = if used.contains(&target.device.ifindex) {
            Err(anyhow!("another traced device has the same index in another namespace, and XDP cannot tell them apart"))
        } else {
            attach_one(ebpf, mode, target)
        };
        match result {
            Ok(()) => {
                used.push(target.device.ifindex);
                outcome.attached += 1;
            }
            Err(error) => outcome.refused.push(format!("no XDP on {name}: {error:#}; the tracepoint serves there")),
        }
    }
    outcome
}

fn attach_one(ebpf: &mut Ebpf, mode: XdpMode, target: &Target) -> Result<()> {
    let device = &target.device;
    fill(ebpf, "XDP_DEVICES", &[(device.ifindex, device_value(target.slot, target.role))])?;
    let program = ebpf.program_mut("xdp_pass").ok_or_else(|| anyhow!("the BPF object has no XDP program"))?;
    let program: &mut programs::Xdp = program.try_into()?;
    if program.fd().is_err() {
        program.load().context("failed to load the XDP program")?;
    }
    if topology::has_xdp(device)? {
        bail!("another XDP program is there");
    }
    let mode = match mode {
        XdpMode::Generic => programs::xdp::XdpMode::Skb,
        _ => programs::xdp::XdpMode::Driver,
    };
    in_namespace(device.netns_file()?, || program.attach_to_if_index(device.ifindex, mode).map(drop))?
        .context("the kernel refuses it")
}

/// Runs `work` in a thread that has entered the network namespace: a link is made where its maker is.
fn in_namespace<T: Send>(namespace: File, work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let entered = scope.spawn(move || -> Result<T> {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("failed to enter the device's network namespace")?;
            Ok(work())
        });
        entered.join().map_err(|_| anyhow!("the thread in the device's network namespace ended early"))?
    })
}
