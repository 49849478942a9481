//! Words of the command line, for the fuzz targets of the crate `tests`.

use anyhow::Error;

use super::{duration, hooks, size};

/// `--ring-size`, `--duration`, `--hook`: why the text is none of them, each that it is not.
pub fn options(text: &str) -> Vec<Error> {
    let refused = [size::ring_bytes(text).err(), duration("--duration", text).err(), hooks::wish(text).err()];
    refused.into_iter().flatten().collect()
}
