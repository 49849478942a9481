//! Two experiments compared: each cell (network, path, workload) that both have, as a comparison of its own.

use serde::{Deserialize, Serialize};

use super::{Comparison, LimitRow};
use crate::report::WarningRow;

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "vmhop.diff-experiment/1";

/// Which cell of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey {
    /// The lab's network; none outside of a lab.
    pub network: Option<String>,
    /// Where the path begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// Name of the workload.
    pub workload: String,
}

impl CellKey {
    /// In words.
    pub fn title(&self) -> String {
        let network = self.network.as_ref().map_or(String::new(), |network| format!("{network}: "));
        format!("{network}{} → {}, {}", self.from, self.to, self.workload)
    }
}

/// A cell, compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CellComparison {
    /// Which.
    #[serde(flatten)]
    pub key: CellKey,
    /// Its comparison, of the workload's own group of exchanges.
    pub comparison: Comparison,
}

/// Two experiments, compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExperimentComparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// What to know before drawing conclusions from all of them together.
    pub warnings: Vec<WarningRow>,
    /// Cells that both have, in BASE's order.
    pub cells: Vec<CellComparison>,
    /// Cells that only one side has, in words.
    pub one_sided: Vec<String>,
}

impl ExperimentComparison {
    /// Puts cells together.
    pub fn new(cells: Vec<CellComparison>, one_sided: Vec<String>) -> ExperimentComparison {
        let mut warnings = Vec::new();
        if cells.len() > 1 {
            let text = format!(
                "{} cells are compared, each at 95 %: of twenty without any difference one may show one; record again \
                 what matters",
                cells.len()
            );
            warnings.push(WarningRow { grave: false, text });
        }
        if !one_sided.is_empty() {
            let text = format!("only one side has: {}", one_sided.join("; "));
            warnings.push(WarningRow { grave: true, text });
        }
        ExperimentComparison { schema: SCHEMA.to_owned(), warnings, cells, one_sided }
    }

    /// Whether a bound is exceeded in a cell, or could not be checked.
    pub fn exceeds(&self) -> bool {
        self.cells.iter().flat_map(|cell| &cell.comparison.limits).any(LimitRow::fails)
    }
}
