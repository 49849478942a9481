//! Which families of figures a report has. A name says what is counted; times are in seconds, shares are ratios.

use std::{collections::BTreeMap, fmt};

use prometheus_client::registry::Unit;

use super::{Families, Labels, labels};
use crate::{
    recording::Mode,
    report::{Group, LayerRow, NicRow, Report, SegmentRow, VcpuTimeKind},
};

/// Percentiles of a row, ns: quantile and value.
type Quantiles = [(&'static str, Option<u64>); 4];

/// A family of counters: its name, what it counts, and the count of a row.
type Counted<R> = (&'static str, &'static str, fn(&R) -> u64);

/// Writes all of them.
pub(super) fn encode(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    about(report, out)?;
    exchanges(&report.exchanges.groups, out)?;
    layers(&report.exchanges.groups, out)?;
    if report.recording.mode == Mode::Histogram {
        frame_layers(report, out)?;
    }
    segments(&report.exchanges.groups, out)?;
    passage_segments(&report.segments, out)?;
    hops(report, out)?;
    passages(report, out)?;
    nics(report, out)?;
    losses(report, out)?;
    bill(report, out)?;
    cost(report, out)
}

fn about(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let (host, recording) = (&report.host, &report.recording);
    out.info("vmhop_build", "The vmhop that recorded", [labels([("version", &host.vmhop)])])?;
    let words = labels([
        ("host", host.name.as_str()),
        ("kernel", &host.kernel),
        ("arch", &host.arch),
        ("started", &recording.started),
        ("filter", &recording.filter),
    ]);
    out.info("vmhop_recording", "What was recorded, and where", [words])?;
    out.info("vmhop_vm", "A VM that was traced", recording.vms.iter().map(|vm| labels([("vm", vm)])))?;
    let duration = [(Labels::new(), recording.duration_ns as f64 / 1e9)];
    out.gauge(
        "vmhop_recording_duration",
        "From the first to the last event",
        Some(&Unit::Seconds),
        duration,
    )?;
    let complete = f64::from(u8::from(recording.complete));
    let help = "1 where the recording was closed, 0 after a crash or a cut";
    out.gauge("vmhop_recording_complete", help, None, [(Labels::new(), complete)])?;
    out.counter("vmhop_events", "Events read", [(Labels::new(), recording.events)])?;
    let count = |grave| report.warnings.iter().filter(|warning| warning.grave == grave).count() as f64;
    let warnings = [("true", true), ("false", false)];
    let warnings = warnings.map(|(word, grave)| (labels([("grave", word)]), count(grave)));
    out.gauge(
        "vmhop_warnings",
        "Warnings of the report; a grave one could change the conclusions",
        None,
        warnings,
    )
}

fn of_group(group: &Group) -> Labels {
    labels([("kind", &group.kind), ("initiator", &group.initiator)])
}

fn of_layer(group: &Group, layer: &LayerRow) -> Labels {
    labels([("kind", group.kind.as_str()), ("initiator", &group.initiator), ("layer", &layer.layer)])
}

fn of_segment(segment: &SegmentRow) -> Labels {
    labels([
        ("way", segment.way.as_str()),
        ("from", &segment.from),
        ("to", &segment.to),
        ("layer", &segment.layer),
    ])
}

fn of_group_segment(group: &Group, segment: &SegmentRow) -> Labels {
    [of_group(group), of_segment(segment)].concat()
}

/// One sample a percentile that is known, seconds.
fn quantiles(labels: &Labels, values: Quantiles) -> Vec<(Labels, f64)> {
    let known = values.into_iter().filter_map(|(quantile, ns)| Some((quantile, ns?)));
    let sample = |(quantile, ns): (&str, u64)| {
        let mut labels = labels.clone();
        labels.push(("quantile", quantile.to_owned()));
        (labels, ns as f64 / 1e9)
    };
    known.map(sample).collect()
}

fn exchanges(groups: &[Group], out: &mut Families<'_>) -> fmt::Result {
    let counts: [Counted<Group>; 4] = [
        ("vmhop_exchanges", "Questions with their answers", |group| group.count),
        ("vmhop_exchanges_unanswered", "Questions without an answer", |group| group.unanswered),
        (
            "vmhop_exchanges_ambiguous",
            "Answers that more than one question could have; in no time",
            |group| group.ambiguous,
        ),
        (
            "vmhop_exchanges_overtaken",
            "Exchanges whose question was done with only after its answer had come",
            |group| group.overtaken,
        ),
    ];
    for (name, help, count) in counts {
        out.counter(name, help, groups.iter().map(|group| (of_group(group), count(group))))?;
    }
    let help = "First hop of the question to last hop of the answer, over all exchanges";
    let sums = groups.iter().filter_map(|group| Some((of_group(group), group.mean_ns? * group.count as f64)));
    out.seconds_total("vmhop_exchange_time", help, sums)?;
    let rows = groups.iter().flat_map(|group| {
        let values =
            [("0.5", group.p50_ns), ("0.9", group.p90_ns), ("0.99", group.p99_ns), ("1", group.max_ns)];
        quantiles(&of_group(group), values)
    });
    let help = "The same of one exchange";
    out.gauge("vmhop_exchange_time_quantile", help, Some(&Unit::Seconds), rows)
}

/// Of histogram mode, which knows no exchanges.
fn frame_layers(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let frames = report.passages.count as f64;
    let sums = report.layers.iter().map(|row| (labels([("layer", &row.layer)]), row.mean_ns * frames));
    out.seconds_total("vmhop_frame_layer_time", "Time in a layer, over all frames", sums)
}

fn layers(groups: &[Group], out: &mut Families<'_>) -> fmt::Result {
    let all = || groups.iter().flat_map(|group| group.layers.iter().map(move |layer| (group, layer)));
    let sums = all().map(|(group, layer)| (of_layer(group, layer), layer.mean_ns * group.count as f64));
    let help = "Time in a layer, over all exchanges; the layers add up to vmhop_exchange_time";
    out.seconds_total("vmhop_layer_time", help, sums)?;
    let rows = all().flat_map(|(group, layer)| {
        let values =
            [("0.5", layer.p50_ns), ("0.9", layer.p90_ns), ("0.99", layer.p99_ns), ("1", layer.max_ns)];
        quantiles(&of_layer(group, layer), values)
    });
    let help = "Time of one exchange in a layer";
    out.gauge("vmhop_layer_time_quantile", help, Some(&Unit::Seconds), rows)
}

fn of_values(segment: &SegmentRow) -> Quantiles {
    [("0.5", segment.p50_ns), ("0.9", segment.p90_ns), ("0.99", segment.p99_ns), ("1", segment.max_ns)]
}

fn sum_ns(segment: &SegmentRow) -> Option<f64> {
    Some(segment.mean_ns? * segment.count as f64)
}

fn segments(groups: &[Group], out: &mut Families<'_>) -> fmt::Result {
    let all = || groups.iter().flat_map(|group| group.segments.iter().map(move |segment| (group, segment)));
    let counts = all().map(|(group, segment)| (of_group_segment(group, segment), segment.count));
    out.counter("vmhop_segments", "Segments of exchanges", counts)?;
    let sums =
        all().filter_map(|(group, segment)| Some((of_group_segment(group, segment), sum_ns(segment)?)));
    out.seconds_total("vmhop_segment_time", "Time between two neighbouring hops, over all exchanges", sums)?;
    let rows =
        all().flat_map(|(group, segment)| quantiles(&of_group_segment(group, segment), of_values(segment)));
    out.gauge("vmhop_segment_time_quantile", "The same of one exchange", Some(&Unit::Seconds), rows)
}

fn passage_segments(segments: &[SegmentRow], out: &mut Families<'_>) -> fmt::Result {
    let counts = segments.iter().map(|segment| (of_segment(segment), segment.count));
    out.counter("vmhop_passage_segments", "Segments of all frames, answered or not", counts)?;
    let negative = segments.iter().map(|segment| (of_segment(segment), segment.negative));
    let help = "Segments with the later hop stamped before the earlier one, a defect; in no other figure";
    out.counter("vmhop_passage_segments_negative", help, negative)?;
    let sums = segments.iter().filter_map(|segment| Some((of_segment(segment), sum_ns(segment)?)));
    out.seconds_total(
        "vmhop_passage_segment_time",
        "Time between two neighbouring hops, over all frames",
        sums,
    )?;
    let rows = segments.iter().flat_map(|segment| quantiles(&of_segment(segment), of_values(segment)));
    out.gauge("vmhop_passage_segment_time_quantile", "The same of one frame", Some(&Unit::Seconds), rows)
}

fn hops(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let of_hop = |hop: &str| labels([("hop", hop)]);
    let all = || report.hops.iter();
    out.counter("vmhop_hop_seen", "Events at a hop", all().map(|row| (of_hop(&row.hop), row.seen)))?;
    let help = "Of these, how many were joined to a frame's way";
    out.counter("vmhop_hop_matched", help, all().map(|row| (of_hop(&row.hop), row.matched)))?;
    let help = "Of these, how many could have belonged to more than one";
    out.counter("vmhop_hop_ambiguous", help, all().map(|row| (of_hop(&row.hop), row.ambiguous)))?;
    let help = "Events that the buffers had no room for";
    out.counter("vmhop_hop_lost", help, all().map(|row| (of_hop(&row.hop), row.lost)))?;
    let help = "Frames that must have passed a hop, since they were seen before and behind it";
    out.counter("vmhop_hop_expected", help, all().map(|row| (of_hop(&row.hop), row.expected)))?;
    let ratio = Unit::Ratios;
    let coverage = all().filter_map(|row| Some((of_hop(&row.hop), row.coverage?)));
    out.gauge("vmhop_hop_coverage", "Share of the expected that was seen", Some(&ratio), coverage)
}

fn passages(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let passages = &report.passages;
    let ways = [
        ("transmit", passages.transmitted),
        ("receive", passages.received),
        ("between", passages.between_guests),
        ("elsewhere", passages.elsewhere),
    ];
    let ways = ways.map(|(way, count)| (labels([("way", way)]), count));
    out.counter("vmhop_passages", "Frames' ways through the host", ways)?;
    let ends =
        [("complete", passages.complete), ("dropped", passages.dropped), ("unfinished", passages.unfinished)];
    let ends = ends.map(|(end, count)| (labels([("end", end)]), count));
    out.counter("vmhop_passages_ended", "The same by how they ended", ends)?;
    let bytes = [(Labels::new(), passages.bytes)];
    out.counter("vmhop_passages_bytes", "Bytes of all frames, Ethernet header included", bytes)?;
    let frames = [(Labels::new(), passages.wire_frames)];
    out.counter("vmhop_passages_wire_frames", "Frames on the wire that these are", frames)
}

fn nics(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let counts: [Counted<NicRow>; 4] = [
        ("vmhop_nic_frames", "Frames at a NIC, super-frames as one", |row| row.frames),
        ("vmhop_nic_bytes", "Their bytes, Ethernet header included", |row| row.bytes),
        ("vmhop_nic_wire_frames", "Frames at a NIC as on the wire", |row| row.wire_frames),
        ("vmhop_nic_wire_bytes", "Their bytes, headers of each included", |row| row.wire_bytes),
    ];
    for (name, help, count) in counts {
        let samples = report.nics.iter().map(|row| {
            (labels([("device", row.device.as_str()), ("netns", &row.netns), ("way", &row.way)]), count(row))
        });
        out.counter(name, help, samples)?;
    }
    Ok(())
}

fn losses(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let losses = &report.losses;
    let drops = losses.drops.iter().map(|drop| {
        let words = labels([
            ("after", drop.after.as_str()),
            ("device", &drop.device),
            ("reason", &drop.reason),
            ("function", drop.function.as_deref().unwrap_or_default()),
        ]);
        (words, drop.count)
    });
    out.counter("vmhop_drops", "Frames that the kernel dropped", drops)?;
    let vanished = losses.vanished.iter();
    let vanished =
        vanished.map(|row| (labels([("after", row.after.as_str()), ("how", &row.how)]), row.count));
    out.counter("vmhop_vanished", "Frames of which no end was seen", vanished)?;
    let none = Labels::new;
    out.counter(
        "vmhop_events_lost",
        "Events that the buffers had no room for",
        [(none(), losses.ring_total)],
    )?;
    out.counter(
        "vmhop_events_late",
        "Events that came too late to be put in order",
        [(none(), losses.late)],
    )?;
    out.counter("vmhop_events_undecoded", "Records that could not be decoded", [(none(), losses.undecoded)])?;
    let help = "Frames given up because too many were on their way";
    out.counter("vmhop_passages_evicted", help, [(none(), losses.evicted)])?;
    let given_up = losses.given_up.iter().map(|row| (labels([("what", &row.what)]), row.count));
    out.counter("vmhop_given_up", "What else there was no room for", given_up)?;
    let skipped = by_program(losses.skipped.iter().map(|row| (row.program.as_str(), row.count)));
    out.counter("vmhop_program_skipped", "Runs of a BPF program that the kernel skipped", skipped)
}

/// Programs of one name together.
fn by_program<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Vec<(Labels, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    counts.for_each(|(program, count)| *sums.entry(program).or_default() += count);
    sums.into_iter().map(|(program, count)| (labels([("program", program)]), count)).collect()
}

fn bill(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    // Gauges: the rest, which is what others leave over, may shrink.
    let vcpus = report.bill.iter().flat_map(|bill| {
        let own = bill.vcpu_time.iter().filter(|row| row.kind != VcpuTimeKind::Derived);
        own.map(|row| (labels([("vm", bill.vm.as_str()), ("what", &row.what)]), row.ns as f64 / 1e9))
    });
    let help = "Where the time of a VM's vCPUs went";
    out.gauge("vmhop_vcpu_time", help, Some(&Unit::Seconds), vcpus)?;
    let threads = report.bill.iter().flat_map(|bill| {
        let own = bill.threads.iter().filter(|row| !row.derived);
        own.map(|row| (labels([("vm", bill.vm.as_str()), ("what", &row.what)]), row.cpu_ns as f64 / 1e9))
    });
    out.gauge("vmhop_thread_cpu", "CPU time of the threads that work for a VM", Some(&Unit::Seconds), threads)
}

fn cost(report: &Report, out: &mut Families<'_>) -> fmt::Result {
    let cost = &report.cost;
    let programs = || cost.programs.iter();
    let runs = by_program(programs().map(|row| (row.program.as_str(), row.runs)));
    out.counter("vmhop_program_runs", "Runs of a BPF program", runs)?;
    let times = by_program(programs().map(|row| (row.program.as_str(), row.run_ns)));
    let times = times.into_iter().map(|(labels, ns)| (labels, ns as f64));
    out.seconds_total("vmhop_program_time", "Time in a BPF program", times)?;
    let reader = [(Labels::new(), cost.reader_cpu_ns as f64)];
    out.seconds_total("vmhop_reader_cpu", "CPU time of vmhop's own process while recording", reader)?;
    let wall = [(Labels::new(), cost.wall_ns as f64)];
    out.seconds_total("vmhop_recording_wall", "Wall time of the recording", wall)
}
