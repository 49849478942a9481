//! What was seen in the last minute. Pure: it observes an analysis, its times are those of the events. Memory is
//! bounded by the minute, the segments that there are, and the sizes that times are told apart by.
//!
//! Not in here: what of it is shown, and how.

mod slow;
mod ticks;
mod times;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::hop::{Hook, Hop};

use self::{
    slow::Slowest,
    ticks::{Part, Ticks, Who},
    times::{Scale, Sum},
};
pub use self::{
    slow::{Order, Slow},
    ticks::{Passed, TICK_NS, Traffic},
    times::Figures,
};
use crate::{
    analysis::{Observer, vms_of_taps},
    correlate::{Passage, exchange::Exchange},
    decode::Event,
    latency::{LAYERS, Span, Way, spans_of},
    recording::{Counters, Header, Note},
};

/// Readings of the counters that are kept: one a second, a minute and one before.
const READINGS: usize = 62;
/// Notes that are kept.
const NOTES: usize = 20;

/// What was seen in the last minute.
#[derive(Clone, Debug)]
pub struct View {
    vm_of_tap: FxHashMap<u8, usize>,
    scale: Scale,
    ticks: Ticks,
    /// Whose the passage is that came last, and the flow that it answers.
    last: (Who, u64),
    readings: VecDeque<Counters>,
    notes: Vec<String>,
    started_ns: u64,
    newest_ns: u64,
}

/// What the window holds.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seconds that the figures are of.
    pub seconds: f64,
    /// Records of the ring.
    pub events: u64,
    /// Out of guests, and into them.
    pub traffic: [Traffic; 2],
    /// Passages.
    pub passed: Passed,
    /// Exchanges.
    pub exchanges: Figures,
    /// Their time by layer, ns, by the layer's number.
    pub layers_ns: [u64; LAYERS],
    /// The segments, in no order.
    pub spans: Vec<(Span, Figures)>,
    /// The slowest exchanges, the slowest first.
    pub slowest: Vec<Slow>,
}

/// One second of all exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Time by layer, ns, by the layer's number.
    pub layers_ns: [u64; LAYERS],
}

impl View {
    /// A view of a session with this header.
    pub fn new(header: &Header) -> View {
        View {
            vm_of_tap: vms_of_taps(header),
            scale: Scale::default(),
            ticks: Ticks::default(),
            last: (Who::Nobody, 0),
            readings: VecDeque::new(),
            notes: Vec::new(),
            started_ns: header.started_monotonic_ns,
            newest_ns: 0,
        }
    }

    /// The time of the youngest event, ns; 0 as long as there is none.
    pub fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// What the last readings of the counters are: the one before the window, and the last one.
    pub fn readings(&self, seconds: u64) -> Option<(&Counters, &Counters)> {
        let last = self.readings.back()?;
        let before = last.wall_ns.saturating_sub(seconds * 1_000_000_000);
        let first = self.readings.iter().rev().find(|reading| reading.wall_ns <= before);
        Some((first.or_else(|| self.readings.front())?, last))
    }

    /// What the session has to say of itself.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What came too late to be shown.
    pub fn too_late(&self) -> u64 {
        self.ticks.too_late
    }

    /// The half seconds before `end_ns`, so many seconds of them; of one VM, or of all.
    pub fn totals(&self, end_ns: u64, seconds: u64, vm: Option<usize>, order: Order) -> Totals {
        let to = end_ns / TICK_NS;
        let from = to.saturating_sub(seconds * 1_000_000_000 / TICK_NS);
        let began_ns = self.started_ns.max(from * TICK_NS);
        let parts = || self.parts(from, to, vm);
        let (mut exchanges, mut spans) = (Sum::default(), FxHashMap::<Span, Sum>::default());
        let mut totals = Totals {
            seconds: (to * TICK_NS).saturating_sub(began_ns) as f64 / 1e9,
            events: self.ticks.between(from, to).map(|tick| tick.events).sum(),
            slowest: Slowest::of(order, parts().map(|part| &part.slowest)),
            ..Totals::default()
        };
        for part in parts() {
            totals.add(part);
            exchanges.add(&part.totals);
            for (span, times) in &part.spans {
                spans.entry(*span).or_default().add(times);
            }
        }
        totals.exchanges = exchanges.figures();
        totals.spans = spans.iter().map(|(span, sum)| (*span, sum.figures())).collect();
        totals
    }

    /// The seconds before `end_ns`, the youngest last.
    pub fn seconds(&self, end_ns: u64, count: u64, vm: Option<usize>) -> Vec<Second> {
        let a_second = 1_000_000_000 / TICK_NS;
        let to = end_ns / TICK_NS;
        let second = |back: u64| {
            let to = to.saturating_sub(back * a_second);
            let mut second = Second::default();
            for part in self.parts(to.saturating_sub(a_second), to, vm) {
                add_layers(&mut second.layers_ns, &part.layers_ns);
            }
            second
        };
        (0..count).rev().map(second).collect()
    }

    fn parts(&self, from: u64, to: u64, vm: Option<usize>) -> impl Iterator<Item = &Part> {
        let parts = self.ticks.between(from, to).flat_map(|tick| &tick.parts);
        parts.filter(move |(who, _)| who.is_of(vm)).map(|(_, part)| part)
    }

    fn part(&mut self, time_ns: u64, who: Who) -> Option<&mut Part> {
        Some(self.ticks.at(time_ns)?.parts.entry(who).or_default())
    }
}

impl Totals {
    fn add(&mut self, part: &Part) {
        for (sum, traffic) in self.traffic.iter_mut().zip(part.traffic) {
            sum.frames += traffic.frames;
            sum.bytes += traffic.bytes;
        }
        let Passed { count, dropped, unfinished, ambiguous } = part.passed;
        self.passed.count += count;
        self.passed.dropped += dropped;
        self.passed.unfinished += unfinished;
        self.passed.ambiguous += ambiguous;
        add_layers(&mut self.layers_ns, &part.layers_ns);
    }
}

fn add_layers(sums: &mut [u64; LAYERS], more: &[u64; LAYERS]) {
    for (sum, time_ns) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*time_ns);
    }
}

impl Observer for View {
    fn event(&mut self, event: &Event) {
        self.newest_ns = self.newest_ns.max(event.time_ns);
        if let Some(tick) = self.ticks.at(event.time_ns) {
            tick.events += 1;
        }
        let inward = match event.hop {
            // XDP's sights are left out: the frame is seen again with its address.
            Hop::TapRx if event.hook != Hook::Xdp => false,
            Hop::TapRing => true,
            _ => return,
        };
        let vm = event.device.and_then(|slot| self.vm_of_tap.get(&slot).copied());
        let Some(part) = self.part(event.time_ns, vm.map_or(Who::Nobody, Who::Vm)) else { return };
        let traffic = &mut part.traffic[usize::from(inward)];
        traffic.frames += 1;
        traffic.bytes += u64::from(event.len);
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Counters(counters) => {
                self.readings.push_back(counters.clone());
                let beyond = self.readings.len().saturating_sub(READINGS);
                self.readings.drain(..beyond);
            }
            Note::Warning { text, .. } if self.notes.len() < NOTES => self.notes.push(text.clone()),
            _ => {}
        }
    }

    fn passage(&mut self, passage: &Passage) {
        let who = Who::of(&self.vm_of_tap, passage.from, passage.to);
        self.last = (who, passage.flow_as_answer() ^ 1);
        let Some(end) = passage.stamps.last() else { return };
        let Some(tick) = self.ticks.at(end.time_ns) else { return };
        tick.parts.entry(who).or_default().passage(&self.scale, passage);
    }

    /// The passage that came last is its answer.
    fn exchange(&mut self, exchange: &Exchange) {
        let (who, flow) = self.last;
        let slow = Slow::of(exchange, flow);
        let Some(tick) = self.ticks.at(slow.end_ns) else { return };
        let part = tick.parts.entry(who).or_default();
        part.exchange(&self.scale, &slow);
        for (span, pair) in spans_of(exchange).filter(|(span, _)| span.way == Way::Turn) {
            part.span(&self.scale, span, pair[0].time_ns, pair[1].time_ns);
        }
    }
}
