//! What a device itself has counted, for figures of vmhop to be held against.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    ops::Sub,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::host::run;

/// How long nothing must pass for a network to be quiet, and how long that is waited for. An address that was not
/// heard of for a while is asked for again within seconds.
const QUIET: Duration = Duration::from_millis(1200);
const PATIENCE: Duration = Duration::from_secs(60);

/// Frames and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// How many.
    pub frames: u64,
    /// Their bytes, Ethernet header included.
    pub bytes: u64,
}

/// Frames both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received.
    pub rx: Frames,
    /// Sent.
    pub tx: Frames,
}

impl Frames {
    /// Counts more.
    pub fn add(&mut self, frames: u64, bytes: u64) {
        self.frames += frames;
        self.bytes += bytes;
    }
}

impl Counters {
    /// With so many more bytes of each frame.
    pub fn with(mut self, trailer: u64) -> Counters {
        self.rx.bytes += trailer * self.rx.frames;
        self.tx.bytes += trailer * self.tx.frames;
        self
    }
}

impl Sub for Counters {
    type Output = Counters;

    fn sub(self, earlier: Counters) -> Counters {
        let less = |now: Frames, then: Frames| Frames {
            frames: now.frames - then.frames,
            bytes: now.bytes - then.bytes,
        };
        Counters { rx: less(self.rx, earlier.rx), tx: less(self.tx, earlier.tx) }
    }
}

/// A device in a named network namespace.
#[derive(Clone, Debug)]
pub struct Port {
    /// The namespace.
    pub netns: String,
    /// The device.
    pub device: String,
}

/// A moment at which nothing passed: its time by `CLOCK_MONOTONIC`, ns, and what was counted until then.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// When.
    pub time_ns: u64,
    /// What the device had counted.
    pub counters: Counters,
}

impl Port {
    /// What the device has counted.
    pub fn counters(&self) -> Counters {
        let shown = run(&format!("ip -n {} -s -j link show dev {}", self.netns, self.device));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let frames = |way: &str| {
            let number = |what: &str| shown[0]["stats64"][way][what].as_u64().unwrap();
            Frames { frames: number("packets"), bytes: number("bytes") }
        };
        Counters { rx: frames("rx"), tx: frames("tx") }
    }

    /// Waits until nothing passes any more, so that no frame is on one side of the moment for the device and on the
    /// other for whoever watches.
    pub fn when_quiet(&self) -> Moment {
        let end = Instant::now() + PATIENCE;
        let mut before = self.counters();
        loop {
            sleep(QUIET);
            let time_ns = now_ns();
            let counters = self.counters();
            if counters == before {
                return Moment { time_ns, counters };
            }
            assert!(Instant::now() < end, "{self:?} is never quiet: {counters:?}");
            before = counters;
        }
    }
}

/// `CLOCK_MONOTONIC`, by which events are stamped, ns.
fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
