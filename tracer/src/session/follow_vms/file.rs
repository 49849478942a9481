//! One recording of a watch, while it is written.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context as _, Result};
use tracer_common::hop::Hop;

use super::tracing::Counted;
use crate::{
    decode::{Event, Flow},
    plan::symbols,
    record::RecordWriter,
    recording::{Came, Header, Histograms, Note},
    session::sink::{KEEP_EVERY, MAX_ADDRESSES},
};

/// A recording that is written.
pub(super) struct OpenRecording {
    path: PathBuf,
    file: File,
    writer: RecordWriter<File>,
    /// Events in it.
    pub(super) events: u64,
    /// When it began.
    pub(super) begun: Instant,
    /// What had been counted before it began.
    start: Counted,
    /// In histogram mode what was counted in it, and when that was written last.
    histograms: Option<Histograms>,
    kept: Instant,
    /// Code addresses that dropped frames.
    dropped_at: BTreeSet<u64>,
}

/// A recording that was closed.
pub(super) struct ClosedRecording {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl OpenRecording {
    /// Begins a recording; `start` is what had been counted before.
    pub(super) fn create(
        path: PathBuf,
        header: &Header,
        notes: &[String],
        start: Counted,
    ) -> Result<OpenRecording> {
        let shown = path.display();
        let file = File::create_new(&path).with_context(|| format!("failed to create {shown}"))?;
        let copy = file.try_clone().context("failed to copy a file descriptor")?;
        let mut writer =
            RecordWriter::create(copy, header).with_context(|| format!("failed to write {shown}"))?;
        for note in notes {
            writer.note(&Note::warning(note.clone()))?;
        }
        let (begun, dropped_at) = (Instant::now(), BTreeSet::new());
        let (histograms, kept) = (None, begun);
        Ok(OpenRecording { path, file, writer, events: 0, begun, start, histograms, kept, dropped_at })
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<()> {
        self.events += 1;
        if event.hop == Hop::SkbDrop && self.dropped_at.len() < MAX_ADDRESSES {
            self.dropped_at.insert(event.digest);
        }
        self.writer.event(event)
    }

    pub(super) fn flow(&mut self, flow: Flow) -> Result<()> {
        self.writer.note(&Note::Flow(flow))
    }

    /// Says what happened, and what came.
    pub(super) fn tell(&mut self, text: String, came: Option<Came>) -> Result<()> {
        self.writer.note(&Note::Warning { text, came: came.map(Box::new) })
    }

    /// Writes what was counted of these programs so far.
    pub(super) fn count(&mut self, counted: &Counted) -> Result<()> {
        self.writer.note(&Note::Counters(counted.counters.since(&self.start.counters)))?;
        self.writer.note(&Note::Bill(counted.bill.since(&self.start.bill)))?;
        let before = self.start.histograms.as_ref();
        let since = |now: &Histograms| before.map_or_else(|| now.clone(), |before| now.since(before));
        self.histograms = counted.histograms.as_ref().map(since);
        if self.kept.elapsed() >= KEEP_EVERY { self.keep() } else { Ok(()) }
    }

    /// Writes what was counted in histogram mode.
    fn keep(&mut self) -> Result<()> {
        self.kept = Instant::now();
        match &self.histograms {
            Some(histograms) => self.writer.note(&Note::Histograms(histograms.clone())),
            None => Ok(()),
        }
    }

    /// Writes what was drained.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.writer.flush()
    }

    /// Its size so far.
    pub(super) fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |found| found.len())
    }

    /// Ends it. One without events says nothing and is removed: then there is none.
    pub(super) fn close(&mut self, reason: &str) -> Result<Option<ClosedRecording>> {
        self.keep()?;
        let counted = self.histograms.take().unwrap_or_default();
        self.dropped_at.extend(counted.drops.iter().map(|drop| drop.location));
        self.writer.note(&Note::Symbols(symbols::names_of(&self.dropped_at)))?;
        self.writer.note(&Note::End { reason: reason.to_owned(), failed: false })?;
        self.writer.finish()?;
        if self.events == 0 && counted.is_empty() {
            fs::remove_file(&self.path)
                .with_context(|| format!("failed to remove {}", self.path.display()))?;
            return Ok(None);
        }
        let bytes = self.bytes();
        Ok(Some(ClosedRecording { path: self.path.clone(), bytes }))
    }
}
