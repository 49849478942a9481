//! One change to a lab at a time: a lock on its state folder, which goes away with the process that holds it.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

use super::layout::Lab;

/// Makes the state folder of `lab` if there is none, and locks it.
pub(crate) fn take(lab: &Lab) -> anyhow::Result<Flock<File>> {
    let dir = lab.dir();
    // Another process may remove the folder between its making and its locking; then it is made again.
    for _ in 0..10 {
        fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let Ok(folder) = File::open(&dir) else { continue };
        let lock = match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::Error::EWOULDBLOCK)) => break,
            Err((_, error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", dir.display()));
            }
        };
        let locked = lock.metadata()?.ino();
        if fs::metadata(&dir).is_ok_and(|now| now.ino() == locked) {
            return Ok(lock);
        }
    }
    bail!("another process is just changing lab {}: wait for it to end", lab.name())
}
