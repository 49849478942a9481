//! The tables of an experiment for people: pings and downloads as the study has them, then where the time is spent.

use std::io::{self, Write};

use super::{paragraph, table};
use crate::{
    experiment::{Cell, Difference, Estimate, ExperimentReport, LevelRow, TimeRow, TimeTable},
    export::numbers::{ABSENT, bar, count, counted, name, percent, time},
};

/// Columns of the text.
const WIDTH: usize = 100;
/// Columns of a bar.
const BAR: usize = 20;

/// Writes all tables, network by network.
///
/// # Errors
/// The writer's.
pub fn write(report: &ExperimentReport, out: &mut dyn Write) -> io::Result<()> {
    title(report, out)?;
    let mut networks: Vec<&Option<String>> = Vec::new();
    for cell in &report.cells {
        if !networks.contains(&&cell.network) {
            networks.push(&cell.network);
        }
    }
    for network in networks {
        let cells: Vec<&Cell> = report.cells.iter().filter(|cell| cell.network == *network).collect();
        if let Some(network) = network {
            writeln!(out, "\n━━ network {} ━━", name(network))?;
        }
        write_network(&cells, out)?;
    }
    Ok(())
}

fn title(report: &ExperimentReport, out: &mut dyn Write) -> io::Result<()> {
    let ExperimentReport { name: called, description, started, vmhop, seed, warnings, cells, .. } = report;
    let about = if description.is_empty() { String::new() } else { format!(": {}", name(description)) };
    writeln!(out, "{}{about}", name(called))?;
    let planned: u32 = cells.iter().map(|cell| cell.planned).sum();
    let done: usize = cells.iter().map(|cell| cell.runs.len()).sum();
    writeln!(
        out,
        "  begun {}, vmhop {}, seed {seed}; {} of {} done",
        name(started),
        name(vmhop),
        count(done as u64),
        counted(u64::from(planned), "run")
    )?;
    for warning in warnings {
        paragraph("  ! ", 4, &name(warning), WIDTH, out)?;
    }
    Ok(())
}

fn write_network(cells: &[&Cell], out: &mut dyn Write) -> io::Result<()> {
    let mut workloads: Vec<&str> = Vec::new();
    for cell in cells {
        if !workloads.contains(&cell.workload.as_str()) {
            workloads.push(&cell.workload);
        }
    }
    for workload in workloads {
        let cells: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.workload == workload).collect();
        writeln!(out, "\n{}", name(workload))?;
        match cells.first().map(|cell| cell.kind.as_str()) {
            Some("ping") => pings(&cells, out)?,
            _ => levels(&cells, out)?,
        }
        for cell in cells {
            write_cell(cell, out)?;
        }
    }
    Ok(())
}

fn path(cell: &Cell) -> String {
    format!("{} → {}", name(&cell.from), name(&cell.to))
}

/// The study's tables I and II: what the source sent, and for how long.
fn pings(cells: &[&Cell], out: &mut dyn Write) -> io::Result<()> {
    let rows = cells.iter().map(|cell| {
        let mac = cell.levels.iter().find(|row| row.level == "mac");
        // The echo requests go to the path's second station, their replies come from there.
        let value = |of: &dyn Fn(&LevelRow) -> String| mac.map_or(ABSENT.to_owned(), of);
        vec![
            path(cell),
            value(&|row| whole(&row.rx_frames)),
            value(&|row| whole(&row.rx_bytes)),
            value(&|row| spread(&row.duration_ns)),
            cell.runs.len().to_string(),
        ]
    });
    table::write(&["path", "Tx frames", "Tx data", "duration", "runs"], 1, rows, out)
}

/// The study's tables III to VI. Tx is what the second station of the path sent, which collects the file.
fn levels(cells: &[&Cell], out: &mut dyn Write) -> io::Result<()> {
    let rows = cells.iter().flat_map(|cell| {
        cell.levels.iter().rev().map(|row| {
            // Transport and application are of both ways, as the study has them.
            let by_way = matches!(row.level.as_str(), "mac" | "network");
            let way = |estimate: &Estimate| if by_way { whole(estimate) } else { ABSENT.to_owned() };
            vec![
                path(cell),
                level_name(&row.level),
                way(&row.tx_frames),
                way(&row.rx_frames),
                whole(&row.frames),
                way(&row.tx_bytes),
                way(&row.rx_bytes),
                whole(&row.bytes),
                spread(&row.duration_ns),
            ]
        })
    });
    let head =
        ["path", "level", "Tx frames", "Rx frames", "frames", "Tx bytes", "Rx bytes", "bytes", "duration"];
    table::write(&head, 2, rows, out)
}

fn level_name(level: &str) -> String {
    match level {
        "mac" => "MAC (Ethernet)".to_owned(),
        "network" => "network (IP)".to_owned(),
        "transport" => "transport".to_owned(),
        "application" => "application".to_owned(),
        other => name(other),
    }
}

fn write_cell(cell: &Cell, out: &mut dyn Write) -> io::Result<()> {
    let exchanges: u64 = cell.runs.iter().map(|run| run.exchanges).sum();
    writeln!(
        out,
        "\n  {}, {}: {} in {}",
        path(cell),
        name(&cell.exchanges),
        counted(exchanges, "exchange"),
        counted(cell.runs.len() as u64, "run")
    )?;
    for failed in &cell.failed {
        let text =
            format!("run {} failed: {}; see {}", failed.repetition, name(&failed.why), name(&failed.log));
        paragraph("  ! ", 4, &text, WIDTH, out)?;
    }
    let Some(times) = &cell.time else { return Ok(()) };
    time_table(times, out)?;
    cpu(cell, out)?;
    cell.baseline.as_ref().map_or(Ok(()), |baseline| difference(baseline, out))
}

fn time_table(times: &TimeTable, out: &mut dyn Write) -> io::Result<()> {
    let largest = times.layers.iter().map(|row| row.share).fold(0.0, f64::max);
    let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
    let layers = times.layers.iter().chain([&times.total]).map(|row| {
        let bar = if row.name == "total" { String::new() } else { bar(row.share * scale, BAR) };
        vec![
            name(&row.name),
            spread(&row.mean_ns),
            percent(row.share),
            spread(&row.p50_ns),
            spread(&row.p99_ns),
            format!("{bar:<BAR$}"),
        ]
    });
    table::write(&["layer", "mean", "share", "p50", "p99", ""], 1, layers, out)?;
    let segments = times.segments.iter().map(|row: &TimeRow| {
        vec![
            name(&row.name),
            name(row.way.as_deref().unwrap_or_default()),
            name(row.layer.as_deref().unwrap_or_default()),
            spread(&row.mean_ns),
            percent(row.share),
            spread(&row.p50_ns),
            spread(&row.p99_ns),
        ]
    });
    writeln!(out)?;
    table::write(&["segment", "way", "layer", "mean", "share", "p50", "p99"], 3, segments, out)
}

/// The VMM's bill of a run.
fn cpu(cell: &Cell, out: &mut dyn Write) -> io::Result<()> {
    if cell.cpu.is_empty() {
        return Ok(());
    }
    let rows = cell.cpu.iter().map(|row| vec![name(&row.what), spread(&row.cpu_ns), percent(row.share.mean)]);
    writeln!(out)?;
    table::write(&["CPU time in a run", "mean", "of one CPU"], 1, rows, out)
}

fn difference(baseline: &Difference, out: &mut dyn Write) -> io::Result<()> {
    let Difference { from, to, total_ns, layers } = baseline;
    let parts = layers.iter().map(|row| vec![name(&row.layer), signed(&row.shift_ns)]);
    let rows = parts.chain([vec!["total".to_owned(), signed(total_ns)]]);
    writeln!(out)?;
    let title = format!("more than native, {} → {}", name(from), name(to));
    table::write(&[&title, "mean"], 1, rows, out)
}

/// A time with half its 95 % interval.
fn spread(estimate: &Estimate) -> String {
    match estimate.high {
        Some(high) => format!("{} ±{}", time(estimate.mean), time(high - estimate.mean)),
        None => time(estimate.mean),
    }
}

fn signed(estimate: &Estimate) -> String {
    let sign = if estimate.mean > 0.0 { "+" } else { "" };
    format!("{sign}{}", spread(estimate))
}

/// A count: exact where all runs agree, else the mean.
fn whole(estimate: &Estimate) -> String {
    count(estimate.mean.round() as u64)
}
