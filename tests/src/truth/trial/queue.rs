//! Frames between two ports of the bridge go through a program: nftables queues them, the program holds each for a
//! while and says that it may pass. Plain ones go through it too.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use nfq::{Queue, Verdict};

use super::{BASE, alternate};
use crate::{
    host::{inside, load_modules},
    truth::{
        asker::Asker,
        block::Block,
        scene::Scene,
        threads::{ASKER, place, placed},
        toy::PORT,
    },
};

const NUMBER: u16 = 1;

/// Towards the guest only.
const RULES: &str = "table bridge truth {
    chain forward {
        type filter hook forward priority 0;
        iifname nic0 oifname tap0 queue num 1
    }
}
";

pub(super) fn blocks(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    load_modules(&["nfnetlink_queue", "nft_queue"]);
    let queue = inside(&scene.host, || {
        let mut queue = Queue::open().unwrap();
        queue.bind(NUMBER).unwrap();
        queue
    });
    let hold_ns = Arc::new(AtomicU64::new(0));
    let (tell, told) = channel();
    let (shared, cpu) = (hold_ns.clone(), scene.cpus.others);
    // Not waited for: where a question is lost, the asker fails, and this one waits for ever.
    thread::spawn(move || {
        place(nix::unistd::gettid().as_raw(), cpu, ASKER);
        pass(queue, &shared, &tell, 2 * questions);
    });
    nft(scene, RULES);
    let mut asker = Asker::new(scene);
    let ask = move |delayed: bool| {
        sleep(scene.pause);
        let hold = if delayed { BASE + delay } else { BASE };
        hold_ns.store(hold.as_nanos() as u64, Ordering::Release);
        asker.ask(PORT);
        told.recv().unwrap()
    };
    let blocks = placed(cpu, ASKER, || alternate(questions, 1, ask));
    nft(scene, "delete table bridge truth\n");
    blocks
}

/// Lets so many frames pass; tells for how long each was held.
fn pass(mut queue: Queue, hold_ns: &AtomicU64, tell: &Sender<f64>, frames: usize) {
    for _ in 0..frames {
        let mut frame = queue.recv().unwrap();
        let came = Instant::now();
        sleep(Duration::from_nanos(hold_ns.load(Ordering::Acquire)));
        let held = came.elapsed();
        frame.set_verdict(Verdict::Accept);
        queue.verdict(frame).unwrap();
        tell.send(held.as_nanos() as f64).unwrap();
    }
}

fn nft(scene: &Scene, rules: &str) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", scene.host.display())).args(["nft", "-f", "-"]).stdin(Stdio::piped());
    let mut nft = command.spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft: {rules}");
}
