//! What the correlator made of a world, against the truth.
//!
//! A passage is right where one journey owns all of its stamps. Where events were taken out, some errors cannot
//! be seen from what is left, and are counted as excused:
//! - an event without content (a free, a read) of an address whose frame, by the truth, has shown no content there;
//! - a segment of a super-frame that was sent again, where the cutting up of the second is not seen;
//! - an event of a thread or CPU that stands for one that was taken out, or whose frame was taken out;
//! - an event of a frame that the wire delivered twice: both say the same;
//! - a datagram whose question was taken out: what it says does not tell questions from answers.

use std::{collections::HashMap, fmt, ops::AddAssign};

use tracer::correlate::{
    Correlator, Limits, Passage, Rule, Stamp,
    exchange::{Exchange, Exchanger},
};
use tracer_common::{frame::Kind, hop::Hop};

use super::{World, has_buffer_only, tells};

/// What came of comparing.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Passages of one journey.
    pub right: u64,
    /// Passages that mix journeys, in words.
    pub wrong: Vec<String>,
    /// Passages that mix journeys where nothing could tell.
    pub excused: u64,
    /// Passages that mix journeys and say that they may.
    pub doubted: u64,
    /// Stamps that had to be found, and those that were.
    pub expected: u64,
    /// Stamps found.
    pub found: u64,
    /// Exchanges of a question and what answers it.
    pub pairs_right: u64,
    /// Exchanges of others, in words.
    pub pairs_wrong: Vec<String>,
    /// Exchanges of others where nothing could tell.
    pub pairs_excused: u64,
    /// Exchanges that had to be found, and those that were.
    pub pairs_expected: u64,
    /// Exchanges found of these.
    pub pairs_found: u64,
    /// Events.
    pub events: u64,
    /// What had to be found and was not, the first few in words.
    pub missed: Vec<String>,
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Score) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
        self.excused += other.excused;
        self.doubted += other.doubted;
        self.expected += other.expected;
        self.found += other.found;
        self.pairs_right += other.pairs_right;
        self.pairs_wrong.extend(other.pairs_wrong);
        self.pairs_excused += other.pairs_excused;
        self.pairs_expected += other.pairs_expected;
        self.pairs_found += other.pairs_found;
        self.events += other.events;
        self.missed.extend(other.missed);
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let passages = self.right + self.wrong.len() as u64 + self.excused + self.doubted;
        let pairs = self.pairs_right + self.pairs_wrong.len() as u64 + self.pairs_excused;
        write!(
            f,
            "{} events; {passages} passages: precision {:.4} % ({} wrong, {} excused, {} doubted), recall {:.4} % of {} \
             stamps; {pairs} exchanges: precision {:.4} % ({} wrong, {} excused), recall {:.4} % of {}",
            self.events,
            share(self.right, passages),
            self.wrong.len(),
            self.excused,
            self.doubted,
            share(self.found, self.expected),
            self.expected,
            share(self.pairs_right, pairs),
            self.pairs_wrong.len(),
            self.pairs_excused,
            share(self.pairs_found, self.pairs_expected),
            self.pairs_expected,
        )
    }
}

/// Takes what is over, and gives its memory back for what is to come.
pub fn drain(correlator: &mut Correlator, passages: &mut Vec<Passage>) {
    while let Some(passage) = correlator.poll() {
        passages.push((*passage).clone());
        correlator.take_back(passage);
    }
}

/// The passages and exchanges of a world.
pub fn correlate(world: &World) -> (Vec<Passage>, Vec<Exchange>) {
    let mut correlator = world.correlator(Limits::default());
    let mut passages = Vec::new();
    for event in &world.events {
        correlator.push(*event);
        drain(&mut correlator, &mut passages);
    }
    correlator.finish();
    drain(&mut correlator, &mut passages);
    assert_eq!(correlator.late(), 0);
    let mut exchanger = Exchanger::default();
    let mut exchanges = Vec::new();
    for passage in &passages {
        exchanger.push(passage);
        exchanges.extend(std::iter::from_fn(|| exchanger.poll()));
    }
    (passages, exchanges)
}

/// Compares a world with what the correlator makes of it.
pub fn check(world: &World) -> Score {
    let (passages, exchanges) = correlate(world);
    let mut check = Check { world, score: Score::default(), journey_at: HashMap::new() };
    check.score.events = world.events.len() as u64;
    for passage in &passages {
        check.passage(passage);
    }
    check.recall();
    for exchange in &exchanges {
        check.exchange(exchange);
    }
    check.missing_exchanges(&exchanges);
    check.score
}

struct Check<'a> {
    world: &'a World,
    score: Score,
    /// Times that were found in the right passage, and whose.
    journey_at: HashMap<u64, Vec<usize>>,
}

impl Check<'_> {
    fn owners(&self, stamp: &Stamp) -> &[usize] {
        self.world.owners.get(&stamp.time_ns).map_or(&[], Vec::as_slice)
    }

    /// Journeys that own all of the stamps.
    fn common(&self, stamps: &[Stamp]) -> Vec<usize> {
        let Some((first, rest)) = stamps.split_first() else { return Vec::new() };
        let owns = |journey: &usize| rest.iter().all(|stamp| self.owners(stamp).contains(journey));
        self.owners(first).iter().copied().filter(owns).collect()
    }

    fn passage(&mut self, passage: &Passage) {
        let all: Vec<Stamp> = passage.stamps.iter().chain(passage.merged.iter().flatten()).copied().collect();
        let common = self.common(&all);
        let in_order = passage.stamps.is_sorted_by_key(|stamp| stamp.time_ns);
        if !common.is_empty() && in_order {
            self.score.right += 1;
            for stamp in &all {
                self.journey_at.entry(stamp.time_ns).or_default().extend(&common);
            }
        } else if passage.ambiguous {
            self.score.doubted += 1;
        } else if self.world.is_lossy() && in_order && self.excuses(passage) {
            self.score.excused += 1;
        } else {
            let owned = passage.stamps.iter().map(|stamp| {
                format!(
                    "{} {} {} {:?}",
                    stamp.time_ns,
                    stamp.hop.name(),
                    stamp.rule.name(),
                    self.owners(stamp)
                )
            });
            self.score.wrong.push(owned.collect::<Vec<_>>().join(", "));
        }
    }

    /// Whether nothing that was left could have told that the stamps belong to several frames.
    fn excuses(&self, passage: &Passage) -> bool {
        let told_but_by = |rules: &[Rule]| -> Vec<Stamp> {
            let told = |stamp: &&Stamp| tells(stamp.hop) && !rules.contains(&stamp.rule);
            passage.stamps.iter().filter(told).copied().collect()
        };
        let mut journeys = self.common(&told_but_by(&[Rule::Range]));
        if journeys.is_empty() {
            // What was joined by its content alone may be a frame's that says the same.
            journeys = self.common(&told_but_by(&[Rule::Range, Rule::Content]));
        }
        let own = |stamp: &&Stamp| self.owners(stamp).iter().any(|journey| journeys.contains(journey));
        let foreign = passage.stamps.iter().filter(|stamp| !own(stamp));
        !journeys.is_empty() && foreign.into_iter().all(|stamp| self.is_undecidable(stamp, &journeys))
    }

    fn is_undecidable(&self, stamp: &Stamp, journeys: &[usize]) -> bool {
        let removed = |time_ns: &u64| self.world.removed.contains(time_ns);
        let journey = |number: &usize| &self.world.journeys[*number];
        let said = journey(&journeys[0]).content.digest;
        if self.owners(stamp).iter().any(|owner| journey(owner).content.digest == said) {
            return true;
        }
        match stamp.hop {
            // The address was another's by then, who never showed what it holds.
            hop if matches!(hop, Hop::NicDone | Hop::VmmRead | Hop::VmmReadEnd) || has_buffer_only(hop) => {
                let at_address = |time_ns: &&u64| {
                    **time_ns < stamp.time_ns
                        && self.world.addresses[*time_ns] == self.world.addresses[&stamp.time_ns]
                };
                let own = journey(&journeys[0]);
                // From when on the passage's own frame had last shown that the address was its.
                let shown = own.told.iter().filter(at_address).filter(|time_ns| !removed(time_ns)).max();
                let since = shown.copied().unwrap_or(own.began_ns);
                let here = |time_ns: &&u64| **time_ns >= since && at_address(time_ns);
                let unseen = |owner: &usize| journey(owner).told.iter().filter(here).all(removed);
                self.owners(stamp)
                    .iter()
                    .all(|owner| unseen(owner) || self.are_same_bytes(*owner, journeys[0]))
            }
            Hop::NicXmit | Hop::TapRing => {
                stamp.rule == Rule::Range
                    && self.owners(stamp).iter().all(|owner| self.are_same_bytes(*owner, journeys[0]))
            }
            // Whoever it was meant for has lost an event, or who took it has lost its own.
            Hop::VmmKick
            | Hop::VmmRunnable
            | Hop::VmmWake
            | Hop::TapWrite
            | Hop::NicIrq
            | Hop::VmmIrq
            | Hop::VcpuEnter => true,
            _ => false,
        }
    }

    /// Whether one of two super-frames sends bytes of the other again: their segments say the same.
    fn are_same_bytes(&self, one: usize, other: usize) -> bool {
        let [one, other] = [one, other].map(|number| &self.world.journeys[number].content);
        let ends_before =
            |left: &super::Content, right: &super::Content| left.seq + left.payload <= right.seq;
        let is_super = other.payload > other.segment;
        is_super && one.flow == other.flow && !ends_before(one, other) && !ends_before(other, one)
    }

    /// Counts the stamps that had to be found.
    fn recall(&mut self) {
        for (number, journey) in self.world.journeys.iter().enumerate() {
            for time_ns in &journey.expected {
                self.score.expected += 1;
                let found = self.journey_at.get(time_ns).is_some_and(|journeys| journeys.contains(&number));
                self.score.found += u64::from(found);
                if !found && self.score.missed.len() < 3 {
                    let hop = self.world.events.iter().find(|event| event.time_ns == *time_ns);
                    let hop = hop.map_or("removed", |event| event.hop.name());
                    self.score.missed.push(format!("{hop} at {time_ns} of {journey:?}"));
                }
            }
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let (question, answer) = exchange.stamps.split_at(exchange.turn);
        let in_order = exchange.stamps.is_sorted_by_key(|stamp| stamp.time_ns);
        let (asked, answered) = (self.common(question), self.common(answer));
        let asks = question
            .iter()
            .rev()
            .find_map(|stamp| self.world.said.get(&stamp.time_ns).filter(|_| tells(stamp.hop)));
        let right = asked
            .iter()
            .any(|asked| answered.iter().any(|answered| self.answers(*answered, *asked, asks.copied())));
        if right && in_order {
            self.score.pairs_right += 1;
        } else if self.world.is_lossy() && self.excuses_pair(&asked, &answered) {
            self.score.pairs_excused += 1;
        } else {
            self.score.pairs_wrong.push(format!(
                "in order: {in_order} {:?}: {:?} of {:?} and {:?} of {:?}",
                exchange.kind,
                question,
                asked.first().map(|number| &self.world.journeys[*number]),
                answer,
                answered.first().map(|number| &self.world.journeys[*number])
            ));
        }
    }

    /// Stamps of other frames in one of the passages were judged with the passage; a datagram's question may be gone.
    fn excuses_pair(&self, asked: &[usize], answered: &[usize]) -> bool {
        let (Some(asked), Some(answered)) = (asked.first(), answered.first()) else { return true };
        let flow = |number: usize| self.world.journeys[number].content.flow & !1;
        let question = &self.world.journeys[*asked].content;
        // The wire delivered the question twice, and the answer is that to the other one, which was taken out.
        let twin = self.world.journeys.iter().position(|journey| {
            journey.content.digest == question.digest
                && self.world.journeys[*answered].answers == Some(journey.frame)
        });
        twin.is_some() || (question.kind == Kind::Udp && flow(*asked) == flow(*answered))
    }

    /// Whether a frame answers another, by the truth.
    fn answers(&self, answer: usize, question: usize, asks: Option<(u32, u32)>) -> bool {
        let (said, asked) = (&self.world.journeys[answer], &self.world.journeys[question]);
        if said.content.kind != Kind::Tcp {
            return said.answers == Some(asked.frame);
        }
        let is_ack = said.content.flow == asked.content.flow ^ 1 && said.began_ns > asked.began_ns;
        // A segment of a super-frame asks for itself.
        let (seq, payload) = asks.unwrap_or((asked.content.seq, asked.content.payload));
        let end = seq.wrapping_add(payload + u32::from(asked.content.flags & 0x03 != 0));
        let earlier = |other: &super::Journey| {
            other.content.flow == said.content.flow
                && other.content.ack >= end
                && !other.dropped
                && (asked.began_ns..said.began_ns).contains(&other.began_ns)
        };
        let first = self.world.is_lossy() || !self.world.journeys.iter().any(earlier);
        is_ack && said.content.ack >= end && first
    }

    /// Counts the exchanges that had to be found: of flows in which nothing was dropped, sent again or flooded.
    fn missing_exchanges(&mut self, exchanges: &[Exchange]) {
        let found: std::collections::HashSet<u64> = exchanges
            .iter()
            .filter_map(|exchange| exchange.stamps[..exchange.turn].iter().find(|stamp| tells(stamp.hop)))
            .map(|stamp| stamp.time_ns)
            .collect();
        let answered: std::collections::HashSet<usize> =
            self.world.journeys.iter().filter_map(|journey| journey.answers).collect();
        for journey in &self.world.journeys {
            let flow = journey.content.flow & !1;
            let kind = journey.content.kind;
            if journey.flooded || self.world.troubled.contains(&flow) || kind == Kind::Arp {
                continue;
            }
            if journey.content.flow & 1 == 1 || (kind != Kind::Tcp && !answered.contains(&journey.frame)) {
                continue;
            }
            self.score.pairs_expected += 1;
            let has = journey.told.iter().any(|time_ns| found.contains(time_ns));
            self.score.pairs_found += u64::from(has);
            if !has && self.score.missed.len() < 3 {
                self.score.missed.push(format!("exchange of {journey:?}"));
            }
        }
    }
}
