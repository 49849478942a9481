//! Known delays: a layer that is delayed grows by that, and no other does.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, time::Duration};

use tests::{
    host::{able, skip},
    truth::{hold_against_truth, scene::Scene, trial::Trial},
};

const US_100: Duration = Duration::from_micros(100);
const MS_1: Duration = Duration::from_millis(1);
const MS_10: Duration = Duration::from_millis(10);

fn toy() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_toy-vmm"))
}

#[test]
fn a_toys_layers_grow_by_what_they_are_delayed_by() {
    if !able() {
        return;
    }
    let Some(scene) = Scene::toy(toy()) else { return skip("known delays need two processors") };
    let trials = [Trial::VmmStopped, Trial::Hog, Trial::GuestHolds, Trial::PeerHolds];
    let delays = [(US_100, 300), (MS_1, 200), (MS_10, 100)];
    let wishes: Vec<_> = trials
        .into_iter()
        .flat_map(|trial| delays.map(|(delay, questions)| (trial, delay, questions)))
        .collect();
    hold_against_truth(&scene, &wishes);
}
