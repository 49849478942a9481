//! One run after the other: makes the lab, starts servers and captures, records while the workload runs, keeps what came of
//! it. A run that fails is kept as failed, and the others go on.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser as _;
use nix::sys::signal::Signal;

use super::{
    environment,
    process::{Process, last_line, spawn},
    progress::{Step, Summary},
    schedule::{Block, Run},
    setting::Setting,
    spec::{Workload, WorkloadKind},
    station::{Role, Station, words},
    store::{Record, Store, now},
    workload::{Commands, commands},
};
use crate::{
    cli::{Cli, Command as Vmhop},
    config::{CommandOutput, RecordConfig},
    lab,
    session::{self, End},
    topology::Vm,
};

/// How long a server gets to be there, and twice what a capture gets for the last frames.
const SETTLE: Duration = Duration::from_secs(1);
/// How long everything around a workload takes, before it has been measured.
const AROUND: Duration = Duration::from_secs(3);
/// How often a lab is made again under one network, after its guest or its peer has died.
const REVIVALS: u32 = 3;

/// An experiment that runs.
pub(super) struct Runner<'a> {
    store: &'a Store,
    interrupted: Arc<AtomicBool>,
    /// Wall time of the runs so far, by workload: how often, and altogether.
    times: BTreeMap<String, (u32, Duration)>,
    tell: &'a mut dyn FnMut(&Step<'_>),
    summary: Summary,
    /// Runs to do.
    of: usize,
    /// Runs that were done before.
    before: usize,
}

/// Why a run was not finished.
enum Trouble {
    /// The run's own: the others go on.
    Failed(String),
    /// Nothing can go on.
    Over(anyhow::Error),
    Interrupted,
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Trouble {
        Trouble::Failed(format!("{error:#}"))
    }
}

impl<'a> Runner<'a> {
    pub(super) fn new(store: &'a Store, tell: &'a mut dyn FnMut(&Step<'_>)) -> Result<Runner<'a>> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signal_hook::flag::register(signal as i32, Arc::clone(&interrupted))
                .context("failed to listen for signals")?;
        }
        Ok(Runner {
            store,
            interrupted,
            times: BTreeMap::new(),
            tell,
            summary: Summary::default(),
            of: 0,
            before: 0,
        })
    }

    /// Does all runs that are not done.
    pub(super) fn go(mut self) -> Result<Summary> {
        let blocks = &self.store.begun.blocks;
        let is_left = |run: &&Run| !self.store.is_done(run);
        self.summary.done = blocks.iter().flat_map(|block| &block.runs).filter(|run| !is_left(run)).count();
        self.of = blocks.iter().flat_map(|block| &block.runs).count() - self.summary.done;
        let expected = blocks.iter().map(|block| self.expected(block)).sum();
        (self.tell)(&Step::Begins { runs: self.of, done: self.summary.done, expected });
        self.before = self.summary.done;
        for block in blocks {
            match self.block(block) {
                Ok(()) => {}
                Err(Trouble::Interrupted) => {
                    self.summary.interrupted = true;
                    break;
                }
                Err(Trouble::Over(error)) => return Err(error),
                Err(Trouble::Failed(why)) => bail!(why),
            }
        }
        (self.tell)(&Step::Ends);
        let tried = self.summary.done - self.before + self.summary.failed;
        self.summary.left = self.of - tried;
        Ok(self.summary)
    }

    fn block(&mut self, block: &Block) -> Result<(), Trouble> {
        let left: Vec<&Run> = block.runs.iter().filter(|run| !self.store.is_done(run)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let mut setting = self.setting(block)?;
        self.store.keep_environment(block, &environment::look(&setting)).map_err(Trouble::Over)?;
        if !block.warmup.is_empty() {
            (self.tell)(&Step::WarmUp { runs: block.warmup.len() });
        }
        for run in &block.warmup {
            // What fails now will fail again where it counts, and be told of there.
            if let Err(Trouble::Interrupted) = self.warm_up(&setting, run) {
                return Err(Trouble::Interrupted);
            }
        }
        let mut revivals = 0;
        for run in left {
            self.checked_room()?;
            let failed = !self.one(&setting, run)?;
            if failed && !setting.is_whole() {
                if revivals == REVIVALS {
                    let network = block.network.map_or("", |network| network.name());
                    return Err(Trouble::Over(anyhow!(
                        "the lab of network {network} broke down {} times: see the logs in {}; what was measured is \
                         kept, go on with `vmhop experiment run --resume {}`",
                        REVIVALS + 1,
                        self.store.folder.join("runs").display(),
                        self.store.folder.display()
                    )));
                }
                revivals += 1;
                drop(setting);
                setting = self.setting(block)?;
            }
        }
        Ok(())
    }

    fn setting(&mut self, block: &Block) -> Result<Setting, Trouble> {
        if let Some(network) = block.network {
            (self.tell)(&Step::Lab { network: network.name() });
        }
        let made = Setting::make(&self.store.spec, block.network, &self.store.begun.lab);
        self.checked_interrupt()?;
        made.map_err(|error| match lab::was_interrupted(&error) {
            true => Trouble::Interrupted,
            false => self.kept(error, "see to the lab"),
        })
    }

    fn checked_interrupt(&self) -> Result<(), Trouble> {
        if self.interrupted.load(Ordering::SeqCst) { Err(Trouble::Interrupted) } else { Ok(()) }
    }

    fn checked_room(&self) -> Result<(), Trouble> {
        self.checked_interrupt()?;
        if self.store.has_room() {
            return Ok(());
        }
        let folder = self.store.folder.display();
        Err(Trouble::Over(anyhow!(
            "there is no room left for {folder}: what was measured is kept; make room, then go on with \
             `vmhop experiment run --resume {folder}`"
        )))
    }

    /// One run, and whether it was done.
    fn one(&mut self, setting: &Setting, run: &Run) -> Result<bool, Trouble> {
        let title = run.title();
        let number = self.summary.done - self.before + self.summary.failed + 1;
        let left = self.left(run);
        (self.tell)(&Step::Run { number, of: self.of, title: &title, left });
        self.rest(self.store.spec.cooldown)?;
        let (started, clock) = (now(), Instant::now());
        let outcome = self.record(setting, run);
        self.checked_interrupt()?;
        let failed = match outcome {
            Ok(()) => None,
            Err(Trouble::Failed(why)) => Some(why),
            Err(trouble) => return Err(trouble),
        };
        let ends = setting.ends(run)?;
        let record = Record {
            run: run.clone(),
            started,
            wall_ns: clock.elapsed().as_nanos() as u64,
            failed,
            command: self.client(setting, run)?,
            ends: [ends.from.0.into(), ends.to.0.into()],
        };
        self.store.keep(&record).map_err(|error| self.unwritten(error))?;
        let (count, time) = self.times.entry(run.workload.clone()).or_default();
        *count += 1;
        *time += clock.elapsed();
        match &record.failed {
            None => self.summary.done += 1,
            Some(why) => {
                self.summary.failed += 1;
                (self.tell)(&Step::Failed { title: &title, why });
            }
        }
        Ok(record.failed.is_none())
    }

    fn unwritten(&self, error: anyhow::Error) -> Trouble {
        self.kept(error, "make room")
    }

    /// Nothing can go on, until the user has done something.
    fn kept(&self, error: anyhow::Error, remedy: &str) -> Trouble {
        let folder = self.store.folder.display();
        Trouble::Over(error.context(format!(
            "what was measured before is kept: {remedy}, then go on with `vmhop experiment run --resume {folder}`"
        )))
    }

    fn workload(&self, run: &Run) -> Result<&Workload> {
        let mut all = self.store.spec.workloads.iter();
        all.find(|workload| workload.name == run.workload).context("the experiment has no such workload")
    }

    /// The client's command, as it is run here.
    fn client(&self, setting: &Setting, run: &Run) -> Result<Vec<String>> {
        let ends = setting.ends(run)?;
        let (station, words) = commands(&self.workload(run)?.kind, &ends).client;
        station.reach.command(&words)
    }

    /// Runs the workload without recording.
    fn warm_up(&self, setting: &Setting, run: &Run) -> Result<(), Trouble> {
        self.checked_interrupt()?;
        let workload = self.workload(run)?;
        let _meanwhile = self.around(setting, run, workload)?;
        let line = self.client(setting, run)?;
        let mut client = spawn(&line, &self.store.file(run, "log"))?;
        let end = Instant::now() + workload.timeout;
        while client.0.try_wait().context("failed to wait for the workload")?.is_none() {
            self.checked_interrupt()?;
            if Instant::now() > end {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Runs what goes before a workload, and starts what goes on meanwhile.
    fn around(&self, setting: &Setting, run: &Run, workload: &Workload) -> Result<Vec<Process>, Trouble> {
        if matches!(workload.kind, WorkloadKind::Iperf3 { .. }) && !setting.has_iperf3() {
            let why = "iperf3 is not installed on this machine, which brings it to the lab: install it, or take the \
                       workload out";
            return Err(Trouble::Failed(why.to_owned()));
        }
        let ends = setting.ends(run)?;
        let Commands { prepare, server, client: _ } = commands(&workload.kind, &ends);
        if let Some((station, words)) = prepare {
            let log = self.store.file(run, "prepare.log");
            let status = spawn(&station.reach.command(&words)?, &log)?.0.wait().context("failed to wait")?;
            if !status.success() {
                let what = words.join(" ");
                return Err(Trouble::Failed(format!(
                    "{what} failed on {}: see {}",
                    station.name,
                    log.display()
                )));
            }
        }
        let mut meanwhile = Vec::new();
        if let Some((station, words)) = server {
            let log = self.store.file(run, "server.log");
            meanwhile.push(spawn(&station.reach.command(&words)?, &log)?);
            self.rest(SETTLE)?;
        }
        Ok(meanwhile)
    }

    /// tcpdump, where the levels are counted.
    fn capture(&self, setting: &Setting, run: &Run, config: &RecordConfig) -> Result<Process, Trouble> {
        let ends = setting.ends(run)?;
        let device = counting_device(&[ends.from.0, ends.to.0], &config.trace.vms)?;
        let pcap = self.store.file(run, "pcap").display().to_string();
        // Without immediate mode it loses what waits for a full block when it is ended.
        let line = words(&[
            "tcpdump",
            "-i",
            &device,
            "--immediate-mode",
            "-s",
            "128",
            "-B",
            "65536",
            "-U",
            "-Z",
            "root",
        ]);
        let line = [line, words(&["-w", &pcap])].concat();
        let line = setting.on_host().command(&line)?;
        let log = self.store.file(run, "tcpdump.log");
        let process = spawn(&line, &log)?;
        let end = Instant::now() + SETTLE * 10;
        // Its file has a header as soon as it listens.
        while fs::metadata(&pcap).map_or(0, |file| file.len()) < 24 {
            if Instant::now() > end {
                let why = fs::read_to_string(&log).unwrap_or_default();
                return Err(Trouble::Failed(format!("tcpdump does not start: {}", why.trim())));
            }
            self.rest(Duration::from_millis(20))?;
        }
        Ok(process)
    }

    /// Records while the workload runs.
    fn record(&self, setting: &Setting, run: &Run) -> Result<(), Trouble> {
        let workload = self.workload(run)?;
        let config = self.config(setting, run, workload)?;
        let mut meanwhile = self.around(setting, run, workload)?;
        if self.store.begun.capture {
            meanwhile.push(self.capture(setting, run, &config)?);
        }
        let outcome = quietly(|| session::record(&config, &mut |_| {}))?;
        if self.store.begun.capture {
            self.rest(SETTLE / 2)?;
        }
        drop(meanwhile);
        match outcome.end {
            End::Interrupt => return Err(Trouble::Interrupted),
            End::Write => return Err(self.unwritten(anyhow!(outcome.reason))),
            End::Time => {
                let limit = humantime::format_duration(workload.timeout);
                return Err(Trouble::Failed(format!("the workload did not end within {limit}")));
            }
            End::Command | End::Gone => {}
        }
        if outcome.failed {
            let log = self.store.file(run, "log");
            let last = last_line(&log).map_or(String::new(), |line| format!(": {line}"));
            return Err(Trouble::Failed(format!("{}{last}", outcome.reason)));
        }
        Ok(())
    }

    fn config(&self, setting: &Setting, run: &Run, workload: &Workload) -> Result<RecordConfig> {
        let mut line = words(&["vmhop", "record", "--force", "-o"]);
        line.push(self.store.file(run, "vmhop").display().to_string());
        line.push(format!("--duration={}ms", workload.timeout.as_millis().max(1)));
        line.extend(setting.traced(run)?.into_iter().flat_map(|vm| ["--vm".to_owned(), vm]));
        line.push("--".to_owned());
        line.extend(self.client(setting, run)?);
        let parsed = Cli::try_parse_from(&line).context("failed to ask for a recording")?;
        let Vmhop::Record(args) = parsed.command else { bail!("{line:?} is no recording") };
        let mut config = RecordConfig::from_args(&args, 0)?;
        config.command_output = CommandOutput::File(self.store.file(run, "log"));
        Ok(config)
    }

    /// Sleeps, unless it is interrupted.
    fn rest(&self, time: Duration) -> Result<(), Trouble> {
        let end = Instant::now() + time;
        loop {
            self.checked_interrupt()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// About how long a block takes.
    fn expected(&self, block: &Block) -> Duration {
        let left: Vec<&Run> = block.runs.iter().filter(|run| !self.store.is_done(run)).collect();
        let warmup = if left.is_empty() { &[][..] } else { &block.warmup[..] };
        left.into_iter().chain(warmup).map(|run| self.about(run)).sum()
    }

    /// About how long a run takes: as long as those of its workload before.
    fn about(&self, run: &Run) -> Duration {
        let before = self.times.get(&run.workload).map(|(count, time)| *time / *count);
        let planned = || self.workload(run).map_or(AROUND, |workload| workload.expected() + AROUND);
        before.unwrap_or_else(planned) + self.store.spec.cooldown
    }

    /// About how long is left, from the beginning of this run on.
    fn left(&self, from: &Run) -> Duration {
        let blocks = self.store.begun.blocks.iter();
        let runs = blocks.flat_map(|block| &block.runs).skip_while(|run| *run != from);
        runs.filter(|run| !self.store.is_done(run)).map(|run| self.about(run)).sum()
    }
}

/// Does something without warnings on the terminal: a recording keeps its own, and there are many recordings.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let level = log::max_level();
    // Who asked for more, by -v, gets it.
    if level == log::LevelFilter::Warn {
        log::set_max_level(log::LevelFilter::Error);
    }
    let done = work();
    log::set_max_level(level);
    done
}

/// The device at which a path's levels are counted: the NIC where the peer is at one end, else the first guest's tap.
fn counting_device(ends: &[&Station; 2], vms: &[Vm]) -> Result<String> {
    let mut taps = vms.iter().flat_map(|vm| &vm.taps);
    let by_wire = ends.iter().any(|station| station.role == Role::Peer);
    let device =
        if by_wire { taps.find_map(|tap| tap.nics.first()) } else { taps.next().map(|tap| &tap.device) };
    Ok(device.context("no VM has a device at which frames could be captured")?.name.clone())
}
