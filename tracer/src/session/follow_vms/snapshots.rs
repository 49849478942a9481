//! Figures of histogram mode: each time that the programs are counted, a report of all that they have counted since the watch
//! began. Nothing has to be read again for it, so that it is as new as the last count.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use tracer_common::event::ABI_VERSION;

use super::{
    board::Feed,
    figures::Figures,
    recordings::Recordings,
    tracing::{Counted, Tracing},
};
use crate::{
    analysis::{Analysis, Unobserved},
    config::WatchConfig,
    correlate::Limits,
    decode::Record,
    plan::symbols,
    record::Item,
    recording::{Came, Header, Histograms, Note},
    report::{Report, WatchState},
};

/// Frames that an analysis of no events has room for.
const FRAMES: usize = 1024;
/// Sentences that a part keeps; what comes beyond is in its recording alone.
const MOST_NEWS: usize = 1024;

/// What the programs have counted, as a report.
pub(super) struct Snapshots {
    /// Where recordings are wanted as well.
    recordings: Option<Recordings>,
    part: Option<Part>,
    /// How long a part is where there are no recordings.
    longest: Duration,
    /// Of the parts that are over.
    sum: Option<Report>,
    shown: Arc<Mutex<Option<Report>>>,
}

/// A part of the watch: as long as a recording, or as the same programs are attached.
struct Part {
    header: Header,
    /// What could not be done, and what came.
    notes: Vec<Note>,
    /// What its programs had counted before.
    start: Counted,
    begun: Instant,
    /// Functions of the code addresses that dropped frames.
    symbols: BTreeMap<u64, String>,
    report: Option<Report>,
}

impl Part {
    fn count(&mut self, counted: &Counted) {
        let Some(now) = &counted.histograms else { return };
        let since = self.start.histograms.as_ref().map_or_else(|| now.clone(), |start| now.since(start));
        self.name(&since);
        let mut analysis = Analysis::new(&self.header, ABI_VERSION, Limits::of_frames(FRAMES));
        let counts = [
            Note::Counters(counted.counters.since(&self.start.counters)),
            Note::Bill(counted.bill.since(&self.start.bill)),
            Note::Histograms(since),
            Note::Symbols(self.symbols.clone()),
            // It is not cut off: it goes on.
            Note::End { reason: "the watch goes on".to_owned(), failed: false },
        ];
        for note in self.notes.iter().cloned().chain(counts) {
            analysis.push(Item::Note(note), &mut Unobserved);
        }
        let mut report = analysis.finish(true, &mut Unobserved);
        if let Some(earlier) = &self.report {
            report.hold_cost(earlier);
        }
        self.report = Some(report);
    }

    /// Looks up the functions that dropped frames, where new ones did.
    fn name(&mut self, all: &Histograms) {
        let dropped_at = all.drops.iter().map(|drop| drop.location).collect();
        if all.drops.iter().any(|drop| !self.symbols.contains_key(&drop.location)) {
            self.symbols = symbols::names_of(&dropped_at);
            // One without a name is not looked up again.
            dropped_at.iter().for_each(|address| {
                self.symbols.entry(*address).or_insert_with(|| format!("{address:#x}"));
            });
        }
    }
}

impl Snapshots {
    /// Takes the folder where recordings are wanted.
    ///
    /// # Errors
    /// The folder cannot be read or is another watch's.
    pub(super) fn open(config: &WatchConfig) -> Result<Snapshots> {
        let recordings = config.folder.is_some().then(|| Recordings::open(config)).transpose()?;
        Ok(Snapshots { recordings, part: None, longest: config.every, sum: None, shown: Arc::default() })
    }

    /// The report of the whole watch.
    fn whole(&self) -> Option<Report> {
        let last = self.part.as_ref().and_then(|part| part.report.clone());
        match (self.sum.clone(), last) {
            (Some(mut sum), Some(last)) => {
                sum.add(last);
                Some(sum)
            }
            (sum, last) => sum.or(last),
        }
    }
}

impl Figures for Snapshots {
    fn feed(&self) -> Feed {
        let shown = self.shown.clone();
        Box::new(move || shown.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn begin(&mut self, reason: &str, header: &Header, notes: &[String], start: Counted) -> Result<()> {
        self.sum = self.whole();
        self.part = Some(Part {
            header: header.clone(),
            notes: notes.iter().cloned().map(Note::warning).collect(),
            start: start.clone(),
            begun: Instant::now(),
            symbols: BTreeMap::new(),
            report: None,
        });
        self.recordings.as_mut().map_or(Ok(()), |files| files.begin(reason, header, notes, start))
    }

    fn record(&mut self, record: Record) -> Result<()> {
        self.recordings.as_mut().map_or(Ok(()), |files| files.record(record))
    }

    fn tell(&mut self, text: String, came: Option<Came>) -> Result<()> {
        if let Some(part) = self.part.as_mut().filter(|part| part.notes.len() < MOST_NEWS) {
            part.notes.push(Note::Warning { text: text.clone(), came: came.clone().map(Box::new) });
        }
        self.recordings.as_mut().map_or(Ok(()), |files| files.tell(text, came))
    }

    fn count(&mut self, tracing: &Tracing) -> Result<()> {
        if let Some(part) = &mut self.part {
            part.count(&tracing.counted);
        }
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = self.whole();
        self.recordings.as_mut().map_or(Ok(()), |files| files.count(tracing))
    }

    fn flush(&mut self) -> Result<Option<&'static str>> {
        if let Some(files) = &mut self.recordings {
            return files.flush();
        }
        let over = self.part.as_ref().is_some_and(|part| part.begun.elapsed() >= self.longest);
        Ok(over.then_some("another part follows: the time was up"))
    }

    fn end(&mut self, reason: &str) -> Result<()> {
        self.recordings.as_mut().map_or(Ok(()), |files| files.end(reason))
    }

    fn show(&self, state: &mut WatchState) {
        if let Some(files) = &self.recordings {
            files.show(state);
        }
    }
}
