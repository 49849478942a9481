//! `fuzz-seeds FOLDER`: writes every fuzz target's corpus into a folder of its name, for cargo-fuzz to start from.
#![expect(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{env, fs, path::PathBuf};

use tests::fuzz::TARGETS;

fn main() {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap());
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in target.corpus().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
        }
    }
}
