//! From what was seen to what is shown: the figures of the window as plain data, names of others escaped. Pure.
//!
//! Not in here: where on the screen.

use std::collections::BTreeMap;

use super::{
    keys::Ui,
    view::{Passed, Second, Slow, Totals, Traffic, View},
};
use crate::{
    analysis::{self, Standing},
    export::numbers::{self, name},
    latency::{LAYERS, Layer, Span},
    recording::{Counters, Header, ProgramCost},
    report::SegmentRow,
};

/// Seconds that the layers are shown of.
const SECONDS: u64 = 60;
const NS_PER_DAY: i128 = 86_400_000_000_000;

/// What a session's header says for its view.
#[derive(Clone, Debug)]
pub struct Source {
    header: Header,
    vms: Vec<String>,
}

impl Source {
    /// Of a session.
    pub fn new(header: &Header) -> Source {
        let vms = header.topology.vms.iter().map(|vm| name(&vm.name)).collect();
        Source { header: header.clone(), vms }
    }

    /// How many VMs there are.
    pub fn vms(&self) -> usize {
        self.vms.len()
    }

    fn label(&self, vm: Option<usize>) -> String {
        match (vm.and_then(|vm| Some((vm, self.vms.get(vm)?))), &self.vms[..]) {
            (Some((vm, name)), vms) => format!("VM {name} ({} of {})", vm + 1, vms.len()),
            (None, [only]) => format!("VM {only}"),
            (None, vms) => format!("all {} VMs", vms.len()),
        }
    }

    /// The time of day by UTC.
    fn clock(&self, monotonic_ns: u64) -> String {
        let ahead_ns = i128::from(self.header.started_unix_ns) - i128::from(self.header.started_monotonic_ns);
        let of_day_ns = (i128::from(monotonic_ns) + ahead_ns).rem_euclid(NS_PER_DAY);
        let ms = of_day_ns / 1_000_000;
        format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }
}

/// The moment that is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, ns.
    pub end_ns: u64,
    /// By how much it is behind the clock, where it is.
    pub behind_ns: Option<u64>,
    /// Messages that wait for the end.
    pub messages: usize,
}

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Whose figures these are.
    pub vm: String,
    /// The filter, empty for none.
    pub filter: String,
    /// Seconds of the window, and of them those since the beginning.
    pub window: u64,
    /// Seconds that the figures are of.
    pub seconds: f64,
    /// The moment.
    pub moment: Moment,
    /// Out of guests, and into them, a second.
    pub rates: [Rate; 2],
    /// Totals of the window.
    pub totals: Totals,
    /// Segments in the order of the ways.
    pub segments: Vec<SegmentRow>,
    /// Each layer.
    pub layers: Vec<LayerShown>,
    /// The layers of each second, the youngest last.
    pub history: Vec<Second>,
    /// The slowest exchanges, the slowest first.
    pub slowest: Vec<SlowRow>,
    /// Counts since the beginning, of all VMs.
    pub standing: Standing,
    /// What the tracing costs.
    pub cost: CostShown,
    /// What the session has to say.
    pub notes: Vec<String>,
    /// What came too late to be shown.
    pub too_late: u64,
}

/// Frames and bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Frames a second.
    pub frames: f64,
    /// Bytes a second.
    pub bytes: f64,
}

/// A layer's part of the window's exchanges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerShown {
    /// Which.
    pub layer: Layer,
    /// Of the exchanges' time, 0 to 1.
    pub share: f64,
    /// Mean of an exchange, ns.
    pub mean_ns: f64,
}

/// A slow exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowRow {
    /// When its answer came, by UTC.
    pub clock: String,
    /// What kind.
    pub kind: &'static str,
    /// Who asked.
    pub initiator: &'static str,
    /// The question's flow.
    pub flow: String,
    /// How long, ns.
    pub total_ns: u64,
    /// Time by layer, ns, by the layer's number.
    pub layers_ns: [u64; LAYERS],
    /// The longest of its segments, in words.
    pub longest: String,
}

/// What the tracing costs. Shares are of one CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CostShown {
    /// Seconds between the readings that these are the differences of; 0 where there are no two.
    pub seconds: f64,
    /// The programs' run time.
    pub programs_share: f64,
    /// vmhop's own process.
    pub reader_share: f64,
    /// Each program, the most expensive first.
    pub programs: Vec<ProgramShown>,
    /// Events that the buffers had no room for.
    pub lost: u64,
}

/// What a program costs.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramShown {
    /// Its name.
    pub name: String,
    /// Runs a second.
    pub runs: f64,
    /// Time of a run, ns.
    pub run_ns: f64,
    /// Of one CPU.
    pub share: f64,
}

impl Shown {
    /// What is to be shown of what was seen.
    pub fn of(
        source: &Source,
        view: &View,
        standing: Standing,
        flow_name: impl Fn(u64) -> String,
        ui: &Ui,
        moment: Moment,
    ) -> Shown {
        let window = ui.window.seconds();
        let totals = view.totals(moment.end_ns, window, ui.vm, ui.order);
        let header = &source.header;
        Shown {
            vm: source.label(ui.vm),
            filter: name(&header.filter),
            window,
            seconds: totals.seconds,
            moment,
            rates: totals.traffic.map(|traffic| rate(traffic, totals.seconds)),
            segments: segments(header, &totals),
            layers: layers(&totals),
            history: view.seconds(moment.end_ns, SECONDS, ui.vm),
            slowest: totals.slowest.iter().map(|slow| slow_row(source, slow, &flow_name)).collect(),
            standing: escaped(standing),
            cost: view.readings(window).map_or_else(CostShown::default, |(from, to)| cost(from, to)),
            notes: view.notes().iter().map(|note| name(note)).collect(),
            too_late: view.too_late(),
            totals,
        }
    }

    /// What became of the window's passages.
    pub fn passed(&self) -> Passed {
        self.totals.passed
    }
}

fn rate(traffic: Traffic, seconds: f64) -> Rate {
    let a_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    Rate { frames: a_second(traffic.frames), bytes: a_second(traffic.bytes) }
}

fn segments(header: &Header, totals: &Totals) -> Vec<SegmentRow> {
    let figures: BTreeMap<Span, _> = totals.spans.iter().copied().collect();
    let mut spans: Vec<Span> = figures.keys().copied().collect();
    analysis::order::sort(&mut spans);
    let row = |span: &Span| {
        let figures = figures.get(span)?;
        Some(SegmentRow {
            way: span.way.name().to_owned(),
            from: name(&header.hop_name(span.from)),
            to: name(&header.hop_name(span.to)),
            layer: span.layer().name().to_owned(),
            count: figures.count,
            mean_ns: figures.mean_ns,
            p50_ns: figures.p50_ns,
            p90_ns: figures.p90_ns,
            p99_ns: figures.p99_ns,
            max_ns: figures.max_ns,
            negative: figures.negative,
        })
    };
    spans.iter().filter_map(row).collect()
}

fn layers(totals: &Totals) -> Vec<LayerShown> {
    let all: u64 = totals.layers_ns.iter().sum();
    let shown = |(layer, sum_ns): (Layer, u64)| LayerShown {
        layer,
        share: numbers::ratio(sum_ns, all),
        mean_ns: numbers::ratio(sum_ns, totals.exchanges.count),
    };
    Layer::ALL.into_iter().zip(totals.layers_ns).map(shown).collect()
}

fn slow_row(source: &Source, slow: &Slow, flow_name: impl Fn(u64) -> String) -> SlowRow {
    let hop = |hop| name(&source.header.hop_name(hop));
    let longest =
        |(from, to)| format!("{} → {} {}", hop(from), hop(to), numbers::time(slow.longest_ns as f64));
    SlowRow {
        clock: source.clock(slow.end_ns),
        kind: slow.kind.name(),
        initiator: slow.initiator.name(),
        flow: name(&flow_name(slow.flow)),
        total_ns: slow.total_ns,
        layers_ns: slow.layers_ns,
        longest: slow.longest.map_or_else(String::new, longest),
    }
}

/// The names of devices, and of hops of the user's, are chosen by others.
fn escaped(mut standing: Standing) -> Standing {
    for row in &mut standing.hops {
        row.hop = name(&row.hop);
        row.unserved = row.unserved.as_deref().map(name);
    }
    for row in &mut standing.losses.ring {
        row.hop = name(&row.hop);
    }
    for row in &mut standing.losses.drops {
        (row.after, row.device, row.reason) = (name(&row.after), name(&row.device), name(&row.reason));
    }
    for row in &mut standing.losses.vanished {
        row.after = name(&row.after);
    }
    standing
}

/// The difference of two readings.
fn cost(from: &Counters, to: &Counters) -> CostShown {
    let wall_ns = to.wall_ns.saturating_sub(from.wall_ns);
    let seconds = wall_ns as f64 / 1e9;
    let share = |part_ns: u64| numbers::ratio(part_ns, wall_ns);
    let before: BTreeMap<&str, &ProgramCost> =
        from.programs.iter().map(|program| (program.program.as_str(), program)).collect();
    let mut programs: Vec<(u64, ProgramShown)> = Vec::new();
    for program in &to.programs {
        let known = before.get(program.program.as_str());
        let runs = program.runs.saturating_sub(known.map_or(0, |known| known.runs));
        let run_ns = program.run_ns.saturating_sub(known.map_or(0, |known| known.run_ns));
        let shown = ProgramShown {
            name: name(&program.program),
            runs: if wall_ns > 0 { runs as f64 / seconds } else { 0.0 },
            run_ns: numbers::ratio(run_ns, runs),
            share: share(run_ns),
        };
        programs.push((run_ns, shown));
    }
    programs.sort_by(|(left, one), (right, other)| right.cmp(left).then_with(|| one.name.cmp(&other.name)));
    let lost = |counters: &Counters| counters.lost.values().sum::<u64>();
    CostShown {
        seconds,
        programs_share: share(programs.iter().map(|(run_ns, _)| run_ns).sum()),
        reader_share: share(to.reader_cpu_ns.saturating_sub(from.reader_cpu_ns)),
        programs: programs.into_iter().map(|(_, shown)| shown).collect(),
        lost: lost(to).saturating_sub(lost(from)),
    }
}
