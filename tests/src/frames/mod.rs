//! Frames for whoever reads frames: sound ones of every kind ([`sound`]), with lengths that lie ([`lying`]), stacked
//! deeper than anybody does ([`nested`]), cut anywhere ([`cuts`]) and with any field at random ([`scrambled`]).

mod build;
mod kinds;
mod wrong;

pub use self::{
    build::{ethernet, tagged},
    kinds::sound,
    wrong::{cuts, lying, nested, scrambled},
};
use crate::captures;

/// A frame, and what it is.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it is.
    pub name: String,
    /// From its Ethernet header on.
    pub bytes: Vec<u8>,
}

fn named(name: impl Into<String>, bytes: Vec<u8>) -> Named {
    Named { name: name.into(), bytes }
}

/// All frames of the captures.
pub fn captured() -> Vec<Named> {
    let pairs = captures::SCENES.iter().flat_map(|scene| ["tap0", "nic0"].map(|device| (*scene, device)));
    pairs
        .flat_map(|(scene, device)| {
            let frames = captures::frames(scene, device).into_iter().enumerate();
            frames.map(move |(number, (_, bytes))| named(format!("{scene} on {device}, {number}"), bytes))
        })
        .collect()
}

/// Everything that is made by hand and whole.
pub fn made() -> Vec<Named> {
    [sound(), lying(), nested()].concat()
}
