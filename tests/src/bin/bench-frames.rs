//! For `cargo xtask bench overhead`: writes frames into a tap that it holds, as a VMM does, so that vmhop takes it for one.
//! `bench-frames TAP`, in the network namespace where the tap is to be. Standard input tells it what to do, a line each:
//!
//! | line | answer, when it is done |
//! | --- | --- |
//! | `run COUNT`: write so many frames as fast as it can | `ran COUNT NS CPU_NS` |
//! | `flood MS`: as many as it can in so long | the same |
//! | `pace RATE MS`: so many a second for so long, every millisecond some | the same |
//!
//! NS is the time that it took, CPU_NS how long it had the CPU meanwhile. It prints `ready` before. No two of its frames are alike.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{
    fs::File,
    io::{self, BufRead as _, Write as _},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nix::time::{ClockId, clock_gettime};
use tests::{host::open_tun, numbered::Numbered};

/// The clock is read again after so many frames: seldom enough to cost nothing.
const BETWEEN_LOOKS: u64 = 256;
/// How often a pace is caught up with.
const BEAT: Duration = Duration::from_millis(1);

/// Writes frames into a tap.
#[derive(Parser)]
struct Args {
    /// The tap, made if it is not there
    tap: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut writer = Writer { tap: File::from(open_tun(&args.tap, libc::IFF_TAP)), frames: Numbered::new() };
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (started, had_ns) = (Instant::now(), cpu_ns()?);
        let count = writer.obey(&line)?;
        println!("ran {count} {} {}", started.elapsed().as_nanos(), cpu_ns()? - had_ns);
    }
    Ok(())
}

/// CPU time of this process, ns.
fn cpu_ns() -> Result<u64> {
    let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(cpu.tv_sec() as u64 * 1_000_000_000 + cpu.tv_nsec() as u64)
}

struct Writer {
    tap: File,
    frames: Numbered,
}

impl Writer {
    /// Gives how many frames were written.
    fn obey(&mut self, line: &str) -> Result<u64> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().with_context(|| format!("`{word}` is no number"));
        match words[..] {
            ["run", count] => self.write(number(count)?),
            ["flood", ms] => self.flood(Duration::from_millis(number(ms)?)),
            ["pace", rate, ms] => self.pace(number(rate)?, Duration::from_millis(number(ms)?)),
            _ => bail!("no such order: {line}"),
        }
    }

    fn write(&mut self, count: u64) -> Result<u64> {
        for _ in 0..count {
            let frame = self.frames.next_frame();
            let written = self.tap.write(frame).context("failed to write a frame into the tap")?;
            if written != frame.len() {
                bail!("the tap took {written} bytes of a frame");
            }
        }
        Ok(count)
    }

    fn flood(&mut self, time: Duration) -> Result<u64> {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < time {
            count += self.write(BETWEEN_LOOKS)?;
        }
        Ok(count)
    }

    fn pace(&mut self, rate: u64, time: Duration) -> Result<u64> {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < time {
            let due = (started.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
            count += self.write(due.saturating_sub(count))?;
            sleep(BEAT);
        }
        Ok(count)
    }
}
