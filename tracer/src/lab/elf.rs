//! The few facts about ELF files that the lab needs to take a program into the guest: which loader it asks
//! for, which libraries it loads, and which part of its file is needed to run it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;

/// One program header: type, offset in the file, size in the file.
struct Segment {
    kind: u32,
    offset: usize,
    size: usize,
}

fn number<const N: usize>(image: &[u8], at: usize) -> Option<[u8; N]> {
    image.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The program headers of a 64-bit little-endian ELF file; none for anything else.
fn segments(image: &[u8]) -> Option<Vec<Segment>> {
    image.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    let word = |at| number(image, at).map(u64::from_le_bytes).and_then(|n| usize::try_from(n).ok());
    let half = |at| number(image, at).map(u16::from_le_bytes).map(usize::from);
    let (start, size, count) = (word(32)?, half(54)?, half(56)?);
    let segment = |index: usize| {
        let at = index.checked_mul(size)?.checked_add(start)?;
        let kind = u32::from_le_bytes(number(image, at)?);
        Some(Segment { kind, offset: word(at.checked_add(8)?)?, size: word(at.checked_add(32)?)? })
    };
    (0..count).map(segment).collect()
}

/// The loader that a program asks for; a static one asks for none.
pub(crate) fn interpreter(image: &[u8]) -> Option<String> {
    let segment = segments(image)?.into_iter().find(|segment| segment.kind == PT_INTERP)?;
    let text = image.get(segment.offset..segment.offset.checked_add(segment.size)?)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

/// The program without what only linkers and debuggers read: sections and debug information come after the
/// last segment, and are most of a debug build.
pub(crate) fn runnable_part(mut image: Vec<u8>) -> Vec<u8> {
    let Some(segments) = segments(&image) else { return image };
    let ends = segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let end = ends.map(|segment| segment.offset.saturating_add(segment.size)).max().unwrap_or(0);
    if end < 64 || end > image.len() {
        return image;
    }
    image.truncate(end);
    image[40..48].fill(0); // e_shoff
    image[58..64].fill(0); // e_shentsize, e_shnum, e_shstrndx
    image
}

/// A program, ready for the guest.
pub(crate) struct Program {
    pub(crate) image: Vec<u8>,
    /// The loader that it asks for, and what that loads for it.
    pub(crate) libraries: Vec<PathBuf>,
}

/// The running program.
pub(crate) fn this_program() -> anyhow::Result<Program> {
    program(Path::new("/proc/self/exe"))
}

/// The program in a file of this machine.
pub(crate) fn program(path: &Path) -> anyhow::Result<Program> {
    let shown = path.display();
    let image = fs::read(path).with_context(|| format!("failed to read {shown}"))?;
    if segments(&image).is_none() {
        bail!("{shown} is no program of the guest's kind (64-bit ELF): a script needs its interpreter");
    }
    let Some(loader) = interpreter(&image) else {
        return Ok(Program { image: runnable_part(image), libraries: Vec::new() });
    };
    // What ldd does: with this variable set the loader prints what it would load, and runs nothing.
    let output = Command::new(path).env("LD_TRACE_LOADED_OBJECTS", "1").output();
    let output = output.with_context(|| format!("failed to list the libraries of {shown}"))?;
    let list = String::from_utf8_lossy(&output.stdout);
    if let Some(line) = list.lines().find(|line| line.contains("=> not found")) {
        bail!("{shown} does not run here either: {}", line.trim());
    }
    let mut libraries = vec![PathBuf::from(loader)];
    for path in loaded_libraries(&list) {
        if !libraries.contains(&path) {
            libraries.push(path);
        }
    }
    Ok(Program { image: runnable_part(image), libraries })
}

/// Paths in the loader's list, which has lines `libc.so.6 => /lib/libc.so.6 (0x0000…)`.
pub(super) fn loaded_libraries(list: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let target = line.split_once("=>").map_or(line, |(_, target)| target);
        let path = target.split_whitespace().next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    list.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_test_keeps_its_loader_when_cut_to_its_runnable_part() {
        let whole = fs::read("/proc/self/exe").unwrap();
        let Program { image: cut, libraries } = this_program().unwrap();
        assert!(cut.len() < whole.len());
        assert_eq!(interpreter(&cut), interpreter(&whole));
        assert!(libraries.iter().all(|path| path.exists()), "{libraries:?}");
    }

    #[test]
    fn the_loaders_list_gives_real_files_only() {
        let list = "\tlinux-vdso.so.1 (0x01)\n\tlibc.so.6 => /lib/libc.so.6 (0x02)\n\t/lib64/ld.so (0x03)\n";
        assert_eq!(loaded_libraries(list), ["/lib/libc.so.6", "/lib64/ld.so"].map(PathBuf::from));
    }

    #[test]
    fn a_script_is_no_program_for_the_guest() {
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), "#!/bin/sh\n").unwrap();
        let error = program(script.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.ends_with("a script needs its interpreter"), "{error}");
    }

    #[test]
    fn what_is_not_elf_is_left_alone() {
        assert_eq!(interpreter(b"#!/bin/sh"), None);
        assert_eq!(runnable_part(b"#!/bin/sh".to_vec()), b"#!/bin/sh");
        assert_eq!(interpreter(b"\x7fELF\x02\x01"), None);
    }
}
