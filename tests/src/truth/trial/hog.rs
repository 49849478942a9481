//! A program of a higher priority keeps the processor to which the VMM's thread is bound, from before a question comes
//! until after it has waited. Before a plain question the program runs for a moment too.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    hint::spin_loop,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, sleep},
    time::Duration,
};

use super::alternate;
use crate::truth::{
    asker::Asker,
    block::Block,
    now_ns,
    scene::Scene,
    threads::{ASKER, HOG, placed},
    toy::PORT,
};

/// However its master ends, the processor is given back.
const AT_MOST_NS: u64 = 500_000_000;

/// What the hog and its master tell each other; zero is nothing.
#[derive(Default)]
struct Hog {
    began_ns: AtomicU64,
    until_ns: AtomicU64,
    ended_ns: AtomicU64,
}

impl Hog {
    /// Sleeps until it is told to keep the processor; ends with whoever tells it.
    fn run(&self, orders: &Receiver<()>) {
        while orders.recv().is_ok() {
            let began_ns = now_ns();
            self.began_ns.store(began_ns, Ordering::Release);
            loop {
                let (now_ns, until_ns) = (now_ns(), self.until_ns.load(Ordering::Acquire));
                if (until_ns != 0 && now_ns >= until_ns) || now_ns > began_ns + AT_MOST_NS {
                    self.ended_ns.store(now_ns, Ordering::Release);
                    break;
                }
            }
        }
    }

    fn reset(&self) {
        for time in [&self.began_ns, &self.until_ns, &self.ended_ns] {
            time.store(0, Ordering::Release);
        }
    }
}

fn wait_for(time: &AtomicU64) -> u64 {
    loop {
        match time.load(Ordering::Acquire) {
            0 => spin_loop(),
            time_ns => return time_ns,
        }
    }
}

pub(super) fn blocks(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    let hog = Hog::default();
    let (order, orders) = channel();
    let mut asker = Asker::new(scene);
    let hog = &hog;
    let ask = move |delayed: bool| {
        sleep(scene.pause);
        hog.reset();
        order.send(()).unwrap();
        let began_ns = wait_for(&hog.began_ns);
        if !delayed {
            hog.until_ns.store(began_ns, Ordering::Release);
            wait_for(&hog.ended_ns);
            asker.ask(PORT);
            return 0.0;
        }
        let since_ns = asker.ask_and(PORT, |since_ns| {
            hog.until_ns.store(since_ns + delay.as_nanos() as u64, Ordering::Release);
            since_ns
        });
        (wait_for(&hog.ended_ns) - since_ns) as f64
    };
    thread::scope(|scope| {
        scope.spawn(move || placed(scene.cpus.vmm, HOG, move || hog.run(&orders)));
        placed(scene.cpus.others, ASKER, || alternate(questions, 1, ask))
    })
}
