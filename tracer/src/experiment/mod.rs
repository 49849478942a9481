//! Experiments: the same workloads over the same paths, again and again, in a design that statistics can be made of.
//!
//! From the file to the tables: `spec` (what is asked for), `file` (as it is written), `builtin` (those that vmhop
//! brings), `schedule` (cells and their order), `station` (where commands run), `workload` (which commands), `setting` (the
//! lab, or what is there), `environment` (what the machine is), `runner` (one run after the other; `process`, `progress`), `store` (the
//! folder of results), `figures` (a recording's figures), `estimate` (means and intervals over runs), `tables` (all of them together: a
//! `report`), `cli`, `commands`.
//!
//! Not in here: measuring. A run is a recording like any other, and its report is made by `analysis`.

mod builtin;
mod cli;
mod commands;
mod comparable;
mod environment;
mod estimate;
mod figures;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod process;
mod progress;
mod report;
mod runner;
mod schedule;
mod setting;
mod spec;
mod station;
mod store;
mod tables;
mod workload;

pub use self::{
    cli::ExperimentCommand,
    commands::run,
    comparable::{CellRuns, cells, is_experiment},
    estimate::Estimate,
    figures::{CpuTime, LayerTimes, LevelFigures, RunFigures, SegmentTimes, Times},
    progress::{Step, Summary},
    report::{
        Cell, CpuRow, Difference, ExperimentReport, FailedRun, LayerDifference, LevelRow, TimeRow, TimeTable,
    },
    spec::Spec,
};
