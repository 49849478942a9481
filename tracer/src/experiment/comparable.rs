//! An experiment's runs, cell by cell, as `vmhop diff` takes them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{figures, schedule::Run, store::Store};
use crate::compare::cells::CellKey;

/// The runs of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellRuns {
    /// Which cell.
    pub key: CellKey,
    /// The kind of exchange that its times are of, where the workload tells it.
    pub kind: Option<&'static str>,
    /// Who begins these exchanges.
    pub initiator: &'static str,
    /// The recordings of those that were done.
    pub files: Vec<PathBuf>,
}

/// Whether a folder holds an experiment.
pub fn is_experiment(folder: &Path) -> bool {
    folder.join("experiment.json").is_file()
}

/// The cells of an experiment's folder that have runs, in its order.
///
/// # Errors
/// The folder cannot be read, or a file in it is damaged.
pub fn cells(folder: &Path) -> Result<Vec<CellRuns>> {
    let store = Store::open(folder)?;
    let mut cells: Vec<CellRuns> = Vec::new();
    for run in store.begun.blocks.iter().flat_map(|block| &block.runs) {
        let Some(record) = store.record(run)?.filter(|record| record.failed.is_none()) else { continue };
        let key = key(run);
        let file = store.file(run, "vmhop");
        if let Some(cell) = cells.iter_mut().find(|cell| cell.key == key) {
            cell.files.push(file);
            continue;
        }
        let (kind, initiator) = figures::group_names(&store.spec, &record);
        cells.push(CellRuns { key, kind, initiator, files: vec![file] });
    }
    cells.iter_mut().for_each(|cell| cell.files.sort());
    cells.sort_by(|left, right| left.key.cmp(&right.key));
    Ok(cells)
}

fn key(run: &Run) -> CellKey {
    CellKey {
        network: run.network.map(|network| network.name().to_owned()),
        from: run.from.clone(),
        to: run.to.clone(),
        workload: run.workload.clone(),
    }
}
