//! What the programs cost (the kernel's own statistics) and what they lost (their counters).

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
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
    /// While it is open, the kernel measures.
    stats: Option<OwnedFd>,
    /// Of those that are over: when the present spell began or ended, and how long all were.
    turned: Instant,
    metered: Duration,
}

/// The kernel's measuring costs each run of a program two reads of the clock, about as much as a program itself: so it
/// measures in a part of the time only.
const MEASURE: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(180);

impl CostMeter {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<CostMeter> {
        let map = ebpf.take_map("LOST").ok_or_else(|| anyhow!("the loss counters were taken before"))?;
        let loaded = |(name, program): (&str, &aya::programs::Program)| {
            Some((name.to_owned(), program.fd().ok()?.as_fd().try_clone_to_owned().ok()?))
        };
        Ok(CostMeter {
            lost: PerCpuArray::try_from(map)?,
            programs: ebpf.programs().filter_map(loaded).collect(),
            stats: measure(),
            turned: Instant::now(),
            metered: Duration::ZERO,
        })
    }

    /// Lets the kernel measure for a while, or pause; to be called often.
    pub fn turn(&mut self) {
        let spell = self.turned.elapsed();
        match &self.stats {
            Some(_) if spell >= MEASURE => {
                self.stats = None;
                // It measured until now.
                self.metered += self.turned.elapsed();
            }
            None if spell >= PAUSE => self.stats = measure(),
            _ => return,
        }
        self.turned = Instant::now();
    }

    /// How long until it is to be turned.
    pub fn due(&self) -> Duration {
        let spell = if self.stats.is_some() { MEASURE } else { PAUSE };
        spell.saturating_sub(self.turned.elapsed())
    }

    /// How long the kernel measured so far, ns.
    pub fn metered_ns(&self) -> u64 {
        let present = if self.stats.is_some() { self.turned.elapsed() } else { Duration::ZERO };
        (self.metered + present).as_nanos() as u64
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

/// v5.8 and later; without it costs read as zero runs, which the report shows as not measured.
fn measure() -> Option<OwnedFd> {
    enable_stats(Stats::RunTime).inspect_err(|error| log::debug!("no run-time statistics: {error}")).ok()
}

fn cost_of(name: &str, program: &OwnedFd) -> Option<ProgramCost> {
    let Statistics { runs, run_ns, missed } = Statistics::of(program.as_fd()).ok()?;
    Some(ProgramCost { program: name.to_owned(), runs, run_ns, missed })
}
