//! The sections of the text report, in the order of their appearance.

use std::io::{self, Write};

use super::{paragraph, table};
use crate::{
    export::numbers::{ABSENT, bar, count, counted, mean, name, percent, quantile, ratio, time},
    recording::Mode,
    report::{
        Cost, Drop, FlowRow, Group, HopRow, LayerRow, Losses, NicRow, Passages, Report, SampledRow,
        SegmentRow, VanishedRow,
    },
};

/// Flows that are shown.
const FLOWS: usize = 8;
/// Characters of the longest bar.
const BAR: usize = 30;

pub(super) fn title(report: &Report, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (recording, host) = (&report.recording, &report.host);
    let vms: Vec<String> = recording.vms.iter().map(|vm| name(vm)).collect();
    let vms = if vms.is_empty() { "no VM".to_owned() } else { vms.join(", ") };
    let title = format!(
        "{vms} on {} (Linux {}, {}, {}), {} from {}",
        name(&host.name),
        name(&host.kernel),
        name(&host.arch),
        counted(host.cpus.into(), "CPU"),
        time(recording.duration_ns as f64),
        name(&recording.started),
    );
    paragraph("", 2, &title, width, out)?;
    let mut details = vec![counted(recording.events, "event")];
    if !recording.filter.is_empty() {
        details.push(format!("filter \"{}\"", name(&recording.filter)));
    }
    if recording.mode == Mode::Histogram {
        details.push("histogram mode".to_owned());
    }
    if let Some(sampled) = &recording.sampled {
        details.push(part(sampled));
    }
    if !recording.command.is_empty() {
        let words: Vec<String> = recording.command.iter().map(|word| name(word)).collect();
        details.push(format!("while running \"{}\"", words.join(" ")));
    }
    if let Some(ended) = &recording.ended {
        details.push(format!("ended: {}", name(ended)));
    }
    paragraph("  ", 2, &details.join("; "), width, out)
}

/// In which part of the time the programs were measured, where that was not all of it.
fn metered(cost: &Cost) -> Option<f64> {
    (cost.metered_ns > 0 && cost.metered_ns < cost.wall_ns).then(|| ratio(cost.metered_ns, cost.wall_ns))
}

/// Which part of the frames was recorded.
pub(in crate::export) fn part(sampled: &SampledRow) -> String {
    let SampledRow { one_in_at_least, one_in_at_most, budget } = sampled;
    let part = if one_in_at_least == one_in_at_most {
        format!("1 of {} frames", count((*one_in_at_most).into()))
    } else {
        format!(
            "1 of {} to 1 of {} frames",
            count((*one_in_at_least).into()),
            count((*one_in_at_most).into())
        )
    };
    budget.map_or(part.clone(), |budget| format!("{part}, for {} of one CPU", percent(budget)))
}

pub(super) fn warnings(report: &Report, grave: bool, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut shown = report.warnings.iter().filter(|warning| warning.grave == grave).peekable();
    if shown.peek().is_some() {
        writeln!(out, "\n{}", if grave { "Beware" } else { "Notes" })?;
    }
    for warning in shown {
        paragraph(if grave { "  ! " } else { "  - " }, 4, &name(&warning.text), width, out)?;
    }
    Ok(())
}

/// Of histogram mode: where frames spent their time, and what is not known.
fn of_histograms(report: &Report, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nTime of a frame in the host, by layer")?;
    layers(&report.layers, out)?;
    writeln!(out, "\nSegments of all frames")?;
    segments(&report.segments, out)?;
    writeln!(out, "\nNot known in histogram mode")?;
    report.recording.not_known.iter().try_for_each(|what| paragraph("  - ", 4, &name(what), width, out))
}

pub(super) fn exchanges(report: &Report, width: usize, out: &mut dyn Write) -> io::Result<()> {
    if report.recording.mode == Mode::Histogram {
        return of_histograms(report, width, out);
    }
    if report.exchanges.count == 0 {
        writeln!(out, "\nNo exchange was found: no question whose answer was seen too.")?;
        writeln!(out, "\nSegments of all passages")?;
        return segments(&report.segments, out);
    }
    for each in &report.exchanges.groups {
        group(each, out)?;
    }
    Ok(())
}

fn group(group: &Group, out: &mut dyn Write) -> io::Result<()> {
    let Group { kind, initiator, unanswered, ambiguous, mean_ns, p50_ns, p90_ns, p99_ns, max_ns, .. } = group;
    writeln!(
        out,
        "\n{}, asked by {}: {}, mean {}, p50 {}, p90 {}, p99 {}, max {}",
        name(kind),
        name(initiator),
        counted(group.count, "exchange"),
        mean(*mean_ns),
        quantile(*p50_ns),
        quantile(*p90_ns),
        quantile(*p99_ns),
        quantile(*max_ns),
    )?;
    if unanswered + ambiguous > 0 {
        let (unanswered, ambiguous) = (count(*unanswered), count(*ambiguous));
        writeln!(out, "  left out: {unanswered} unanswered, {ambiguous} with more than one possible answer")?;
    }
    if group.count == 0 {
        return Ok(());
    }
    writeln!(out)?;
    layers(&group.layers, out)?;
    sum(group, out)?;
    writeln!(out)?;
    segments(&group.segments, out)
}

fn layers(rows: &[LayerRow], out: &mut dyn Write) -> io::Result<()> {
    let largest = rows.iter().map(|row| row.share).fold(0.0, f64::max);
    // The longest bar takes the room there is: shares are told by their number.
    let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
    let cells = rows.iter().map(|row| {
        vec![name(&row.layer), time(row.mean_ns), percent(row.share), bar(row.share * scale, BAR)]
    });
    // Bars are words: their start is what is compared.
    let cells = cells.map(|mut row| {
        let bar = row.pop().unwrap_or_default();
        row.push(format!("{bar:<BAR$}"));
        row
    });
    table::write(&["layer", "mean", "share", ""], 1, cells, out)
}

/// What no layer was charged with, and that the parts are the whole.
fn sum(group: &Group, out: &mut dyn Write) -> io::Result<()> {
    let sum: f64 = group.layers.iter().map(|row| row.mean_ns).sum();
    let (Some(mean_ns), Some(residual)) = (group.mean_ns, group.residual_mean_ns) else {
        return Ok(());
    };
    writeln!(
        out,
        "  residual (unattributed): {}, {} of the mean",
        time(residual),
        percent(residual / mean_ns)
    )?;
    let sign = if (sum - mean_ns).abs() <= mean_ns.abs() * 0.001 { "=" } else { "≠" };
    writeln!(out, "  sum of layers {} {sign} mean {}", time(sum), time(mean_ns))
}

fn segments(rows: &[SegmentRow], out: &mut dyn Write) -> io::Result<()> {
    let cells = rows.iter().map(|row| {
        vec![
            format!("{} → {}", name(&row.from), name(&row.to)),
            name(&row.way),
            name(&row.layer),
            count(row.count),
            mean(row.mean_ns),
            quantile(row.p50_ns),
            quantile(row.p90_ns),
            quantile(row.p99_ns),
            quantile(row.max_ns),
        ]
    });
    let head = ["segment", "way", "layer", "count", "mean", "p50", "p90", "p99", "max"];
    table::write(&head, 3, cells, out)
}

pub(super) fn passages(passages: &Passages, out: &mut dyn Write) -> io::Result<()> {
    let Passages { count: all, transmitted, received, between_guests, complete, dropped, unfinished, .. } =
        *passages;
    if all == 0 {
        return Ok(());
    }
    writeln!(out, "\nPassages")?;
    let of_host = match passages.elsewhere {
        0 => String::new(),
        own => format!(", {} of the host's own", count(own)),
    };
    writeln!(
        out,
        "  {}, {} bytes: {} sent by guests, {} received, {} between guests{}",
        counted(all, "frame"),
        count(passages.bytes),
        count(transmitted),
        count(received),
        count(between_guests),
        of_host,
    )?;
    writeln!(
        out,
        "  {} seen to the end, {} dropped, {} unfinished, {} ambiguous, {} further copies of floods",
        count(complete),
        count(dropped),
        count(unfinished),
        count(passages.ambiguous),
        count(passages.branches),
    )?;
    if passages.wire_frames > all || passages.segments > 0 {
        writeln!(
            out,
            "  {} on the wire; {} cut by the kernel",
            counted(passages.wire_frames, "frame"),
            counted(passages.segments, "segment"),
        )?;
    }
    if passages.polled + passages.unannounced == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "  {} picked up by polling, without a kick; {} given to a guest without an interrupt",
        count(passages.polled),
        count(passages.unannounced),
    )
}

pub(super) fn hops(rows: &[HopRow], width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nHops")?;
    let cells = rows.iter().filter(|row| row.unserved.is_none()).map(|row| {
        vec![
            name(&row.hop),
            name(&row.hook),
            count(row.seen),
            count(row.matched),
            count(row.ambiguous),
            count(row.lost),
            row.coverage.map_or(ABSENT.to_owned(), percent),
        ]
    });
    table::write(&["hop", "hook", "seen", "matched", "ambiguous", "lost", "coverage"], 2, cells, out)?;
    for row in rows {
        if let Some(reason) = &row.unserved {
            let line = format!("not served: {}: {}", name(&row.hop), name(reason));
            paragraph("  ", 4, &line, width, out)?;
        }
    }
    Ok(())
}

/// What came in and went out at each NIC.
pub(super) fn nics(rows: &[NicRow], out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nNICs")?;
    let alike =
        |row: &NicRow| rows.iter().any(|other| other.device == row.device && other.netns != row.netns);
    let cells = rows.iter().map(|row| {
        let counts = [row.frames, row.bytes, row.wire_frames, row.wire_bytes].map(count);
        let device = if alike(row) { format!("{} in {}", row.device, row.netns) } else { row.device.clone() };
        [vec![name(&device), name(&row.way)], counts.to_vec()].concat()
    });
    table::write(&["NIC", "way", "frames", "bytes", "on the wire", "bytes"], 2, cells, out)
}

/// The flows with the most bytes.
pub(super) fn flows(rows: &[FlowRow], left_out: u64, out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nFlows")?;
    let shown = rows.len().min(FLOWS);
    let cells = rows[..shown].iter().map(|row| {
        let translated = row.translated.as_deref().map_or_else(|| ABSENT.to_owned(), name);
        vec![name(&row.flow), translated, count(row.passages), count(row.bytes)]
    });
    table::write(&["flow", "translated", "frames", "bytes"], 2, cells, out)?;
    match (rows.len() - shown) as u64 + left_out {
        0 => Ok(()),
        further => writeln!(out, "  and {}", counted(further, "further flow")),
    }
}

pub(super) fn losses(losses: &Losses, out: &mut dyn Write) -> io::Result<()> {
    #[rustfmt::skip]
    let Losses {
        ring, ring_by_cpu, ring_total, skipped, undecoded, late, evicted, given_up, drops, vanished,
    } = losses;
    writeln!(out, "\nLosses")?;
    let by_hop =
        ring.iter().filter(|at| at.count > 0).map(|at| format!("{} {}", name(&at.hop), count(at.count)));
    let by_cpu = ring_by_cpu.iter().map(|at| format!("CPU {} {}", at.cpu, count(at.count)));
    let by_hop: Vec<String> = by_hop.chain(by_cpu).collect();
    let by_hop = if by_hop.is_empty() { String::new() } else { format!(" ({})", by_hop.join(", ")) };
    writeln!(
        out,
        "  events: {} lost in the buffers{by_hop}, {} undecoded",
        count(*ring_total),
        count(*undecoded)
    )?;
    if !skipped.is_empty() {
        let rows = skipped.iter().map(|row| format!("{} {}", name(&row.program), count(row.count)));
        writeln!(out, "  runs of programs skipped by the kernel: {}", rows.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(out, "  correlation: {} too late, {} given up", count(*late), count(*evicted))?;
    if !given_up.is_empty() {
        let rows = given_up.iter().map(|row| format!("{} {}", count(row.count), row.what));
        writeln!(out, "  forgotten for want of room: {}", rows.collect::<Vec<_>>().join(", "))?;
    }
    dropped(drops, out)?;
    unended(vanished, out)
}

fn dropped(drops: &[Drop], out: &mut dyn Write) -> io::Result<()> {
    if drops.is_empty() {
        return writeln!(out, "  frames: none dropped by the kernel");
    }
    let total = drops.iter().map(|drop| drop.count).sum();
    writeln!(out, "  frames: {} dropped by the kernel", count(total))?;
    let cells = drops.iter().map(|drop| {
        let function = drop.function.as_deref().map_or_else(|| ABSENT.to_owned(), name);
        vec![name(&drop.after), name(&drop.device), name(&drop.reason), function, count(drop.count)]
    });
    table::write(&["after", "device", "reason", "in", "count"], 4, cells, out)
}

/// Frames of which no end was seen.
fn unended(rows: &[VanishedRow], out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let total = rows.iter().map(|row| row.count).sum();
    writeln!(out, "  frames: no end was seen of {}, which are not known to be lost", count(total))?;
    let cells = rows.iter().map(|row| vec![name(&row.after), name(&row.how), count(row.count)]);
    table::write(&["after", "what is known", "count"], 2, cells, out)
}

pub(super) fn cost(cost: &Cost, out: &mut dyn Write) -> io::Result<()> {
    if cost.wall_ns == 0 {
        return writeln!(out, "\nCost\n  not known: the recording holds no counters");
    }
    writeln!(out, "\nCost")?;
    let run = |row: &crate::recording::ProgramCost| {
        if row.runs == 0 { ABSENT.to_owned() } else { time(ratio(row.run_ns, row.runs)) }
    };
    let cells = cost
        .programs
        .iter()
        .map(|row| vec![name(&row.program), count(row.runs), time(row.run_ns as f64), run(row)]);
    table::write(&["program", "runs", "time", "per run"], 1, cells, out)?;
    writeln!(
        out,
        "  of one CPU: programs {}, vmhop {}",
        percent(cost.programs_share),
        percent(cost.reader_share)
    )?;
    if let Some(share) = metered(cost) {
        writeln!(out, "  programs measured in {} of the time, and reckoned for all of it", percent(share))?;
    }
    let events = cost.events_per_exchange.map_or(ABSENT.to_owned(), |events| format!("{events:.1}"));
    writeln!(out, "  events per exchange {events}, programs per frame {}", mean(cost.programs_ns_per_passage))
}
