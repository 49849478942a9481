//! Which families of figures a watch has beside those of its report.

use std::fmt;

use prometheus_client::registry::Unit;

use super::{Families, Labels, labels};
use crate::report::WatchState;

/// Writes all of them.
pub(super) fn encode(state: &WatchState, out: &mut Families<'_>) -> fmt::Result {
    out.info("vmhop_watch", "The vmhop that watches", [labels([("version", env!("CARGO_PKG_VERSION"))])])?;
    let elapsed = [(Labels::new(), state.elapsed_ns as f64)];
    out.seconds_total("vmhop_watch_elapsed", "Time since the watch began", elapsed)?;
    seen(state, out)?;
    followed(state, out)?;
    recorded(state, out)?;
    cost(state, out)
}

fn seen(state: &WatchState, out: &mut Families<'_>) -> fmt::Result {
    let frames = state.frames.iter().map(|(vm, count)| (labels([("vm", vm)]), *count));
    out.counter("vmhop_watch_frames", "Frames that entered from, or went to, a guest", frames)?;
    out.counter("vmhop_watch_events", "Events read", [(Labels::new(), state.events)])?;
    let lost = state.counters.lost.values().sum();
    out.counter(
        "vmhop_watch_events_lost",
        "Events that the buffers had no room for",
        [(Labels::new(), lost)],
    )?;
    let lost = state.counters.lost.iter().map(|(hop, count)| (labels([("hop", hop)]), *count));
    out.counter("vmhop_watch_hop_lost", "The same by hop, where there were any", lost)?;
    let help = "Records that could not be decoded";
    out.counter("vmhop_watch_events_undecoded", help, [(Labels::new(), state.counters.undecoded)])
}

fn followed(state: &WatchState, out: &mut Families<'_>) -> fmt::Result {
    let now = |count: u64| [(Labels::new(), count as f64)];
    out.gauge("vmhop_watch_vms", "VMs that are watched now", None, now(state.vms))?;
    out.counter("vmhop_watch_vms_seen", "VMs that came", [(Labels::new(), state.vms_seen)])?;
    out.gauge("vmhop_watch_devices", "Devices that are traced now", None, now(state.devices))?;
    let help = "Devices that there is room for beside them";
    out.gauge("vmhop_watch_devices_free", help, None, now(state.free_slots))?;
    out.counter(
        "vmhop_watch_attached",
        "How often programs were attached",
        [(Labels::new(), state.attached)],
    )?;
    let help = "Looks at the host for VMs that come and go";
    out.counter("vmhop_watch_scans", help, [(Labels::new(), state.scans)])?;
    out.seconds_total("vmhop_watch_scan", "Time that these took", [(Labels::new(), state.scan_ns as f64)])
}

fn recorded(state: &WatchState, out: &mut Families<'_>) -> fmt::Result {
    out.counter(
        "vmhop_watch_recordings",
        "Recordings that were closed",
        [(Labels::new(), state.recordings)],
    )?;
    let help = "Their bytes";
    out.counter("vmhop_watch_recordings_bytes", help, [(Labels::new(), state.recorded_bytes)])?;
    let kept = [(Labels::new(), state.kept as f64)];
    out.gauge("vmhop_watch_recordings_kept", "Recordings that are kept now", None, kept)?;
    let help = "Recordings whose figures are in the other families";
    out.counter("vmhop_watch_recordings_analysed", help, [(Labels::new(), state.analysed)])?;
    let help = "Recordings whose figures are in none: taking figures took longer than recording";
    out.counter("vmhop_watch_recordings_skipped", help, [(Labels::new(), state.skipped)])
}

fn cost(state: &WatchState, out: &mut Families<'_>) -> fmt::Result {
    let resident = [(Labels::new(), state.resident_bytes as f64)];
    out.gauge("vmhop_watch_resident_memory", "Memory of vmhop's process", Some(&Unit::Bytes), resident)?;
    let cpu = [(Labels::new(), state.counters.reader_cpu_ns as f64)];
    out.seconds_total("vmhop_watch_cpu", "CPU time of vmhop's process, reports included", cpu)?;
    let run_ns: u64 = state.counters.programs.iter().map(|program| program.run_ns).sum();
    let metered = [(Labels::new(), state.counters.metered_ns as f64)];
    let help = "Time in which the kernel measured the BPF programs, a part of all the time";
    out.seconds_total("vmhop_watch_metered", help, metered)?;
    let help = "Time in BPF programs, within vmhop_watch_metered";
    out.seconds_total("vmhop_watch_programs_time", help, [(Labels::new(), run_ns as f64)])?;
    let sum = |count: fn(&crate::recording::ProgramCost) -> u64| {
        [(Labels::new(), state.counters.programs.iter().map(count).sum::<u64>())]
    };
    out.counter("vmhop_watch_programs_runs", "Runs of BPF programs", sum(|program| program.runs))?;
    let help = "Runs that the kernel skipped";
    out.counter("vmhop_watch_programs_skipped", help, sum(|program| program.missed))
}
