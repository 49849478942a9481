//! Takes the kernel out of its compressed image, once: an emulated processor needs up to 4 s for that at every
//! boot. QEMU starts the bare kernel by its PVH entry, which Debian's have since 5.10 and before.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, bail, ensure};

use crate::shell::command;

/// The compressed kernel in an image, and how large it is unpacked. See "The Linux/x86 Boot Protocol".
fn payload(image: &[u8]) -> Option<(&[u8], u32)> {
    let number = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
    (image.get(0x202..0x206)? == b"HdrS").then_some(())?;
    let setup = (usize::from(*image.get(0x1f1)?) + 1) * 512;
    let start = setup + usize::try_from(number(0x248)?).ok()?;
    let end = start + usize::try_from(number(0x24c)?).ok()?;
    // The size is behind the compressed bytes.
    Some((image.get(start..end - 4)?, number(end - 4)?))
}

/// The program that decompresses it.
fn program(payload: &[u8]) -> Option<&'static str> {
    match payload {
        [0xfd, b'7', b'z', ..] => Some("xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0x1f, 0x8b, ..] => Some("gzip"),
        _ => None,
    }
}

/// Unpacks the kernel in the file `image` to `unpacked`.
pub fn unpack(image: &Path, unpacked: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(image).with_context(|| format!("failed to read {}", image.display()))?;
    let (payload, size) = payload(&bytes).context("the image has no compressed kernel")?;
    let program = program(payload).context("the kernel is compressed in a way that is not known here")?;
    let packed = unpacked.with_extension("packed");
    fs::write(&packed, payload).with_context(|| format!("failed to write {}", packed.display()))?;
    let from = File::open(&packed).context("failed to open the compressed kernel")?;
    let to = File::create(unpacked).with_context(|| format!("failed to make {}", unpacked.display()))?;
    let status = command(&[program, "-d", "-c"]).stdin(from).stdout(to).stderr(Stdio::inherit()).status();
    let status = status.with_context(|| format!("failed to run {program}"))?;
    fs::remove_file(&packed).context("failed to remove the compressed kernel")?;
    if !status.success() {
        bail!("{program} failed to decompress the kernel ({status})");
    }
    let found = fs::metadata(unpacked).map_or(0, |file| file.len());
    ensure!(found == u64::from(size), "the kernel has {found} bytes and not {size}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_found_by_the_header() {
        let mut image = vec![0; 4096];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&100_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&14_u32.to_le_bytes());
        image[1124..1134].copy_from_slice(b"\xfd7zXZ.....");
        image[1134..1138].copy_from_slice(&77_u32.to_le_bytes());
        assert_eq!(payload(&image), Some((&b"\xfd7zXZ....."[..], 77)));
        assert_eq!(program(b"\xfd7zXZ....."), Some("xz"));
        assert_eq!(payload(&image[..1137]), None);
        assert_eq!(payload(b"MZ"), None);
    }
}
