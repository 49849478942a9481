//! Known delays: a layer that is delayed grows by that, and no other does.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tests::{
    host::{able, skip},
    truth::{Wish, hold_against_truth, scene::Scene, trial::Trial},
};

/// Delays, and with how many questions each.
const DELAYS: &[(Duration, usize)] =
    &[(Duration::from_micros(100), 200), (Duration::from_millis(1), 100), (Duration::from_millis(10), 50)];

/// In an emulated VM what takes a microsecond takes fifty, one time, and a hundred the next.
const IN_A_VM: &[(Duration, usize)] =
    &[(Duration::from_micros(100), 400), (Duration::from_millis(1), 400), (Duration::from_millis(10), 60)];

/// Trials that need nothing of the kernel.
const EVERYWHERE: &[Trial] = &[Trial::VmmStopped, Trial::Hog, Trial::GuestHolds, Trial::PeerHolds];

/// Two hosts at a time would delay each other.
static ALONE: Mutex<()> = Mutex::new(());

fn toy() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_toy-vmm"))
}

/// Each of the trials with each of the delays, and so many questions.
fn each(trials: &[Trial], delays: &[(Duration, usize)]) -> Vec<Wish> {
    let with = |trial: &Trial| -> Vec<Wish> {
        delays.iter().map(|(delay, questions)| (*trial, *delay, *questions)).collect()
    };
    trials.iter().flat_map(with).collect()
}

#[test]
fn a_toys_layers_grow_by_what_they_are_delayed_by() {
    if !able() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(scene) = Scene::toy(toy()) else { return skip("known delays need two processors") };
    hold_against_truth(&scene, &each(EVERYWHERE, DELAYS));
}

#[test]
fn the_layers_of_the_labs_guest_grow_by_what_they_are_delayed_by() {
    if !able() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(scene) = Scene::lab() else { return skip("known delays need two processors") };
    // Of an emulated guest what takes 100 µs is lost in the noise, but outside it.
    let wishes = [each(&[Trial::PeerHolds], &DELAYS[..1]), each(EVERYWHERE, &DELAYS[1..])].concat();
    hold_against_truth(&scene, &wishes);
}

#[test]
#[ignore = "needs netem and nfqueue: cargo xtask test networks"]
fn nic_wire_and_bridge_grow_by_what_they_are_delayed_by() {
    let scene = Scene::toy(toy()).unwrap();
    let trials = [Trial::NicDelays, Trial::WireDelays, Trial::BridgeQueues];
    hold_against_truth(&scene, &each(&trials, IN_A_VM));
}

#[test]
#[ignore = "for a kernel with kprobes: cargo xtask test networks"]
fn vmm_and_guest_grow_by_what_they_are_delayed_by() {
    let scene = Scene::toy(toy()).unwrap();
    // To stop a process, or to take its processor, takes an emulated one some 300 µs.
    hold_against_truth(&scene, &each(EVERYWHERE, &IN_A_VM[2..]));
}
