//! Why no hook serves a hop, and what would help.

use tracer_common::hop::Hop;

use crate::recording::Choice;

/// The reason, from what was passed over for the hop's cases.
pub(super) fn why(hop: Hop, choices: &[Choice]) -> String {
    // Each reason once, with the hooks that it is for.
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for over in choices.iter().flat_map(|choice| &choice.passed_over) {
        match reasons.iter_mut().find(|(why, _)| *why == over.why) {
            None => reasons.push((&over.why, vec![&over.hook])),
            Some((_, hooks)) if hooks.contains(&over.hook.as_str()) => {}
            Some((_, hooks)) => hooks.push(&over.hook),
        }
    }
    if reasons.is_empty() {
        return no_case(hop).to_owned();
    }
    let told = |(why, hooks): &(&str, Vec<&str>)| format!("{}: {why}", hooks.join(", "));
    reasons.iter().map(told).collect::<Vec<_>>().join("; ")
}

/// Why nothing was tried for a hop: no traced VM's frames pass it, or nothing can see it.
pub(super) fn no_case(hop: Hop) -> &'static str {
    match hop {
        Hop::BridgeIn | Hop::BridgeOut => "no traced tap is a port of a bridge or of Open vSwitch",
        Hop::IpIn | Hop::IpOut => "no traced VM's frames are routed",
        Hop::NicHw => "a NIC's own stamps are of its own clock, which this version does not read",
        Hop::NicIrq => "no traced NIC has an interrupt of its own (veth and other virtual devices have none)",
        Hop::VmmIrq => "no traced guest runs on KVM: an emulated guest's interrupts stay inside its VMM",
        Hop::VmmKick | Hop::VcpuEnter => "no VM is traced",
        Hop::TapWrite | Hop::TapRx | Hop::TapQueue | Hop::TapRing => "no traced VM has such a tap",
        _ => "this kernel does not have the tracepoint",
    }
}
