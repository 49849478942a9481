//! An experiment as a page: for each network and workload the levels, the layers of all paths side by side, and behind them
//! the segments, the CPU bill, and what is different from the native host.

use std::io::{self, Write};

use maud::{Markup, html};

use super::{
    page::{figure, page, section, slug, warnings},
    stacked::{self, Part},
    style::layer_label,
    table::{Cell as Field, Column, Row, Table},
};
use crate::{
    experiment::{Cell, Difference, Estimate, ExperimentReport, LevelRow, TimeTable},
    export::numbers::{count, counted, mean, name, percent, time},
    report::WarningRow,
};

/// Writes the page.
///
/// # Errors
/// The writer's.
pub fn write(report: &ExperimentReport, out: &mut dyn Write) -> io::Result<()> {
    let sections = sections(report);
    let contents: Vec<(String, String)> =
        sections.iter().map(|part| (part.anchor.clone(), part.heading.clone())).collect();
    let main = html! {
        (notes(report))
        @for part in &sections { (section(&part.anchor, &part.heading, &part.body)) }
        (section("environment", "Environment", &environment(report)))
    };
    let contents = [contents, vec![("environment".to_owned(), "Environment".to_owned())]].concat();
    let whole = page(&format!("{} – vmhop experiment", report.name), &head(report), &contents, &main);
    out.write_all(whole.into_string().as_bytes())
}

/// A network and a workload.
struct Section {
    anchor: String,
    heading: String,
    body: Markup,
}

fn sections(report: &ExperimentReport) -> Vec<Section> {
    let mut keys: Vec<(&Option<String>, &str)> = Vec::new();
    for cell in &report.cells {
        let key = (&cell.network, cell.workload.as_str());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let part = |(network, workload): (&Option<String>, &str)| {
        let cells: Vec<&Cell> = report
            .cells
            .iter()
            .filter(|cell| (&cell.network, cell.workload.as_str()) == (network, workload))
            .collect();
        let heading = match network {
            Some(network) => format!("{network}: {workload}"),
            None => workload.to_owned(),
        };
        Section { anchor: slug(&heading), body: workload_body(&cells), heading }
    };
    keys.into_iter().map(part).collect()
}

fn head(report: &ExperimentReport) -> Markup {
    let runs: usize = report.cells.iter().map(|cell| cell.runs.len()).sum();
    let planned: u32 = report.cells.iter().map(|cell| cell.planned).sum();
    html! {
        h1 { (name(&report.name)) }
        p { (name(&report.description)) }
        dl.about {
            dt { "begun" } dd { (name(&report.started)) }
            dt { "runs" } dd { (count(runs as u64)) " of " (count(u64::from(planned))) }
            dt { "seed of the order" } dd { (report.seed) }
            dt { "vmhop" } dd { (name(&report.vmhop)) }
        }
        p.quiet { "± is half the 95 % interval of the mean over runs (Student's). Times in a layer are of one exchange; layers add up to the total." }
    }
}

fn notes(report: &ExperimentReport) -> Markup {
    let rows: Vec<WarningRow> =
        report.warnings.iter().map(|text| WarningRow { grave: true, text: text.clone() }).collect();
    warnings(&rows)
}

fn path(cell: &Cell) -> String {
    format!("{} → {}", cell.from, cell.to)
}

fn workload_body(cells: &[&Cell]) -> Markup {
    let longest =
        cells.iter().filter_map(|cell| Some(cell.time.as_ref()?.total.mean_ns.mean)).fold(0.0, f64::max);
    html! {
        (levels(cells))
        (figure("Where an exchange spends its time", "Mean by layer, all bars to one scale.", &html! {
            @for cell in cells { @if let Some(times) = &cell.time { (bar(cell, times, longest)) } }
        }))
        @for cell in cells { (cell_body(cell)) }
    }
}

fn bar(cell: &Cell, times: &TimeTable, longest: f64) -> Markup {
    let part = |row: &crate::experiment::TimeRow| Part {
        layer: row.name.clone(),
        mean_ns: row.mean_ns.mean,
        share: row.share,
    };
    let parts: Vec<Part> = times.layers.iter().map(part).collect();
    let words = format!("{}: {}", path(cell), spread(&times.total.mean_ns));
    html! {
        h4 { (name(&words)) }
        (stacked::bar(&words, &parts, longest))
        (stacked::legend(&parts))
    }
}

fn cell_body(cell: &Cell) -> Markup {
    let exchanges: u64 = cell.runs.iter().map(|run| run.exchanges).sum();
    let (exchanges, runs) = (counted(exchanges, "exchange"), counted(cell.runs.len() as u64, "run"));
    html! {
        @for failed in &cell.failed {
            p { strong { "Run " (failed.repetition) " failed: " } (name(&failed.why)) "; see " code { (name(&failed.log)) } }
        }
        details {
            summary { (name(&path(cell))) ": " (name(&cell.exchanges)) ", " (exchanges) " in " (runs) }
            @if let Some(times) = &cell.time { (time_tables(cell, times)) }
            (cpu(cell))
            @if let Some(baseline) = &cell.baseline { (difference(cell, baseline)) }
        }
    }
}

/// A time with half its interval, the mean beside it for programs.
fn field(estimate: &Estimate) -> Field {
    Field::Number(Some(estimate.mean), spread(estimate))
}

fn spread(estimate: &Estimate) -> String {
    match estimate.high {
        Some(high) => format!("{} ±{}", time(estimate.mean), mean(Some(high - estimate.mean))),
        None => time(estimate.mean),
    }
}

fn whole(estimate: &Estimate) -> Field {
    Field::Number(Some(estimate.mean), count(estimate.mean.round() as u64))
}

fn levels(cells: &[&Cell]) -> Markup {
    const COLUMNS: [Column; 9] = [
        Column { head: "path", field: "" },
        Column { head: "level", field: "" },
        Column { head: "Tx frames", field: "tx_frames" },
        Column { head: "Rx frames", field: "rx_frames" },
        Column { head: "frames", field: "frames" },
        Column { head: "Tx bytes", field: "tx_bytes" },
        Column { head: "Rx bytes", field: "rx_bytes" },
        Column { head: "bytes", field: "bytes" },
        Column { head: "duration", field: "duration_ns" },
    ];
    let row = |cell: &Cell, level: &LevelRow| Row {
        key: format!("{} {}", path(cell), level.level),
        head: Field::Words(path(cell)),
        cells: vec![
            Field::Words(level.level.clone()),
            whole(&level.tx_frames),
            whole(&level.rx_frames),
            whole(&level.frames),
            whole(&level.tx_bytes),
            whole(&level.rx_bytes),
            whole(&level.bytes),
            field(&level.duration_ns),
        ],
    };
    let rows: Vec<Row> =
        cells.iter().flat_map(|cell| cell.levels.iter().rev().map(move |level| row(cell, level))).collect();
    let caption =
        "Frames and bytes of a run, as on the wire. Tx: sent by the path's second station; Rx: sent to it";
    html! {
        @if !rows.is_empty() {
            (Table { kind: "levels", caption: caption.to_owned(), columns: &COLUMNS, rows }.markup())
        }
    }
}

fn time_tables(cell: &Cell, times: &TimeTable) -> Markup {
    const LAYERS: [Column; 5] = [
        Column { head: "layer", field: "" },
        Column { head: "mean", field: "mean_ns" },
        Column { head: "share", field: "share" },
        Column { head: "p50", field: "p50_ns" },
        Column { head: "p99", field: "p99_ns" },
    ];
    const SEGMENTS: [Column; 7] = [
        Column { head: "segment", field: "" },
        Column { head: "way", field: "" },
        Column { head: "layer", field: "" },
        Column { head: "mean", field: "mean_ns" },
        Column { head: "share", field: "share" },
        Column { head: "p50", field: "p50_ns" },
        Column { head: "p99", field: "p99_ns" },
    ];
    let figures = |row: &crate::experiment::TimeRow| {
        vec![field(&row.mean_ns), Field::Share(Some(row.share)), field(&row.p50_ns), field(&row.p99_ns)]
    };
    let layers = times.layers.iter().chain([&times.total]).map(|row| Row {
        key: row.name.clone(),
        head: if row.name == "total" {
            Field::Words("total".to_owned())
        } else {
            Field::Markup(layer_label(&row.name))
        },
        cells: figures(row),
    });
    let segments = times.segments.iter().map(|row| {
        let layer = row.layer.clone().unwrap_or_default();
        let way = row.way.clone().unwrap_or_default();
        let words = vec![Field::Words(way.clone()), Field::Markup(layer_label(&layer))];
        Row {
            key: format!("{way} {}", row.name),
            head: Field::Words(row.name.clone()),
            cells: [words, figures(row)].concat(),
        }
    });
    let (layers, segments) = (layers.collect(), segments.collect());
    html! {
        (Table { kind: "layers", caption: format!("{}: layers", path(cell)), columns: &LAYERS, rows: layers }.markup())
        (Table { kind: "segments", caption: format!("{}: segments", path(cell)), columns: &SEGMENTS, rows: segments }.markup())
    }
}

fn cpu(cell: &Cell) -> Markup {
    const COLUMNS: [Column; 3] = [
        Column { head: "threads", field: "" },
        Column { head: "CPU time in a run", field: "cpu_ns" },
        Column { head: "of one CPU", field: "share" },
    ];
    let row = |row: &crate::experiment::CpuRow| Row {
        key: row.what.clone(),
        head: Field::Words(row.what.clone()),
        cells: vec![field(&row.cpu_ns), Field::Number(Some(row.share.mean), percent(row.share.mean))],
    };
    let rows: Vec<Row> = cell.cpu.iter().map(row).collect();
    html! {
        @if !rows.is_empty() {
            (Table { kind: "cpu", caption: format!("{}: CPU bill of the VMs", path(cell)), columns: &COLUMNS, rows }.markup())
        }
    }
}

fn difference(cell: &Cell, baseline: &Difference) -> Markup {
    const COLUMNS: [Column; 2] =
        [Column { head: "layer", field: "" }, Column { head: "difference of means", field: "shift_ns" }];
    let signed = |estimate: &Estimate| {
        let sign = if estimate.mean > 0.0 { "+" } else { "" };
        Field::Number(Some(estimate.mean), format!("{sign}{}", spread(estimate)))
    };
    let layers = baseline.layers.iter().map(|row| Row {
        key: row.layer.clone(),
        head: Field::Markup(layer_label(&row.layer)),
        cells: vec![signed(&row.shift_ns)],
    });
    let total = Row {
        key: "total".to_owned(),
        head: Field::Words("total".to_owned()),
        cells: vec![signed(&baseline.total_ns)],
    };
    let caption = format!("{}: more than native, {} → {}", path(cell), baseline.from, baseline.to);
    Table { kind: "baseline", caption, columns: &COLUMNS, rows: layers.chain([total]).collect() }.markup()
}

fn environment(report: &ExperimentReport) -> Markup {
    html! {
        @for (network, seen) in &report.environment {
            details {
                summary { (name(network)) ", " (counted(seen.len() as u64, "entry")) }
                dl.about { @for (key, value) in seen { dt { (name(key)) } dd { (name(value)) } } }
            }
        }
    }
}
