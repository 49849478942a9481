//! From the ring to its target: drains, counts, hands on, and keeps the counters of cost and loss.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};
use tracer_common::hop::Hop;

use super::{Progress, Target, Turn, budget::Budget, pace::Pace, prepare::Prepared};
use crate::{
    bill::meter::BillMeter,
    correlate::exchange::NOTICE_NS,
    decode::Record,
    host::monotonic_ns,
    plan::symbols,
    probe::{CostMeter, Diagnostics, HistogramMeter, Probe},
    recording::{Counters, Header, Note, SpanTimes},
    source::Source,
    topology::Device,
};

/// How often the counters are read.
pub(super) const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How often histograms are kept: a crash costs what came after.
pub(super) const KEEP_EVERY: Duration = Duration::from_secs(10);

/// What is traced on its way to the target.
pub(super) struct Sink<T> {
    // Declared first, so that dropping detaches before anything else goes.
    probe: Probe,
    source: Source,
    pace: Pace,
    meter: CostMeter,
    bill: BillMeter,
    histograms: Option<HistogramMeter>,
    /// When the histograms were kept last.
    kept: Instant,
    budget: Option<Budget>,
    /// When the choice of frames changes, and to one of how many.
    choice: Option<(u64, u32)>,
    diagnostics: Option<Diagnostics>,
    target: T,
    counters: Counters,
    devices: Vec<Device>,
    /// When the last program had been attached, `CLOCK_MONOTONIC`, ns.
    attached_ns: u64,
    started: Instant,
    counted: Instant,
    cpu_at_start_ns: u64,
    /// Code addresses that dropped frames.
    dropped_at: BTreeSet<u64>,
    frames: u64,
    events: u64,
    /// Whether more waited in the ring than was taken.
    more: bool,
}

/// Code addresses that are remembered: the kernel has fewer places that drop frames.
pub(super) const MAX_ADDRESSES: usize = 4096;

impl<T: Target> Sink<T> {
    pub(super) fn new(
        prepared: Prepared,
        verbose: u8,
        begin: impl FnOnce(&Header) -> Result<T>,
    ) -> Result<Sink<T>> {
        let Prepared { mut probe, header, devices, bill, histograms, targets: _ } = prepared;
        let mut target = begin(&header)?;
        for note in &probe.notes {
            target.note(&Note::warning(note.clone()))?;
        }
        let source = Source::new(probe.outlet()?);
        Ok(Sink {
            pace: Pace::new(source.room(), T::PATIENCE),
            source,
            meter: probe.cost_meter()?,
            bill,
            histograms,
            kept: Instant::now(),
            budget: header.sampled.and_then(|sampled| Some(Budget::new(sampled.budget?, sampled.one_in))),
            choice: None,
            diagnostics: if verbose > 0 { probe.diagnostics() } else { None },
            probe,
            target,
            counters: Counters::default(),
            devices,
            attached_ns: header.started_monotonic_ns,
            started: Instant::now(),
            counted: Instant::now(),
            cpu_at_start_ns: cpu_ns(),
            dropped_at: BTreeSet::new(),
            frames: 0,
            events: 0,
            more: false,
        })
    }

    /// The traced devices.
    pub(super) fn devices(&self) -> Vec<Device> {
        self.devices.clone()
    }

    /// Hands on what waits in the buffers, and says how long to wait before the next time.
    pub(super) fn drain(&mut self) -> Result<Duration> {
        self.meter.turn();
        let (target, frames, attached_ns) = (&mut self.target, &mut self.frames, self.attached_ns);
        let dropped_at = &mut self.dropped_at;
        let write = |record| match record {
            // Hooks are attached one after the other: before the last, a frame shows only part of its way.
            Record::Event(event) if event.time_ns < attached_ns => Ok(()),
            Record::Event(event) => {
                *frames += u64::from(matches!(event.hop, Hop::TapRx | Hop::TapRing));
                if event.hop == Hop::SkbDrop && dropped_at.len() < MAX_ADDRESSES {
                    dropped_at.insert(event.digest);
                }
                target.event(&event)
            }
            Record::Flow(flow) => target.note(&Note::Flow(flow)),
        };
        let taken = self.source.drain(T::AT_ONCE, write)?;
        self.events += taken as u64;
        self.more = taken >= T::AT_ONCE;
        Ok(self.pace.after(taken as u64).min(self.meter.due()))
    }

    /// Lets the target do what else it does.
    pub(super) fn turn(&mut self) -> Result<ControlFlow<()>> {
        self.target.turn(Turn { now_ns: monotonic_ns()?, more: self.more })
    }

    /// Tells the target that the session has ended.
    pub(super) fn ended(&mut self) {
        self.target.ended();
    }

    /// Keeps what was drained; once a second also the counters and the bill.
    pub(super) fn flush(&mut self) -> Result<()> {
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.flush();
        }
        if self.counted.elapsed() >= COUNT_EVERY {
            self.counted = Instant::now();
            self.count()?;
            self.spend()?;
            if self.kept.elapsed() >= KEEP_EVERY {
                self.kept = Instant::now();
                self.keep()?;
            }
        }
        self.choose()?;
        self.target.flush()
    }

    /// Holds what measuring costs against what it may cost. A new choice is told before it is made.
    fn spend(&mut self) -> Result<()> {
        let Some(budget) = &mut self.budget else { return Ok(()) };
        let Some(one_in) = budget.spent(self.counters.spent_ns(), self.counters.wall_ns) else {
            return Ok(());
        };
        let from_ns = monotonic_ns()? + NOTICE_NS;
        self.target.note(&Note::Sampled { from_ns, one_in })?;
        if budget.is_exhausted() {
            let text = format!(
                "measuring took more than its budget at 1 of {one_in} frames too: what is recorded of threads and \
                 interrupts is not left out; trace fewer hops with --hops"
            );
            self.target.note(&Note::warning(text))?;
        }
        self.choice = Some((from_ns, one_in));
        Ok(())
    }

    /// Makes a choice that was told before.
    fn choose(&mut self) -> Result<()> {
        let now_ns = monotonic_ns()?;
        let due = self.choice.take_if(|(from_ns, _)| *from_ns <= now_ns);
        due.map_or(Ok(()), |(_, one_in)| self.probe.choose_one_in(one_in))
    }

    /// Keeps what was counted in histogram mode.
    fn keep(&mut self) -> Result<()> {
        let Some(meter) = &self.histograms else { return Ok(()) };
        let histograms = meter.read()?;
        self.dropped_at.extend(histograms.drops.iter().map(|drop| drop.location));
        let entered = |hop: &&SpanTimes| hop.to == Hop::TapRx as u8 || hop.to == Hop::TapRing as u8;
        let born = histograms.firsts.iter().filter(|first| first.hop == Hop::TapRx as u8);
        self.frames = histograms.spans.iter().filter(entered).map(SpanTimes::count).sum::<u64>()
            + born.map(|first| first.frames).sum::<u64>();
        self.target.note(&Note::Histograms(histograms))
    }

    fn count(&mut self) -> Result<()> {
        // A counter that cannot be read must not end the recording; the last good figures stand.
        if let Err(error) = self.meter.read(&mut self.counters) {
            log::warn!("{error:#}");
        }
        self.counters.undecoded = self.source.undecoded;
        self.counters.reader_cpu_ns = cpu_ns().saturating_sub(self.cpu_at_start_ns);
        self.counters.wall_ns = self.started.elapsed().as_nanos() as u64;
        self.counters.metered_ns = self.meter.metered_ns();
        self.target.note(&Note::Counters(self.counters.clone()))?;
        let bill = self.bill.read();
        self.target.note(&Note::Bill(bill))
    }

    /// How the recording stands; losses as of the last count.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            elapsed: self.started.elapsed(),
            frames: self.frames,
            events: self.events,
            lost: self.counters.lost.values().sum(),
        }
    }

    /// Detaches, takes the rest out of the ring, and ends.
    pub(super) fn close(mut self, reason: &str, failed: bool) -> Result<()> {
        self.count()?;
        self.keep()?;
        let Sink { probe, mut source, mut target, meter, mut counters, dropped_at, .. } = self;
        // As when they were attached: from the first one's end on, a frame shows only part of its way.
        let detached_ns = monotonic_ns().unwrap_or(u64::MAX);
        // The programs' costs go with them, so they were read before; losses stay readable.
        drop(probe);
        let programs = counters.programs.clone();
        source.drain(usize::MAX, |record| match record {
            Record::Event(event) if event.time_ns >= detached_ns => Ok(()),
            Record::Event(event) => target.event(&event),
            Record::Flow(flow) => target.note(&Note::Flow(flow)),
        })?;
        meter.read(&mut counters)?;
        counters.programs = programs;
        counters.undecoded = source.undecoded;
        target.note(&Note::Counters(counters))?;
        target.note(&Note::Symbols(symbols::names_of(&dropped_at)))?;
        target.note(&Note::End { reason: reason.to_owned(), failed })?;
        target.finish()
    }
}

/// CPU time of this process so far, ns.
pub(super) fn cpu_ns() -> u64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0 };
    let ns =
        |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000_000 + time.tv_usec() as u64 * 1_000;
    ns(usage.user_time()) + ns(usage.system_time())
}
