//! One measurement for `cargo xtask bench correlate`, in a process of its own, so that its peak memory is that of this
//! measurement alone. Prints a line of JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{hint::black_box, io::Seek as _, time::Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use procfs::process::{ClearRefs, Process, Status};
use serde_json::json;
use tests::{
    header::header,
    stream::{MACHINE, OPTIONS, Stream, VMS},
    world,
};
use tracer::{
    analysis::{Analysis, EachExchange, Unobserved},
    correlate::{Limits, exchange::Exchange},
    record::{Item, RecordReader, RecordWriter},
    recording::Header,
};
use tracer_common::{event::ABI_VERSION, hop::Hop};

/// Measures one thing.
#[derive(Parser)]
struct Args {
    /// What to run
    what: What,
    /// Events
    #[arg(long)]
    events: u64,
    /// Frames that the limits allow for [default: as `vmhop report`]
    #[arg(long)]
    frames: Option<usize>,
    /// Run on this CPU only
    #[arg(long)]
    cpu: Option<usize>,
}

/// What to run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The generator alone
    Generate,
    /// The correlator: events to passages
    Correlate,
    /// All that `vmhop report` does with events: passages, exchanges, the books
    Analyse,
    /// Reading events from a recording
    Read,
}

/// What came of it.
#[derive(Default)]
struct Counts {
    passages: u64,
    exchanges: u64,
    evicted: u64,
    late: u64,
}

/// A moment, on the clock and in CPU time of this process.
struct Moment(Instant, u64);

impl Moment {
    fn now() -> Result<Moment> {
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
        Ok(Moment(Instant::now(), cpu.tv_sec() as u64 * 1_000_000_000 + cpu.tv_nsec() as u64))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(cpu) = args.cpu {
        pin(cpu)?;
    }
    let limits = args.frames.map_or_else(Limits::default, Limits::of_frames);
    let (mut stream, mut recording) = (Stream::new(), None);
    if args.what == What::Read {
        recording = Some(record(&mut stream, args.events)?);
    }
    let base_kib = forget_peak()?;
    let Moment(started, cpu_ns) = Moment::now()?;
    let counts = match args.what {
        What::Generate => generate(stream, args.events),
        What::Correlate => correlate(stream, args.events, limits),
        What::Analyse => analyse(stream, args.events, limits),
        What::Read => read(recording, args.events)?,
    };
    let Moment(_, until_ns) = Moment::now()?;
    let row = json!({
        "wall_ns": started.elapsed().as_nanos() as u64,
        "cpu_ns": until_ns - cpu_ns,
        "base_kib": base_kib,
        "peak_kib": status(|status| status.vmhwm)?,
        "passages": counts.passages,
        "exchanges": counts.exchanges,
        "evicted": counts.evicted,
        "late": counts.late,
    });
    println!("{row}");
    Ok(())
}

fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu).with_context(|| format!("there is no CPU {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("failed to run on CPU {cpu} only"))
}

/// Gives back what making the generator took, and has the peak of memory begin anew; gives the memory in use, KiB.
fn forget_peak() -> Result<u64> {
    // SAFETY: malloc_trim only gives free memory back to the kernel.
    unsafe { libc::malloc_trim(0) };
    Process::myself()?.clear_refs(ClearRefs::PeakRSS)?;
    status(|status| status.vmrss)
}

fn status(value: impl Fn(Status) -> Option<u64>) -> Result<u64> {
    value(Process::myself()?.status()?).context("the kernel does not say how much memory this process has")
}

fn generate(stream: Stream, events: u64) -> Counts {
    for event in stream.take(events as usize) {
        black_box(event);
    }
    Counts::default()
}

fn correlate(stream: Stream, events: u64, limits: Limits) -> Counts {
    let mut correlator = world::correlator(VMS, MACHINE, limits, OPTIONS);
    let mut passages = 0;
    for event in stream.take(events as usize) {
        correlator.push(event);
        while let Some(passage) = correlator.poll() {
            correlator.take_back(black_box(passage));
            passages += 1;
        }
    }
    correlator.finish();
    passages += std::iter::from_fn(|| correlator.poll()).count() as u64;
    Counts { passages, exchanges: 0, evicted: correlator.evicted, late: correlator.late() }
}

fn analyse(stream: Stream, events: u64, limits: Limits) -> Counts {
    let mut analysis = Analysis::new(&recording_header(), ABI_VERSION, limits);
    for event in stream.take(events as usize) {
        analysis.push(
            Item::Event(event),
            &mut EachExchange(|exchange: &Exchange| {
                black_box(exchange);
            }),
        );
    }
    let report = analysis.finish(true, &mut Unobserved);
    Counts {
        passages: report.passages.count,
        exchanges: report.exchanges.count,
        evicted: report.losses.evicted,
        late: report.losses.late,
    }
}

fn recording_header() -> Header {
    header(world::topology(VMS, MACHINE), "tp_btf:netif_receive_skb", Hop::ALL)
}

/// A recording of so many events, in a file without a name.
fn record(stream: &mut Stream, events: u64) -> Result<std::fs::File> {
    let mut file = tempfile::tempfile()?;
    let mut writer = RecordWriter::create(&mut file, &recording_header())?;
    for event in stream.take(events as usize) {
        writer.event(&event)?;
    }
    writer.finish()?;
    drop(writer);
    file.rewind()?;
    Ok(file)
}

fn read(recording: Option<std::fs::File>, events: u64) -> Result<Counts> {
    let mut read = 0;
    for item in RecordReader::from_read(recording.context("nothing was recorded")?)? {
        if let Item::Event(event) = item? {
            black_box(event);
            read += 1;
        }
    }
    if read != events {
        bail!("read {read} events of {events}");
    }
    Ok(Counts::default())
}
