//! What to know before drawing conclusions from a report: computed from its figures alone.
//!
//! A warning says what is the case, why it matters and what to do, on one line. It is grave if it could change
//! the conclusions; these stand at the head of a report. Where the figures come from is not known here.

use crate::{
    export::numbers::ratio,
    recording::Mode,
    report::{Group, HopRow, Report, VcpuTimeKind, WarningRow},
};

mod words;

/// Share of events lost in the buffers above which the means may be wrong.
const GRAVE_LOSS: f64 = 0.01;
/// Coverage of a hop below which its segments stand for too few frames.
const LOW_COVERAGE: f64 = 0.95;
/// Share of ambiguous passages or answers that is worth a word.
const AMBIGUOUS: f64 = 0.01;
/// Share of the mean that may stay unattributed.
const RESIDUAL: f64 = 0.05;
/// Share of questions without an answer that is worth a word.
const UNANSWERED: f64 = 0.05;
/// Share of one CPU above which measuring disturbs what is measured.
const COST: f64 = 0.1;

/// Share of the vCPUs' time that may stay unaccounted for.
const UNACCOUNTED: f64 = 0.05;
/// Share below zero that clocks read one after the other explain.
const SKEW: f64 = 0.001;

/// Rank of the last warning that could change the conclusions.
const LAST_GRAVE: u8 = 8;

/// Hops without which two layers are one, by the layers' names.
const SEPARATORS: [(&str, &str, &[&str]); 3] = [
    ("guest and vmm", "guest+vmm", &["vmm.kick", "vmm.irq", "vcpu.enter"]),
    ("vmm and vmnet", "unattributed", &["tap.write", "tap.ring"]),
    ("nic and wire", "unattributed", &["nic.done", "nic.rx"]),
];

/// A reason for caution. The order of declaration is that of gravity.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// No frame was seen at any hop.
    NoFrames {
        /// The VMs that were traced.
        vms: Vec<String>,
        /// The filter, empty for none.
        filter: String,
    },
    /// It ended because something failed.
    Failed {
        /// What.
        reason: String,
    },
    /// It was not closed.
    CutOff,
    /// Events that the buffers had no room for.
    RingLosses {
        /// How many.
        lost: u64,
        /// Share of all events, 0 to 1.
        share: f64,
    },
    /// Records of an unknown shape.
    Undecoded {
        /// How many.
        records: u64,
    },
    /// Passages, but no question with its answer.
    NoExchange {
        /// How many passages.
        passages: u64,
    },
    /// Frames that must have gone by a hop were not seen there.
    LowCoverage {
        /// The hop.
        hop: String,
        /// Share that was seen.
        coverage: f64,
        /// How many must have gone by.
        expected: u64,
    },
    /// Time that no layer could be charged with.
    Residual {
        /// The exchanges.
        group: String,
        /// Its mean.
        mean_ns: f64,
        /// Its share of the exchanges' mean.
        share: f64,
    },
    /// A later hop stamped before an earlier one.
    Negative {
        /// Earlier hop.
        from: String,
        /// Later hop.
        to: String,
        /// How often.
        count: u64,
    },
    /// More than one candidate.
    Ambiguous {
        /// `frames`, or the exchanges.
        what: String,
        /// Their share.
        share: f64,
    },
    /// Passages given up.
    Evicted {
        /// How many.
        passages: u64,
    },
    /// Events out of order.
    Late {
        /// How many.
        events: u64,
    },
    /// Runs of BPF programs that the kernel skipped.
    Skipped {
        /// How many.
        runs: u64,
        /// Share of all runs, 0 to 1, if they were counted.
        share: Option<f64>,
    },
    /// Frames that the kernel dropped.
    Dropped {
        /// How many.
        frames: u64,
        /// The most frequent reason and the hop before it.
        chiefly: String,
    },
    /// Questions without an answer.
    Unanswered {
        /// The exchanges.
        group: String,
        /// Share of the questions.
        share: f64,
    },
    /// Measuring took much of a CPU.
    Costly {
        /// Share of one CPU.
        share: f64,
    },
    /// Time of the vCPUs that their bill does not account for, or accounts for twice.
    Unaccounted {
        /// The VM.
        vm: String,
        /// Share of the vCPUs' time; below 0 if accounted for twice.
        share: f64,
    },
    /// Two layers are shown as one.
    Inseparable {
        /// Which.
        layers: &'static str,
        /// The hops that would part them.
        hops: Vec<String>,
        /// Why the first of them is not served.
        reason: String,
    },
    /// Frames were moved without a word, and at the hop where the word is given nothing was ever seen.
    Unheard {
        /// `vmm.kick` or `vmm.irq`.
        hop: &'static str,
        /// How many.
        frames: u64,
    },
}

/// The warnings of a report, the gravest first. Those that it holds already are not looked at.
pub fn of(report: &Report) -> Vec<Warning> {
    let mut found = Vec::new();
    recording(report, &mut found);
    let quiet = report.passages.count == 0 && report.exchanges.count == 0;
    if quiet {
        let recording = &report.recording;
        found.push(Warning::NoFrames { vms: recording.vms.clone(), filter: recording.filter.clone() });
    } else {
        hops(report, &mut found);
        exchanges(report, &mut found);
        joins(report, &mut found);
        inseparable(report, &mut found);
    }
    bills(report, &mut found);
    found.sort_by_key(|warning| (!warning.is_grave(), warning.rank()));
    found
}

fn recording(report: &Report, found: &mut Vec<Warning>) {
    let (recording, losses, cost) = (&report.recording, &report.losses, &report.cost);
    if recording.failed {
        let reason = recording.ended.clone().unwrap_or_else(|| "the reason is not known".to_owned());
        found.push(Warning::Failed { reason });
    }
    if !recording.complete {
        found.push(Warning::CutOff);
    }
    if losses.ring_total > 0 {
        let share = ratio(losses.ring_total, recording.events.saturating_add(losses.ring_total));
        found.push(Warning::RingLosses { lost: losses.ring_total, share });
    }
    if losses.undecoded > 0 {
        found.push(Warning::Undecoded { records: losses.undecoded });
    }
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
    let runs = sum(&mut losses.skipped.iter().map(|program| program.count));
    if runs > 0 {
        let ran = sum(&mut cost.programs.iter().map(|program| program.runs));
        // Without statistics the kernel counts no runs.
        let share = (ran > 0).then(|| ratio(runs, ran.saturating_add(runs)));
        found.push(Warning::Skipped { runs, share });
    }
    let share = cost.programs_share + cost.reader_share;
    if share > COST {
        found.push(Warning::Costly { share });
    }
}

fn hops(report: &Report, found: &mut Vec<Warning>) {
    for HopRow { hop, coverage, expected, .. } in &report.hops {
        if let Some(coverage) = coverage.filter(|&coverage| coverage < LOW_COVERAGE && *expected > 0) {
            found.push(Warning::LowCoverage { hop: hop.clone(), coverage, expected: *expected });
        }
    }
    for row in report.segments.iter().filter(|row| row.negative > 0) {
        found.push(Warning::Negative { from: row.from.clone(), to: row.to.clone(), count: row.negative });
    }
    for (hop, frames) in [("vmm.kick", report.passages.polled), ("vmm.irq", report.passages.unannounced)] {
        let silent = |row: &HopRow| row.hop == hop && row.seen == 0 && row.unserved.is_none();
        if frames > 0 && report.hops.iter().any(silent) {
            found.push(Warning::Unheard { hop, frames });
        }
    }
}

fn exchanges(report: &Report, found: &mut Vec<Warning>) {
    if report.exchanges.count == 0 && report.recording.mode == Mode::Stream {
        found.push(Warning::NoExchange { passages: report.passages.count });
    }
    for group in &report.exchanges.groups {
        let Group { count, unanswered, ambiguous, mean_ns, residual_mean_ns, .. } = *group;
        let name = || format!("{} exchanges asked by {}", group.kind, group.initiator);
        if let (Some(mean_ns), Some(residual)) = (mean_ns, residual_mean_ns) {
            let share = residual / mean_ns;
            if share.abs() > RESIDUAL {
                found.push(Warning::Residual { group: name(), mean_ns: residual, share });
            }
        }
        let share = ratio(unanswered, count + unanswered);
        if share > UNANSWERED {
            found.push(Warning::Unanswered { group: name(), share });
        }
        let share = ratio(ambiguous, count + ambiguous);
        if share > AMBIGUOUS {
            found.push(Warning::Ambiguous { what: name(), share });
        }
    }
}

fn joins(report: &Report, found: &mut Vec<Warning>) {
    let losses = &report.losses;
    let share = ratio(report.passages.ambiguous, report.passages.count);
    if share > AMBIGUOUS {
        found.push(Warning::Ambiguous { what: "frames".to_owned(), share });
    }
    if losses.evicted > 0 {
        found.push(Warning::Evicted { passages: losses.evicted });
    }
    if losses.late > 0 {
        found.push(Warning::Late { events: losses.late });
    }
    if let Some(chief) = losses.drops.iter().max_by_key(|drop| drop.count).filter(|drop| drop.count > 0) {
        let frames = losses.drops.iter().map(|drop| drop.count).sum();
        let chiefly = format!("{} at {} after {}", chief.reason, chief.device, chief.after);
        found.push(Warning::Dropped { frames, chiefly });
    }
}

fn bills(report: &Report, found: &mut Vec<Warning>) {
    for bill in &report.bill {
        let rest = bill.vcpu_time.iter().find(|row| row.kind == VcpuTimeKind::Rest);
        if let Some(share) = rest.map(|row| row.share).filter(|share| !(-SKEW..=UNACCOUNTED).contains(share))
        {
            found.push(Warning::Unaccounted { vm: bill.vm.clone(), share });
        }
    }
}

fn inseparable(report: &Report, found: &mut Vec<Warning>) {
    for (layers, charged, separators) in SEPARATORS {
        // Other hops may do a missing one's work: only time that was charged to both layers at once matters.
        if !report.layers.iter().any(|row| row.layer == charged && row.mean_ns > 0.0) {
            continue;
        }
        let missing: Vec<(&HopRow, &str)> = report
            .hops
            .iter()
            .filter(|row| separators.contains(&row.hop.as_str()) && row.seen == 0)
            .filter_map(|row| Some((row, row.unserved.as_deref()?)))
            .collect();
        if let Some((_, reason)) = missing.first() {
            let hops = missing.iter().map(|(row, _)| row.hop.clone()).collect();
            found.push(Warning::Inseparable { layers, hops, reason: (*reason).to_owned() });
        }
    }
}

impl Warning {
    /// Whether it could change the conclusions.
    pub fn is_grave(&self) -> bool {
        match self {
            Self::RingLosses { share, .. } => *share > GRAVE_LOSS,
            _ => self.rank() <= LAST_GRAVE,
        }
    }

    /// Place in the order of gravity: that of declaration.
    fn rank(&self) -> u8 {
        match self {
            Self::NoFrames { .. } => 0,
            Self::Failed { .. } => 1,
            Self::CutOff => 2,
            Self::RingLosses { .. } => 3,
            Self::Undecoded { .. } => 4,
            Self::NoExchange { .. } => 5,
            Self::LowCoverage { .. } => 6,
            Self::Residual { .. } => 7,
            Self::Negative { .. } => LAST_GRAVE,
            Self::Ambiguous { .. } => 9,
            Self::Evicted { .. } => 10,
            Self::Late { .. } => 11,
            Self::Skipped { .. } => 12,
            Self::Dropped { .. } => 13,
            Self::Unanswered { .. } => 14,
            Self::Costly { .. } => 15,
            Self::Unaccounted { .. } => 16,
            Self::Inseparable { .. } => 17,
            Self::Unheard { .. } => 18,
        }
    }
}

impl From<&Warning> for WarningRow {
    fn from(warning: &Warning) -> Self {
        Self { grave: warning.is_grave(), text: warning.to_string() }
    }
}

#[cfg(test)]
mod tests;
