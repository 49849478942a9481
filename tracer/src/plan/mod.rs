//! Which hook serves which hop on this kernel.
//!
//! [`catalog`] lists every program with the hops it can serve; [`btf`] finds out what this kernel offers and
//! where its structures keep what the programs read. [`Plan::new`] is pure: facts and wishes in, a plan out.
//! Nothing is loaded here; what fails later on is taken out of the plan by `probe`.

pub mod btf;
pub mod catalog;

use tracer_common::hop::{Hook, Hop};

use crate::{
    plan::catalog::{CATALOG, Program},
    recording::PlannedHop,
    topology::{ThreadRole, Vm},
};

/// How XDP programs are used, `--xdp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum XdpMode {
    /// Only where no tracepoint serves the hop, since XDP as a probe disturbs what it measures.
    #[default]
    Auto,
    /// In the driver: fast, but replaces the skb on veth, and some NICs reopen the port.
    Native,
    /// In the stack, for any driver.
    Generic,
    /// Never.
    Off,
}

/// What the plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Tracepoints that BTF knows, by name.
    pub tracepoints: Vec<String>,
    /// Whether KVM's tracepoints exist.
    pub kvm: bool,
    /// Whether any traced guest runs on KVM.
    pub kvm_guest: bool,
    /// Whether any traced guest's CPU is emulated.
    pub emulated_guest: bool,
    /// Whether any traced tap is served by vhost.
    pub vhost: bool,
    /// Whether any traced NIC has an interrupt that is known.
    pub nic_irq: bool,
}

impl Facts {
    /// Adds what the traced VMs say to what the kernel says.
    pub fn with_vms(mut self, vms: &[&Vm]) -> Facts {
        self.kvm_guest = vms.iter().any(|vm| vm.kvm);
        self.emulated_guest = vms.iter().any(|vm| !vm.kvm);
        let has_vhost = |vm: &&Vm| vm.threads.iter().any(|thread| thread.role == ThreadRole::Vhost);
        self.vhost = vms.iter().any(has_vhost);
        self.nic_irq =
            vms.iter().flat_map(|vm| &vm.taps).flat_map(|tap| &tap.nics).any(|nic| !nic.irqs.is_empty());
        self
    }
}

/// Programs to attach, and the hops they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Programs to attach, in the order of the catalog.
    pub programs: Vec<&'static Program>,
    /// XDP mode asked for.
    pub xdp: XdpMode,
    /// Hops that cannot be served, with the reason and what would help.
    unserved: Vec<(Hop, String)>,
}

/// Hops of a frame's way, in the order of `doctor` and of the report.
pub const REPORTED_HOPS: &[Hop] = &[
    Hop::VmmKick,
    Hop::VmmWake,
    Hop::TapWrite,
    Hop::TapRx,
    Hop::BridgeIn,
    Hop::IpIn,
    Hop::IpOut,
    Hop::BridgeOut,
    Hop::NicQueue,
    Hop::NicXmit,
    Hop::NicDone,
    Hop::NicHw,
    Hop::NicIrq,
    Hop::NicRx,
    Hop::NicStack,
    Hop::TapQueue,
    Hop::TapRing,
    Hop::VmmRead,
    Hop::VmmReadEnd,
    Hop::VmmIrq,
    Hop::VcpuEnter,
];

impl Plan {
    /// Chooses the programs for `facts`.
    pub fn new(facts: &Facts, xdp: XdpMode) -> Plan {
        let programs: Vec<_> = CATALOG.iter().filter(|program| program.is_usable(facts)).collect();
        let mut plan = Plan { programs, xdp, unserved: Vec::new() };
        for &hop in REPORTED_HOPS {
            if plan.hooks(hop).is_empty() {
                plan.unserved.push((hop, catalog::why_unserved(hop, facts)));
            }
        }
        plan
    }

    /// Takes a program out that could not be attached.
    pub fn fail(&mut self, program: &Program, reason: &str) {
        self.programs.retain(|kept| kept.name != program.name);
        for &hop in program.hops {
            if REPORTED_HOPS.contains(&hop) && self.hooks(hop).is_empty() {
                self.unserved.push((hop, format!("{} could not be attached: {reason}", program.hook.name())));
            }
        }
    }

    /// The hooks that serve `hop`, first choice first.
    pub fn hooks(&self, hop: Hop) -> Vec<Hook> {
        let mut hooks: Vec<_> = self
            .programs
            .iter()
            .filter(|program| program.hops.contains(&hop))
            .map(|program| program.hook)
            .collect();
        let by_xdp = matches!(hop, Hop::NicRx | Hop::TapRx);
        if by_xdp && matches!(self.xdp, XdpMode::Native | XdpMode::Generic) {
            hooks.insert(0, Hook::Xdp);
        }
        hooks
    }

    /// Takes XDP out where it could not be attached to any device.
    pub fn without_xdp(&mut self) {
        self.xdp = XdpMode::Off;
    }

    /// The plan as the recording and `doctor` show it, one entry a hop.
    pub fn hops(&self) -> Vec<PlannedHop> {
        let describe = |&hop: &Hop| PlannedHop {
            hop: hop.name().to_owned(),
            hooks: self.hooks(hop).iter().map(|hook| hook.name().to_owned()).collect(),
            unserved: self.unserved.iter().find(|(missing, _)| *missing == hop).map(|(_, why)| why.clone()),
        };
        REPORTED_HOPS.iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let tracepoints =
            CATALOG.iter().filter_map(|program| program.tracepoint()).map(str::to_owned).collect();
        Facts { tracepoints, kvm: true, kvm_guest: true, ..Facts::default() }
    }

    #[test]
    fn every_reported_hop_is_served_or_says_why_not() {
        for facts in [facts(), Facts::default(), Facts { emulated_guest: true, kvm_guest: false, ..facts() }]
        {
            for hop in Plan::new(&facts, XdpMode::Auto).hops() {
                assert_ne!(hop.hooks.is_empty(), hop.unserved.is_none(), "{hop:?}");
            }
        }
    }

    #[test]
    fn a_program_that_fails_leaves_its_hops_unserved_with_the_reason() {
        let mut plan = Plan::new(&facts(), XdpMode::Auto);
        let program = plan.programs.iter().find(|program| program.hook == Hook::NetDevQueue).copied();
        plan.fail(program.unwrap(), "EPERM");
        let hops = plan.hops();
        let queue = hops.iter().find(|hop| hop.hop == "nic.queue").unwrap();
        assert!(queue.unserved.as_ref().unwrap().contains("EPERM"));
    }

    #[test]
    fn an_emulated_guest_has_no_kvm_hooks() {
        let facts = Facts { emulated_guest: true, kvm_guest: false, ..facts() };
        let plan = Plan::new(&facts, XdpMode::Auto);
        assert_eq!(plan.hooks(Hop::VcpuEnter), [Hook::SchedSwitch]);
        assert!(plan.hooks(Hop::VmmIrq).is_empty());
    }

    #[test]
    fn xdp_asked_for_comes_before_the_tracepoints() {
        let plan = Plan::new(&facts(), XdpMode::Generic);
        assert_eq!(plan.hooks(Hop::NicRx), [Hook::Xdp, Hook::NetifRx, Hook::NapiGroReceiveEntry]);
    }
}
