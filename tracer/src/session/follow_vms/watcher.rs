//! The event loop of a watch: from what the programs send and what the host has to the source of figures and the board.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::sleep_until,
};

use super::{
    Stopped, Told,
    board::Board,
    figures::Figures,
    news,
    scan::Scans,
    tracing::{Counted, Kinds, Tracing},
};
use crate::{
    config::WatchConfig,
    recording::{Counters, DeviceSlot},
    report::WatchState,
    session::{
        DRAIN_EVERY, FLUSH_EVERY, LINGER, Signals, every,
        prepare::{Prepared, clocks},
        sink::COUNT_EVERY,
        until,
    },
    topology::Vm,
};

/// A watch.
pub(super) struct Watcher<'a> {
    // Declared first, so that dropping detaches before anything else goes.
    tracing: Tracing,
    figures: Box<dyn Figures>,
    config: &'a WatchConfig,
    told: &'a mut dyn FnMut(Told<'_>) -> bool,
    board: Arc<Board>,
    scans: Arc<Scans>,
    /// What is watched.
    vms: Vec<Vm>,
    /// What was found last.
    found: Vec<Vm>,
    /// What the attached programs were planned for.
    kinds: Kinds,
    /// Programs that are being attached.
    attaching: Option<JoinHandle<Result<Prepared>>>,
    /// Devices that the figures' present part knows.
    named: Vec<DeviceSlot>,
    state: WatchState,
    /// What was counted of programs that are detached.
    before: Counters,
    started: Instant,
    counted: Instant,
}

impl<'a> Watcher<'a> {
    /// Attaches the programs.
    ///
    /// # Errors
    /// They cannot be attached; nothing stays so.
    pub(super) fn start(
        config: &'a WatchConfig,
        mut figures: Box<dyn Figures>,
        board: Arc<Board>,
        scans: Arc<Scans>,
        told: &'a mut dyn FnMut(Told<'_>) -> bool,
    ) -> Result<Watcher<'a>> {
        let vms = config.trace.vms.clone();
        let tracing = Tracing::new(Prepared::new(&config.trace, &[])?, config.trace.verbose)?;
        let (header, notes) = tracing.header(&vms, clocks()?);
        figures.begin("", &header, notes, Counted::default())?;
        told(Told::Watching { vms: vms.len() });
        let state = WatchState { vms_seen: vms.len() as u64, attached: 1, ..WatchState::default() };
        Ok(Watcher {
            named: header.devices,
            kinds: Kinds::of(&vms),
            tracing,
            figures,
            config,
            told,
            board,
            scans,
            found: vms.clone(),
            vms,
            attaching: None,
            state,
            before: Counters::default(),
            started: Instant::now(),
            counted: Instant::now(),
        })
    }

    /// Watches until something ends it; says what.
    pub(super) async fn follow(
        &mut self,
        signals: &mut Signals,
        found: &mut mpsc::UnboundedReceiver<Vec<Vm>>,
    ) -> Result<String> {
        let deadline = self.config.duration.map(|duration| tokio::time::Instant::now() + duration);
        let (mut flush, mut next) = (every(FLUSH_EVERY), tokio::time::Instant::now());
        let mut print = every(self.config.print.unwrap_or(DRAIN_EVERY));
        print.reset();
        self.count()?;
        loop {
            tokio::select! {
                () = sleep_until(next) => next = tokio::time::Instant::now() + self.drain(u64::MAX)?,
                _ = flush.tick() => self.flush()?,
                _ = print.tick(), if self.config.print.is_some() => if !self.print()? {
                    return Ok("nobody reads what is printed any more".to_owned());
                },
                Some(vms) = found.recv() => {
                    self.found = vms;
                    self.settle()?;
                }
                attached = finished(&mut self.attaching) => {
                    self.attaching = None;
                    self.take_over(attached)?;
                }
                () = until(deadline) => return Ok("the time was up".to_owned()),
                () = signals.any() => return Ok("interrupted".to_owned()),
            }
        }
    }

    /// Hands on what waits, and says how long to wait before the next time.
    fn drain(&mut self, until_ns: u64) -> Result<Duration> {
        let Watcher { tracing, figures, state, .. } = self;
        let taken = tracing.drain(until_ns, &mut |record| figures.record(record))?;
        state.events += taken;
        Ok(tracing.wait_after(taken))
    }

    fn flush(&mut self) -> Result<()> {
        self.tracing.flush_diagnostics();
        if self.counted.elapsed() >= COUNT_EVERY {
            self.counted = Instant::now();
            self.count()?;
        }
        match self.figures.flush()? {
            Some(reason) => self.turn(reason),
            None => Ok(()),
        }
    }

    /// Prints the figures; false where nobody reads them.
    fn print(&mut self) -> Result<bool> {
        self.show();
        let text = self.board.text().context("failed to write the figures")?;
        Ok((self.told)(Told::Figures(&text)))
    }

    /// Counts, for the figures and for the board.
    fn count(&mut self) -> Result<()> {
        self.tracing.count();
        self.figures.count(&self.tracing)?;
        self.show();
        Ok(())
    }

    fn show(&mut self) {
        for (vm, frames) in self.tracing.take_frames() {
            self.state.add_frames(&vm, frames);
        }
        let state = &mut self.state;
        state.elapsed_ns = self.started.elapsed().as_nanos() as u64;
        state.counters = self.before.plus(&self.tracing.counted.counters);
        state.resident_bytes = resident_bytes();
        state.scans = self.scans.count.load(Ordering::Relaxed);
        state.scan_ns = self.scans.ns.load(Ordering::Relaxed);
        state.vms = self.vms.len() as u64;
        state.devices = self.tracing.targets.devices.len() as u64;
        state.free_slots = self.tracing.targets.free_slots() as u64;
        self.figures.show(state);
        self.board.show(state);
    }

    /// Watches what was found, in the place of what was there before.
    fn settle(&mut self) -> Result<()> {
        if self.attaching.is_some() {
            return Ok(());
        }
        let kinds = Kinds::of(&self.found);
        if !self.kinds.serve(&kinds) {
            self.attach(kinds);
            return Ok(());
        }
        let next = self.tracing.targets.next(&self.found);
        let change = self.tracing.targets.difference(&next);
        let words = news::words(&self.vms, &self.found);
        let came = news::came(&self.vms, &self.found, &self.named, next.slots());
        // Before the programs know of it, so that the note is before the first event.
        self.named.extend(came.devices.iter().cloned());
        let text = words.first().map_or("threads of a VM came or went", String::as_str);
        if !came.is_empty() || !words.is_empty() {
            self.figures.tell(text.to_owned(), (!came.is_empty()).then_some(came))?;
        }
        words.iter().skip(1).try_for_each(|text| self.figures.tell(text.clone(), None))?;
        let undone = self.tracing.follow(next, &change, &self.found);
        undone.iter().try_for_each(|text| self.figures.tell(text.clone(), None))?;
        self.vms_are(words.iter().chain(&undone));
        Ok(())
    }

    /// Tells the news: what was found is watched.
    fn vms_are<'w>(&mut self, words: impl Iterator<Item = &'w String>) {
        for text in words {
            (self.told)(Told::News(text));
        }
        let process = |vm: &Vm| (vm.pid, vm.start_time);
        let new = self.found.iter().filter(|vm| !self.vms.iter().any(|other| process(other) == process(vm)));
        self.state.vms_seen += new.count() as u64;
        self.vms.clone_from(&self.found);
    }

    /// Has programs attached for what was found, while those before it go on.
    fn attach(&mut self, kinds: Kinds) {
        let mut config = self.config.trace.clone();
        config.vms.clone_from(&self.found);
        self.kinds = kinds.after(&self.kinds);
        config.cases = self.kinds.cases();
        self.attaching = Some(spawn_blocking(move || Prepared::new(&config, &[])));
    }

    /// Goes on with programs that are attached now; without, with those before.
    fn take_over(&mut self, attached: Result<Prepared>) -> Result<()> {
        let prepared = match attached {
            Ok(prepared) => prepared,
            Err(error) => {
                let text = format!("programs for a VM of another kind could not be attached: {error:#}");
                (self.told)(Told::News(&text));
                self.figures.tell(text, None)?;
                return self.settle();
            }
        };
        let mut vms = prepared.header.topology.vms.clone();
        let words = news::words(&self.vms, &vms);
        let mut new = Tracing::new(prepared, self.config.trace.verbose)?;
        let cut_ns = new.attached_ns();
        self.end_tracing(cut_ns)?;
        new.go_on();
        self.tracing = new;
        self.state.attached += 1;
        self.begin("programs for a VM of another kind were attached", Default::default(), &vms)?;
        // What has come since then is found by comparing with these.
        std::mem::swap(&mut self.found, &mut vms);
        self.vms_are(words.iter());
        self.found = vms;
        self.settle()
    }

    /// The last of the attached programs: detaches them.
    fn end_tracing(&mut self, until_ns: u64) -> Result<()> {
        self.count()?;
        let Watcher { tracing, figures, state, .. } = self;
        state.events += tracing.detach(until_ns, &mut |record| figures.record(record))?;
        figures.count(tracing)?;
        self.show();
        self.before = self.before.plus(&self.tracing.counted.counters);
        // Of the process, not of the programs.
        (self.before.reader_cpu_ns, self.before.wall_ns) = (0, 0);
        Ok(())
    }

    /// One part of the figures ends and another begins.
    fn turn(&mut self, reason: &str) -> Result<()> {
        let Watcher { tracing, figures, state, .. } = self;
        state.events += tracing.drain_all(u64::MAX, &mut |record| figures.record(record))?;
        self.count()?;
        let start = self.tracing.counted.clone();
        self.tracing.turn(&self.vms);
        let vms = self.vms.clone();
        self.begin(reason, start, &vms)
    }

    fn begin(&mut self, reason: &str, start: Counted, vms: &[Vm]) -> Result<()> {
        let (header, notes) = self.tracing.header(vms, clocks()?);
        self.figures.begin(reason, &header, notes, start)?;
        self.named = header.devices;
        Ok(())
    }

    /// Follows the frames that are on their way, detaches, and ends.
    pub(super) async fn stop(mut self, ended: Result<String>) -> Stopped {
        let ended = match ended {
            Ok(reason) => self.wind_up(&reason).await.map(|()| reason),
            Err(error) => Err(error),
        };
        let folder = self.config.folder.clone();
        let (reason, failed) = match ended {
            Ok(reason) => (reason, false),
            Err(error) => (
                format!(
                    "the recording could not be written any further ({error:#}): what was written before is kept; make \
                     room, or name another place with -o"
                ),
                true,
            ),
        };
        Stopped { reason, failed, state: self.state, folder }
    }

    async fn wind_up(&mut self, reason: &str) -> Result<()> {
        let end = Instant::now() + LINGER;
        let mut drain = every(DRAIN_EVERY);
        while Instant::now() < end {
            drain.tick().await;
            self.drain(u64::MAX)?;
        }
        self.end_tracing(u64::MAX)?;
        self.figures.end(reason)?;
        self.figures.show(&mut self.state);
        Ok(())
    }
}

/// The end of what is being attached; never, where nothing is.
async fn finished(attaching: &mut Option<JoinHandle<Result<Prepared>>>) -> Result<Prepared> {
    match attaching {
        Some(handle) => {
            handle.await.unwrap_or_else(|error| Err(anyhow!("the thread that attached them ended: {error}")))
        }
        None => std::future::pending().await,
    }
}

/// Memory of this process, bytes; 0 where it cannot be read.
fn resident_bytes() -> u64 {
    let pages = procfs::process::Process::myself().and_then(|own| own.statm()).map(|memory| memory.resident);
    pages.unwrap_or_default() * procfs::page_size()
}
