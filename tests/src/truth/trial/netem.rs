//! netem, the kernel's own delay line, as the qdisc of a NIC. Plain blocks pass it too.

use std::{path::Path, thread::sleep, time::Duration};

use super::{BASE, alternate, held::AT_A_TIME};
use crate::{
    host::{load_modules, run},
    truth::{asker::Asker, block::Block, scene::Scene, toy::PORT},
};

/// Of the host's, so on the way of the answer of a guest.
pub(super) fn on_nic(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    let mut asker = Asker::new(scene);
    around(&scene.host, "nic0", delay, questions, || {
        for _ in 0..AT_A_TIME {
            sleep(scene.pause);
            asker.ask(PORT);
        }
    })
}

/// Of the peer's, so on the way of its answer: outside the host.
pub(super) fn on_peer(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    let answers = scene.answer_at_peer(PORT, Duration::ZERO);
    let blocks = around(&scene.peer, "eth0", delay, questions, || {
        assert_eq!(scene.ask_by_guest(PORT, AT_A_TIME), AT_A_TIME, "answers of the peer");
    });
    answers.finish();
    blocks
}

fn around(
    netns: &Path,
    device: &str,
    delay: Duration,
    questions: usize,
    mut ask: impl FnMut() + Send,
) -> Vec<Block> {
    load_modules(&["sch_netem"]);
    let tc = |what: &str, rest: &str| {
        run(&format!("nsenter --net={} tc qdisc {what} dev {device} root {rest}", netns.display()));
    };
    let blocks = alternate(questions.div_ceil(AT_A_TIME), AT_A_TIME, |delayed| {
        let whole = if delayed { BASE + delay } else { BASE };
        tc("replace", &format!("netem delay {}us", whole.as_micros()));
        ask();
        whole.as_nanos() as f64
    });
    tc("del", "");
    blocks
}
