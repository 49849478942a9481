//! Makes the tables of an experiment: its runs' figures together, cell by cell.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    estimate::Estimate,
    figures::{self, LevelFigures, RunFigures},
    report::{
        Cell, CpuRow, Difference, ExperimentReport, FailedRun, LayerDifference, LevelRow, SCHEMA, TimeRow,
        TimeTable,
    },
    schedule::Run,
    spec::WorkloadKind,
    store::{Record, Store},
};

/// Fewer runs than this tell no two conditions apart, whatever they show (the least p of five against five is 0.008).
const ENOUGH_RUNS: u32 = 5;

/// Reads a folder and makes its tables.
pub(super) fn of(store: &Store) -> Result<ExperimentReport> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut kinds = BTreeMap::new();
    for block in &store.begun.blocks {
        for run in &block.runs {
            let at = cells.iter().position(|cell| is_of(cell, run)).unwrap_or_else(|| {
                cells.push(empty_cell(store, run));
                cells.len() - 1
            });
            let cell = &mut cells[at];
            cell.planned += 1;
            let Some(record) = store.record(run)? else { continue };
            enter(cell, store, &record);
        }
        kinds.insert(
            block.network.map_or("here", |network| network.name()).to_owned(),
            store.environment(block),
        );
    }
    cells.iter_mut().for_each(lay_out);
    sort_as_written(store, &mut cells);
    let baselines: Vec<Option<Difference>> = cells.iter().map(|cell| difference(cell, &cells)).collect();
    for (cell, baseline) in cells.iter_mut().zip(baselines) {
        cell.baseline = baseline;
    }
    Ok(ExperimentReport {
        schema: SCHEMA.to_owned(),
        name: store.spec.name.clone(),
        description: store.spec.description.clone(),
        started: store.begun.started.clone(),
        vmhop: store.begun.vmhop.clone(),
        seed: store.begun.seed,
        environment: kinds,
        warnings: warnings(&cells),
        cells,
    })
}

fn is_of(cell: &Cell, run: &Run) -> bool {
    let network = run.network.map(|network| network.name());
    (cell.network.as_deref(), &cell.from, &cell.to, &cell.workload)
        == (network, &run.from, &run.to, &run.workload)
}

fn empty_cell(store: &Store, run: &Run) -> Cell {
    let kind = match figures::kind(&store.spec, run) {
        Some(WorkloadKind::Ping { .. }) => "ping",
        Some(WorkloadKind::Http { .. }) => "http",
        Some(WorkloadKind::Iperf3 { .. }) => "iperf3",
        Some(WorkloadKind::Command { .. }) | None => "command",
    };
    Cell {
        network: run.network.map(|network| network.name().to_owned()),
        from: run.from.clone(),
        to: run.to.clone(),
        workload: run.workload.clone(),
        kind: kind.to_owned(),
        exchanges: String::new(),
        planned: 0,
        failed: Vec::new(),
        runs: Vec::new(),
        levels: Vec::new(),
        time: None,
        cpu: Vec::new(),
        baseline: None,
    }
}

fn enter(cell: &mut Cell, store: &Store, record: &Record) {
    let run = &record.run;
    let mut failed = |why: String| {
        let log = format!("runs/{}.log", run.id());
        cell.failed.push(FailedRun { repetition: run.repetition, why, log });
    };
    if let Some(why) = &record.failed {
        return failed(why.clone());
    }
    let figures = match figures::of(store, record) {
        Ok(figures) => figures,
        // The others' figures are as good as before.
        Err(error) => return failed(format!("its recording cannot be read: {error:#}")),
    };
    let (kind, initiator) = figures::group_names(&store.spec, record);
    cell.exchanges = format!("{}, asked by {initiator}", kind.unwrap_or("most frequent kind"));
    cell.runs.push(figures);
}

/// In the order of the networks, paths and workloads of the experiment, whatever order the runs were in.
fn sort_as_written(store: &Store, cells: &mut [Cell]) {
    let spec = &store.spec;
    let network = |cell: &Cell| {
        let networks = spec.lab.as_ref().map_or(&[][..], |lab| &lab.networks[..]);
        networks.iter().position(|network| Some(network.name()) == cell.network.as_deref())
    };
    let path =
        |cell: &Cell| spec.paths.iter().position(|path| (&path.from, &path.to) == (&cell.from, &cell.to));
    let workload = |cell: &Cell| spec.workloads.iter().position(|workload| workload.name == cell.workload);
    cells.sort_by_key(|cell| (network(cell), workload(cell), path(cell)));
}

fn lay_out(cell: &mut Cell) {
    cell.runs.sort_by_key(|run| run.repetition);
    cell.levels = levels(&cell.runs);
    cell.time = time_table(&cell.runs);
    cell.cpu = cpu(&cell.runs);
}

/// An estimate of what each run has; none where no run has it.
fn over(runs: &[RunFigures], value: impl Fn(&RunFigures) -> Option<f64>) -> Option<Estimate> {
    Estimate::of(&runs.iter().filter_map(value).collect::<Vec<f64>>())
}

fn levels(runs: &[RunFigures]) -> Vec<LevelRow> {
    let Some(first) = runs.iter().find(|run| !run.levels.is_empty()) else { return Vec::new() };
    let row = |name: &String| {
        let count = |pick: &dyn Fn(&LevelFigures) -> u64| {
            over(runs, |run| run.levels.iter().find(|row| row.level == *name).map(|row| pick(row) as f64))
        };
        Some(LevelRow {
            level: name.clone(),
            tx_frames: count(&|row| row.tx_frames)?,
            rx_frames: count(&|row| row.rx_frames)?,
            frames: count(&|row| row.tx_frames + row.rx_frames)?,
            tx_bytes: count(&|row| row.tx_bytes)?,
            rx_bytes: count(&|row| row.rx_bytes)?,
            bytes: count(&|row| row.tx_bytes + row.rx_bytes)?,
            duration_ns: count(&|row| row.duration_ns)?,
        })
    };
    first.levels.iter().filter_map(|level| row(&level.level)).collect()
}

fn time_table(runs: &[RunFigures]) -> Option<TimeTable> {
    let runs: Vec<RunFigures> = runs.iter().filter(|run| run.total.is_some()).cloned().collect();
    let all = over(&runs, |run| run.total.map(|times| times.mean_ns))?;
    let row = |name: String,
               way: Option<String>,
               layer: Option<String>,
               of: &dyn Fn(&RunFigures) -> Option<figures::Times>| {
        let mean_ns = over(&runs, |run| Some(of(run).map_or(0.0, |times| times.mean_ns)))?;
        Some(TimeRow {
            name,
            way,
            layer,
            mean_ns,
            share: if all.mean > 0.0 { mean_ns.mean / all.mean } else { 0.0 },
            p50_ns: over(&runs, |run| of(run).map(|times| times.p50_ns))?,
            p99_ns: over(&runs, |run| of(run).map(|times| times.p99_ns))?,
        })
    };
    let layer = |name: &String| {
        let times = |run: &RunFigures| run.layers.iter().find(|row| row.layer == *name).map(|row| row.times);
        row(name.clone(), None, None, &times)
    };
    let segment = |key: &SegmentKey| {
        let (way, from, to, layer) = key;
        let times = |run: &RunFigures| {
            let mut rows = run.segments.iter();
            rows.find(|row| (&row.way, &row.from, &row.to) == (way, from, to)).map(|row| row.times)
        };
        row(format!("{from} → {to}"), Some(way.clone()), Some(layer.clone()), &times)
    };
    Some(TimeTable {
        total: row("total".to_owned(), None, None, &|run| run.total)?,
        layers: layer_names(&runs).iter().filter_map(layer).collect(),
        segments: segment_keys(&runs).iter().filter_map(segment).collect(),
    })
}

/// Way, hops and layer of a segment.
type SegmentKey = (String, String, String, String);

/// The layers that any run has, in the order of the charging rule.
fn layer_names(runs: &[RunFigures]) -> Vec<String> {
    let has = |name: &str| runs.iter().any(|run| run.layers.iter().any(|row| row.layer == name));
    let known = crate::latency::Layer::ALL.iter().map(|layer| layer.name());
    known.filter(|name| has(name)).map(str::to_owned).collect()
}

/// The segments that any run has, in the order of the path: by their mean place in the runs that have them.
fn segment_keys(runs: &[RunFigures]) -> Vec<SegmentKey> {
    let mut places: BTreeMap<SegmentKey, (f64, f64)> = BTreeMap::new();
    for run in runs {
        for (at, row) in run.segments.iter().enumerate() {
            let key = (row.way.clone(), row.from.clone(), row.to.clone(), row.layer.clone());
            let (sum, count) = places.entry(key).or_default();
            *sum += at as f64 / run.segments.len() as f64;
            *count += 1.0;
        }
    }
    let mut keys: Vec<(SegmentKey, f64)> =
        places.into_iter().map(|(key, (sum, count))| (key, sum / count)).collect();
    keys.sort_by(|(_, left), (_, right)| left.total_cmp(right));
    keys.into_iter().map(|(key, _)| key).collect()
}

fn cpu(runs: &[RunFigures]) -> Vec<CpuRow> {
    let mut names: Vec<&String> = Vec::new();
    for row in runs.iter().flat_map(|run| &run.cpu) {
        if !names.contains(&&row.what) {
            names.push(&row.what);
        }
    }
    let row = |name: &&String| {
        let of = |run: &RunFigures| run.cpu.iter().find(|row| row.what == **name).cloned();
        Some(CpuRow {
            what: (*name).clone(),
            cpu_ns: over(runs, |run| Some(of(run)?.cpu_ns))?,
            share: over(runs, |run| Some(of(run)?.share))?,
        })
    };
    names.iter().filter_map(row).collect()
}

/// What a cell of a guest has more than the same of the host.
fn difference(cell: &Cell, cells: &[Cell]) -> Option<Difference> {
    let native = |name: &str| if name.starts_with("guest") { "host".to_owned() } else { name.to_owned() };
    let (from, to) = (native(&cell.from), native(&cell.to));
    if from == to || (from == cell.from && to == cell.to) {
        return None;
    }
    let base = cells.iter().find(|other| {
        (&other.network, &other.workload, &other.from, &other.to)
            == (&cell.network, &cell.workload, &from, &to)
    })?;
    let with_times = |cell: &Cell| -> Vec<RunFigures> {
        cell.runs.iter().filter(|run| run.total.is_some()).cloned().collect()
    };
    let (base, other) = (with_times(base), with_times(cell));
    let shift = |of: &dyn Fn(&RunFigures) -> f64| {
        let values = |runs: &[RunFigures]| runs.iter().map(of).collect::<Vec<f64>>();
        Estimate::difference(&values(&base), &values(&other))
    };
    let both: Vec<RunFigures> = base.iter().chain(&other).cloned().collect();
    let layer = |name: String| {
        let of = |run: &RunFigures| {
            run.layers.iter().find(|row| row.layer == name).map_or(0.0, |row| row.times.mean_ns)
        };
        Some(LayerDifference { shift_ns: shift(&of)?, layer: name.clone() })
    };
    Some(Difference {
        from,
        to,
        total_ns: shift(&|run| run.total.map_or(0.0, |times| times.mean_ns))?,
        layers: layer_names(&both).into_iter().filter_map(layer).collect(),
    })
}

fn warnings(cells: &[Cell]) -> Vec<String> {
    let mut found = Vec::new();
    let failed: usize = cells.iter().map(|cell| cell.failed.len()).sum();
    if failed > 0 {
        found.push(format!("{failed} runs failed: their cells have fewer runs than planned"));
    }
    let missing: u32 =
        cells.iter().map(|cell| cell.planned - cell.runs.len() as u32 - cell.failed.len() as u32).sum();
    if missing > 0 {
        found.push(format!("{missing} runs are not done yet: these tables are of those that are"));
    }
    let fewest = cells.iter().filter(|cell| !cell.runs.is_empty()).map(|cell| cell.runs.len() as u32).min();
    if let Some(fewest) = fewest.filter(|fewest| *fewest < ENOUGH_RUNS) {
        found.push(format!(
            "cells have as few as {fewest} runs: {ENOUGH_RUNS} are the least with which two conditions can be told apart"
        ));
    }
    let lost: u64 = cells.iter().flat_map(|cell| &cell.runs).map(|run| run.lost).sum();
    if lost > 0 {
        found.push(format!("{lost} events were lost: give the recordings a larger ring"));
    }
    found.extend(grave(cells));
    found
}

/// What the runs' reports say gravely, each kind once, with the figures of its first run.
fn grave(cells: &[Cell]) -> Vec<String> {
    let kind = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let mut found: Vec<(String, &str, u32)> = Vec::new();
    for text in cells.iter().flat_map(|cell| &cell.runs).flat_map(|run| &run.grave) {
        let kind = kind(text);
        match found.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, _, runs)) => *runs += 1,
            None => found.push((kind, text, 1)),
        }
    }
    let words = |(_, text, runs): (String, &str, u32)| match runs {
        1 => format!("in one run: {text}"),
        runs => format!("in {runs} runs, in the first of them: {text}"),
    };
    found.into_iter().map(words).collect()
}
