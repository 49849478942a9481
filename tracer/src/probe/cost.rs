//! What the programs cost (the kernel's own statistics) and what they lost (their counters).

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
    sys::{Stats, enable_stats},
};
use tracer_common::hop::{HOP_SLOTS, Hop};

use super::statistics::Statistics;
use crate::recording::{Counters, ProgramCost};

/// Reads costs and losses while it lives; with it, the kernel stops measuring run times.
pub struct CostMeter {
    lost: PerCpuArray<MapData, u64>,
    programs: Vec<(String, OwnedFd)>,
    _stats: Option<OwnedFd>,
}

impl CostMeter {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<CostMeter> {
        let map = ebpf.take_map("LOST").ok_or_else(|| anyhow!("the loss counters were taken before"))?;
        let loaded = |(name, program): (&str, &aya::programs::Program)| {
            Some((name.to_owned(), program.fd().ok()?.as_fd().try_clone_to_owned().ok()?))
        };
        // v5.8 and later; without it costs read as zero runs, which the report shows as not measured.
        let stats =
            enable_stats(Stats::RunTime).inspect_err(|error| log::warn!("no run-time statistics: {error}"));
        Ok(CostMeter {
            lost: PerCpuArray::try_from(map)?,
            programs: ebpf.programs().filter_map(loaded).collect(),
            _stats: stats.ok(),
        })
    }

    /// Adds what the kernel counted so far to `counters`.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn read(&self, counters: &mut Counters) -> Result<()> {
        counters.lost.clear();
        counters.lost_by_cpu = BTreeMap::new();
        for hop in (0..HOP_SLOTS as u8).filter_map(Hop::from_code) {
            let per_cpu =
                self.lost.get(&u32::from(hop as u8), 0).context("failed to read the loss counters")?;
            for (cpu, &lost) in (0..).zip(per_cpu.iter()).filter(|(_, lost)| **lost > 0) {
                *counters.lost.entry(hop.name().to_owned()).or_default() += lost;
                *counters.lost_by_cpu.entry(cpu).or_default() += lost;
            }
        }
        counters.programs =
            self.programs.iter().filter_map(|(name, program)| cost_of(name, program)).collect();
        Ok(())
    }
}

fn cost_of(name: &str, program: &OwnedFd) -> Option<ProgramCost> {
    let Statistics { runs, run_ns, missed } = Statistics::of(program.as_fd()).ok()?;
    Some(ProgramCost { program: name.to_owned(), runs, run_ns, missed })
}
