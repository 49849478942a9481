//! What the fuzz target of experiments calls.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Spec, schedule};

/// Reads an experiment and plans its runs; gives how many there are, and how many names their files have.
///
/// # Errors
/// It is no experiment.
pub fn read(text: &str) -> Result<(usize, usize)> {
    let spec = Spec::parse(text, "x.toml")?;
    let runs: Vec<_> = schedule::of(&spec, 1).into_iter().flat_map(|block| block.runs).collect();
    let ids: BTreeSet<String> = runs.iter().map(schedule::Run::id).collect();
    Ok((runs.len(), ids.len()))
}

/// The experiments that vmhop brings.
pub fn shipped() -> Vec<&'static str> {
    super::builtin::ALL.iter().map(|builtin| builtin.text).collect()
}
