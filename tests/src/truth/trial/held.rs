//! Whoever is asked answers late: at one port at once, at another after a sleep.

use std::{thread::sleep, time::Duration};

use super::{BASE, alternate};
use crate::truth::{
    asker::Asker,
    block::Block,
    scene::Scene,
    threads::{ASKER, placed},
    toy::{HELD_PORT, PORT},
};

/// Questions that a guest asks at a time: of the lab's, a command in it.
pub(super) const AT_A_TIME: usize = 25;

const fn port(delayed: bool) -> u16 {
    if delayed { HELD_PORT } else { PORT }
}

pub(super) fn in_guest(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    let mut asker = Asker::new(scene);
    let holding = scene.hold(delay);
    let ask = |delayed| {
        sleep(scene.pause);
        asker.ask(port(delayed));
        0.0
    };
    let blocks = placed(scene.cpus.others, ASKER, || alternate(questions, 1, ask));
    held(blocks, 0.0, holding.finish())
}

pub(super) fn at_peer(scene: &Scene, delay: Duration, questions: usize) -> Vec<Block> {
    let (at_once, late) = (scene.answer_at_peer(PORT, BASE), scene.answer_at_peer(HELD_PORT, BASE + delay));
    let blocks = alternate(questions.div_ceil(AT_A_TIME), AT_A_TIME, |delayed| {
        let answered = scene.ask_by_guest(port(delayed), AT_A_TIME);
        assert_eq!(answered, AT_A_TIME, "answers of the peer");
        0.0
    });
    held(blocks, at_once.finish(), late.finish())
}

/// For how long they were kept is known when all is over: it is a mean.
fn held(mut blocks: Vec<Block>, plain_ns: f64, delayed_ns: f64) -> Vec<Block> {
    for block in &mut blocks {
        block.kept_ns = if block.delayed { delayed_ns } else { plain_ns };
    }
    blocks
}
