//! Sizes as people type them.

use anyhow::{Context as _, Result, bail, ensure};

/// The units: those of 1024 under both of their names, since no power of two is meant otherwise.
const UNITS: [(&str, u64); 7] = [
    ("", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
];

/// No architecture that vmhop runs on has smaller pages.
const SMALLEST_PAGE: u64 = 4096;

/// The kernel takes no larger ring (`max_entries` is 32 bits wide).
const LARGEST_RING: u64 = 1 << 31;

/// A header and a batch or two.
const SMALLEST_FILE: u64 = 64 << 10;

/// No host has so many frames on their way at once: memory for them would be terabytes.
const LARGEST_FRAMES: u64 = 1 << 30;

/// Reads `--ring-size`.
pub(super) fn ring_bytes(typed: &str) -> Result<u32> {
    let Some(bytes) = bytes(typed) else {
        bail!("--ring-size `{typed}` is no size, such as 4MiB, 32MiB or 1GiB");
    };
    let page = page_size();
    if bytes.is_power_of_two() && (page..=LARGEST_RING).contains(&bytes) {
        return Ok(bytes as u32);
    }
    ensure!(
        bytes >= page,
        "--ring-size `{typed}` is smaller than a memory page: give {page} bytes or more, best 4MiB or more"
    );
    ensure!(bytes <= LARGEST_RING, "--ring-size `{typed}` is more than the kernel takes: give 2GiB or less");
    let above = bytes.next_power_of_two();
    bail!(
        "--ring-size `{typed}` is no power of two, as the kernel needs it: give {} or {}",
        shown(above / 2),
        shown(above)
    )
}

/// Reads `--limit-frames`.
pub(super) fn frames(typed: &str) -> Result<usize> {
    let frames = bytes(typed).filter(|frames| (1..=LARGEST_FRAMES).contains(frames));
    let frames = frames.and_then(|frames| usize::try_from(frames).ok());
    frames.with_context(|| {
        format!("--limit-frames `{typed}` is no number of frames, such as 100000, 256k or 1M")
    })
}

/// Reads `--size`, of a recording.
pub(super) fn file_bytes(typed: &str) -> Result<u64> {
    let Some(bytes) = bytes(typed) else {
        bail!("--size `{typed}` is no size, such as 64MiB or 1GiB");
    };
    ensure!(bytes >= SMALLEST_FILE, "--size `{typed}` is too small for a recording: give 64KiB or more");
    Ok(bytes)
}

/// A number and its unit; none for anything else.
fn bytes(typed: &str) -> Option<u64> {
    let typed = typed.trim().to_ascii_lowercase();
    let digits = typed.len() - typed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = typed.split_at(digits);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// A power of two in its largest unit.
fn shown(bytes: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| bytes >> shift > 0);
    unit.map_or_else(|| bytes.to_string(), |(name, shift)| format!("{}{name}", bytes >> shift))
}

/// The kernel's page: the ring must be a multiple of it, which a power of two is from the page's size on.
fn page_size() -> u64 {
    procfs::page_size().max(SMALLEST_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_a_power_of_two() {
        for (typed, bytes) in
            [("32MiB", 1 << 25), ("4m", 1 << 22), ("65536", 1 << 16), ("1 GiB", 1 << 30), ("2g", 1 << 31)]
        {
            assert_eq!(ring_bytes(typed).unwrap(), bytes, "{typed}");
        }
    }

    #[test]
    fn frames_are_a_number() {
        for (typed, number) in [("1", 1), ("100000", 100_000), ("256k", 1 << 18), ("1M", 1 << 20)] {
            assert_eq!(frames(typed).unwrap(), number, "{typed}");
        }
        for typed in ["0", "", "many", "-1", "1.5k", "2GiB"] {
            let error = frames(typed).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--limit-frames `{typed}` is no number")), "{error}");
        }
    }

    #[test]
    fn a_wrong_ring_is_answered_with_a_right_one() {
        for (typed, part) in [
            ("33MiB", "give 32MiB or 64MiB"),
            ("100000", "give 64KiB or 128KiB"),
            ("1", "smaller than a memory page"),
            ("0", "smaller than a memory page"),
            ("4GiB", "2GiB or less"),
            ("99999999999999999999", "is no size"),
            ("99999999999GiB", "is no size"),
            ("MiB", "is no size"),
            ("32MB", "is no size"),
            ("-1", "is no size"),
            ("", "is no size"),
        ] {
            let error = ring_bytes(typed).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--ring-size `{typed}`")) && error.contains(part), "{error}");
        }
    }
}
