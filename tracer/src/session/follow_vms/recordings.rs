//! Figures from recordings: one is written while those before it are analysed, and the oldest deleted.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    analyst::{Analyst, Sum},
    board::Feed,
    figures::Figures,
    file::OpenRecording,
    folder::Folder,
    tracing::{Counted, Tracing},
};
use crate::{
    config::WatchConfig,
    decode::Record,
    recording::{Came, Header, Mode},
    report::WatchState,
};

/// The recordings of a watch.
pub(super) struct Recordings {
    folder: Folder,
    /// None where the figures come from elsewhere.
    analyst: Option<Analyst>,
    sum: Arc<Sum>,
    /// The one that is written; none before the first.
    file: Option<OpenRecording>,
    /// How long one is, and how large, bytes.
    longest: (Duration, u64),
    closed: u64,
    bytes: u64,
    kept: u64,
    skipped: u64,
}

impl Recordings {
    /// Takes the folder, and starts the analyst.
    ///
    /// # Errors
    /// The folder cannot be read or is another watch's.
    pub(super) fn open(config: &WatchConfig) -> Result<Recordings> {
        let folder = match &config.folder {
            Some(path) => Folder::take(path, config.keep)?,
            None => Folder::make()?,
        };
        let sum = Arc::new(Sum::default());
        let analyses = config.trace.mode == Mode::Stream;
        let analyst = analyses.then(|| Analyst::start(sum.clone(), folder.is_own())).transpose()?;
        let longest = (config.every, config.size);
        Ok(Recordings { folder, analyst, sum, file: None, longest, closed: 0, bytes: 0, kept: 0, skipped: 0 })
    }

    fn file(&mut self) -> Result<&mut OpenRecording> {
        self.file.as_mut().context("no recording has begun")
    }

    /// Closes a recording; gives its path where it says anything.
    fn close(&mut self, mut file: OpenRecording, reason: &str) -> Result<Option<PathBuf>> {
        let Some(closed) = file.close(reason)? else { return Ok(None) };
        self.closed += 1;
        self.bytes += closed.bytes;
        Ok(Some(closed.path))
    }
}

impl Figures for Recordings {
    fn feed(&self) -> Feed {
        let sum = self.sum.clone();
        Box::new(move || sum.report())
    }

    fn begin(&mut self, reason: &str, header: &Header, notes: &[String], start: Counted) -> Result<()> {
        let path = self.folder.next();
        let next = OpenRecording::create(path.clone(), header, notes, start)?;
        if let Some(last) = self.file.replace(next)
            && let Some(closed) = self.close(last, reason)?
            && let Some(analyst) = &self.analyst
            && !analyst.hand(closed)
        {
            self.skipped += 1;
        }
        self.kept = self.folder.tidy(Some(&path));
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<()> {
        let file = self.file()?;
        match record {
            Record::Event(event) => file.event(&event),
            Record::Flow(flow) => file.flow(flow),
        }
    }

    fn tell(&mut self, text: String, came: Option<Came>) -> Result<()> {
        self.file()?.tell(text, came)
    }

    fn count(&mut self, tracing: &Tracing) -> Result<()> {
        self.file()?.count(&tracing.counted)
    }

    fn flush(&mut self) -> Result<Option<&'static str>> {
        let (every, size) = self.longest;
        let file = self.file()?;
        file.flush()?;
        let reasons = [
            (file.begun.elapsed() >= every, "another recording follows: the time was up"),
            (file.bytes() >= size, "another recording follows: the size was reached"),
        ];
        Ok(reasons.into_iter().find_map(|(due, reason)| due.then_some(reason)))
    }

    fn end(&mut self, reason: &str) -> Result<()> {
        if let Some(last) = self.file.take() {
            // Nobody is left to ask for its figures.
            self.close(last, reason)?;
        }
        self.kept = self.folder.tidy(None);
        Ok(())
    }

    fn show(&self, state: &mut WatchState) {
        (state.recordings, state.recorded_bytes) = (self.closed, self.bytes);
        (state.kept, state.skipped) = (self.kept, self.skipped);
        state.analysed = self.sum.recordings();
    }
}
