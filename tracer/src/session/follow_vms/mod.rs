//! A watch: traces until it is stopped, while VMs come and go, and recordings follow one another.
//!
//! - What is watched changes by map updates under the attached programs ([`Tracing`]). A VM of a kind that they were not
//!   planned for, the first one on KVM say, has others attached; only then are those before it detached, and what either saw is
//!   told apart by the moment at which the new ones were complete.
//! - A recording ends and another begins between two records of the ring: each record is in exactly one of them. A frame that is
//!   on its way at that moment has a part in each, which both report as a passage of which an end was not seen.
//! - Figures are on the [`board::Board`]: counters at once, the report when a recording is closed ([`analyst`]).
//!
//! Memory is bounded: by 255 devices, 256 VMs, the rows of a report, and what an analysis is allowed.

mod analyst;
mod board;
mod file;
mod folder;
mod news;
mod scan;
mod serve;
mod tracing;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use self::{
    analyst::Analyst,
    board::Board,
    file::{ClosedRecording, OpenRecording},
    folder::Folder,
    scan::Scans,
    tracing::{AT_ONCE, Kinds, Tracing},
};
use super::{
    DRAIN_EVERY, FLUSH_EVERY, LINGER, Signals, every,
    prepare::{Prepared, clocks},
    sink::COUNT_EVERY,
    until,
};
use crate::{
    config::WatchConfig,
    recording::{Bill, Counters, DeviceSlot},
    report::WatchState,
    topology::Vm,
};

/// What a watch has to say meanwhile.
#[derive(Debug)]
pub enum Told<'a> {
    /// It is served here.
    Serving(SocketAddr),
    /// The programs are attached.
    Watching {
        /// VMs there are.
        vms: usize,
    },
    /// Something came, went or could not be done: a sentence, with names that others chose.
    News(&'a str),
    /// The figures, as OpenMetrics text; it was time to print them.
    Figures(&'a [u8]),
}

/// What a watch came to.
#[derive(Debug)]
pub struct Stopped {
    /// Why it stopped.
    pub reason: String,
    /// Whether that was a failure.
    pub failed: bool,
    /// How it stood.
    pub state: WatchState,
    /// Where its recordings are kept.
    pub folder: Option<PathBuf>,
}

/// Watches as `config` says. `told` says whether somebody listens still; where figures find nobody, the watch ends.
///
/// # Errors
/// The watch could not start; nothing stays attached. What goes wrong later is in [`Stopped`].
pub fn watch(config: &WatchConfig, told: &mut dyn FnMut(Told<'_>) -> bool) -> Result<Stopped> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the event loop")?;
    let stopped = runtime.block_on(run(config, told));
    // Programs that are being attached are attached to the end, and then detached: nobody waits for that.
    runtime.shutdown_background();
    stopped
}

async fn run(config: &WatchConfig, told: &mut dyn FnMut(Told<'_>) -> bool) -> Result<Stopped> {
    let mut signals = Signals::new()?;
    let board = Arc::new(Board::default());
    if let Some(address) = config.listen {
        told(Told::Serving(serve::start(address, board.clone())?));
    }
    let scans = Arc::new(Scans::default());
    let mut watcher = Watcher::start(config, board, scans.clone(), told)?;
    let mut found = scan::start(config, scans)?;
    let ended = watcher.follow(&mut signals, &mut found).await;
    Ok(watcher.stop(ended).await)
}

/// A watch.
struct Watcher<'a> {
    // Declared first, so that dropping detaches before anything else goes.
    tracing: Tracing,
    file: OpenRecording,
    config: &'a WatchConfig,
    told: &'a mut dyn FnMut(Told<'_>) -> bool,
    folder: Folder,
    analyst: Analyst,
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
    /// Devices that the recording has named.
    named: Vec<DeviceSlot>,
    state: WatchState,
    /// What was counted of programs that are detached.
    before: Counters,
    bill: Bill,
    started: Instant,
    counted: Instant,
}

impl<'a> Watcher<'a> {
    fn start(
        config: &'a WatchConfig,
        board: Arc<Board>,
        scans: Arc<Scans>,
        told: &'a mut dyn FnMut(Told<'_>) -> bool,
    ) -> Result<Watcher<'a>> {
        let mut folder = match &config.folder {
            Some(path) => Folder::take(path, config.keep)?,
            None => Folder::make()?,
        };
        let analyst = Analyst::start(board.clone(), folder.is_own())?;
        let vms = config.trace.vms.clone();
        let tracing = Tracing::new(Prepared::new(&config.trace, &[])?, config.trace.verbose)?;
        let (header, notes) = tracing.header(&vms, clocks()?);
        let file = OpenRecording::create(folder.next(), &header, notes, Default::default())?;
        told(Told::Watching { vms: vms.len() });
        let state = WatchState { vms_seen: vms.len() as u64, attached: 1, ..WatchState::default() };
        Ok(Watcher {
            named: header.devices,
            kinds: Kinds::of(&vms),
            tracing,
            file,
            config,
            told,
            folder,
            analyst,
            board,
            scans,
            found: vms.clone(),
            vms,
            attaching: None,
            state,
            before: Counters::default(),
            bill: Bill::default(),
            started: Instant::now(),
            counted: Instant::now(),
        })
    }

    /// Watches until something ends it; says what.
    async fn follow(
        &mut self,
        signals: &mut Signals,
        found: &mut mpsc::UnboundedReceiver<Vec<Vm>>,
    ) -> Result<String> {
        let deadline = self.config.duration.map(|duration| tokio::time::Instant::now() + duration);
        let (mut drain, mut flush) = (every(DRAIN_EVERY), every(FLUSH_EVERY));
        let mut print = every(self.config.print.unwrap_or(DRAIN_EVERY));
        print.reset();
        self.count()?;
        loop {
            tokio::select! {
                _ = drain.tick() => self.drain(u64::MAX)?,
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

    fn drain(&mut self, until_ns: u64) -> Result<()> {
        self.state.events += self.tracing.drain(&mut self.file, until_ns)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.tracing.flush_diagnostics();
        if self.counted.elapsed() >= COUNT_EVERY {
            self.counted = Instant::now();
            self.count()?;
        }
        self.file.flush()?;
        if self.file.begun.elapsed() >= self.config.every {
            return self.turn("another recording follows: the time was up");
        }
        if self.file.bytes() >= self.config.size {
            return self.turn("another recording follows: the size was reached");
        }
        Ok(())
    }

    /// Prints the figures; false where nobody reads them.
    fn print(&mut self) -> Result<bool> {
        self.show();
        let text = self.board.text().context("failed to write the figures")?;
        Ok((self.told)(Told::Figures(&text)))
    }

    /// Counts, for the recording and for the board.
    fn count(&mut self) -> Result<()> {
        self.bill = self.tracing.count();
        self.file.count(&self.tracing.counters, &self.bill)?;
        self.show();
        Ok(())
    }

    fn show(&mut self) {
        for (vm, frames) in self.tracing.take_frames() {
            self.state.add_frames(&vm, frames);
        }
        let state = &mut self.state;
        state.elapsed_ns = self.started.elapsed().as_nanos() as u64;
        state.counters = self.before.plus(&self.tracing.counters);
        state.resident_bytes = resident_bytes();
        state.scans = self.scans.count.load(Ordering::Relaxed);
        state.scan_ns = self.scans.ns.load(Ordering::Relaxed);
        state.vms = self.vms.len() as u64;
        state.devices = self.tracing.targets.devices.len() as u64;
        state.free_slots = self.tracing.targets.free_slots() as u64;
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
            self.file.tell(text.to_owned(), (!came.is_empty()).then_some(came))?;
        }
        words.iter().skip(1).try_for_each(|text| self.file.tell(text.clone(), None))?;
        let undone = self.tracing.follow(next, &change, &self.found);
        undone.iter().try_for_each(|text| self.file.tell(text.clone(), None))?;
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
        self.kinds = self.kinds.clone().and(&kinds);
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
                self.file.tell(text, None)?;
                return self.settle();
            }
        };
        let mut vms = prepared.header.topology.vms.clone();
        let words = news::words(&self.vms, &vms);
        let new = Tracing::new(prepared, self.config.trace.verbose)?;
        let cut_ns = new.attached_ns();
        self.end_tracing(cut_ns)?;
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
        self.state.events += self.tracing.detach(&mut self.file, until_ns)?;
        self.file.count_last(&self.tracing.counters)?;
        self.show();
        self.before = self.before.plus(&self.tracing.counters);
        // Of the process, not of the programs.
        (self.before.reader_cpu_ns, self.before.wall_ns) = (0, 0);
        Ok(())
    }

    /// Ends a recording and begins another.
    fn turn(&mut self, reason: &str) -> Result<()> {
        self.drain_all()?;
        self.count()?;
        let start = (self.tracing.counters.clone(), self.bill.clone());
        self.tracing.turn(&self.vms);
        let vms = self.vms.clone();
        self.begin(reason, start, &vms)
    }

    /// What waits at this moment; more may come meanwhile.
    fn drain_all(&mut self) -> Result<()> {
        loop {
            let more = self.tracing.drain(&mut self.file, u64::MAX)?;
            self.state.events += more;
            if more < AT_ONCE as u64 {
                return Ok(());
            }
        }
    }

    /// Begins a recording, and closes the one before it.
    fn begin(&mut self, reason: &str, start: (Counters, Bill), vms: &[Vm]) -> Result<()> {
        let (header, notes) = self.tracing.header(vms, clocks()?);
        let path = self.folder.next();
        let next = OpenRecording::create(path.clone(), &header, notes, start)?;
        self.named = header.devices;
        let mut last = std::mem::replace(&mut self.file, next);
        if let Some(closed) = last.close(reason)? {
            self.keep(&closed);
        }
        self.state.kept = if self.folder.is_own() { 0 } else { self.folder.tidy(Some(&path)) };
        Ok(())
    }

    fn keep(&mut self, closed: &ClosedRecording) {
        self.state.recordings += 1;
        self.state.recorded_bytes += closed.bytes;
        if !self.analyst.hand(closed.path.clone()) {
            self.state.skipped += 1;
        }
    }

    /// Follows the frames that are on their way, detaches, and closes the recording.
    async fn stop(mut self, ended: Result<String>) -> Stopped {
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
        if let Some(closed) = self.file.close(reason)? {
            self.state.recordings += 1;
            self.state.recorded_bytes += closed.bytes;
        }
        self.state.kept = if self.folder.is_own() { 0 } else { self.folder.tidy(None) };
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
