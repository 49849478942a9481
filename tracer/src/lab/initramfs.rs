//! The guest's root file system: a cpio archive with busybox, the kernel modules, what the guest serves, programs of
//! this machine that were asked for, and this very program, which runs the commands of `lab exec` in there.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufWriter, Cursor, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use cpio::{NewcBuilder, newc::ModeFileType};

use super::{
    elf,
    layout::{GUEST_PORTS, LARGE_FILE, Lab, SMALL_FILE},
};

/// Where the loader of glibc looks libraries up.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

const INIT: &str = include_str!("guest/init.sh");

/// One file of the archive; folders follow from the files' paths.
struct Entry {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl Entry {
    fn program(path: &str, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode: 0o755, content }
    }

    fn data(path: String, content: Vec<u8>) -> Self {
        Self { path, mode: 0o644, content }
    }
}

/// Builds the archive of `lab` in its state folder.
pub(crate) fn build(
    lab: &Lab,
    busybox: &Path,
    modules: Vec<Vec<u8>>,
    programs: &[PathBuf],
) -> anyhow::Result<()> {
    let path = lab.initramfs();
    let write_to = |file: File| {
        let mut out = BufWriter::new(file);
        write(entries(busybox, modules, programs)?, &mut out)?;
        out.flush().map_err(anyhow::Error::from)
    };
    let written = File::create(&path).map_err(anyhow::Error::from).and_then(write_to);
    written.with_context(|| format!("failed to write {}", path.display()))
}

/// Everything the guest needs, read from this machine.
fn entries(busybox: &Path, modules: Vec<Vec<u8>>, programs: &[PathBuf]) -> anyhow::Result<Vec<Entry>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let agent = elf::this_program()?;
    let mut entries = vec![
        Entry::program("init", init().into_bytes()),
        Entry::program("bin/busybox", read(busybox)?),
        Entry::program("bin/vmhop", agent.image),
        Entry::data(format!("www/{}", SMALL_FILE.0), SMALL_FILE.1.into()),
    ];
    let mut libraries: BTreeSet<PathBuf> = agent.libraries.into_iter().collect();
    for path in programs {
        let program = elf::program(path)?;
        entries.push(Entry::program(&format!("bin/{}", program_name(path)?), program.image));
        libraries.extend(program.libraries);
    }
    // At the place where the loader found it here, it finds it there, also by the list of folders that are not usual.
    libraries
        .extend(Some(PathBuf::from(LOADER_CACHE)).filter(|cache| !programs.is_empty() && cache.exists()));
    for library in libraries {
        let path = library.to_string_lossy().trim_start_matches('/').to_owned();
        entries.push(Entry::program(&path, read(&library)?));
    }
    let numbered = modules.into_iter().enumerate();
    entries.extend(numbered.map(|(index, module)| Entry::data(format!("modules/{index:02}.ko"), module)));
    Ok(entries)
}

/// What a program is called in the guest.
fn program_name(path: &Path) -> anyhow::Result<&str> {
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.with_context(|| format!("{} has no name to go by in the guest", path.display()))?;
    if ["busybox", "vmhop"].contains(&name) {
        bail!("the guest has a {name} of its own");
    }
    Ok(name)
}

/// The init script for the lab's files and ports. The addresses, which differ between guests, are on the kernel's
/// command line.
fn init() -> String {
    let ports: Vec<String> = (0..GUEST_PORTS).map(|port| port.to_string()).collect();
    INIT.replace("@LARGE_NAME@", LARGE_FILE.0)
        .replace("@LARGE_SIZE@", &LARGE_FILE.1.to_string())
        .replace("@PORTS@", &ports.join(" "))
}

/// Writes the archive; every folder comes before what is in it, as the kernel wants it.
fn write(entries: Vec<Entry>, out: &mut impl Write) -> io::Result<()> {
    let mut folders: BTreeSet<String> = ["dev", "proc", "sys", "tmp", "modules"].map(String::from).into();
    for entry in &entries {
        let parents = entry.path.match_indices('/').map(|(at, _)| entry.path[..at].to_owned());
        folders.extend(parents);
    }
    let folders = folders.into_iter().map(|path| {
        let builder = NewcBuilder::new(&path).mode(0o755).set_mode_file_type(ModeFileType::Directory);
        (builder, Cursor::new(Vec::new()))
    });
    let files = entries.into_iter().map(|entry| {
        let builder = NewcBuilder::new(&entry.path).mode(entry.mode);
        (builder.set_mode_file_type(ModeFileType::Regular), Cursor::new(entry.content))
    });
    cpio::write_cpio(folders.chain(files), out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn names_and_contents(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        loop {
            let mut reader = cpio::NewcReader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            found.push((reader.entry().name().to_owned(), reader.entry().mode(), content));
            archive = reader.finish().unwrap();
        }
    }

    #[test]
    fn folders_come_before_files_and_modes_are_kept() {
        let entries = vec![
            Entry::program("lib/x86_64-linux-gnu/libc.so.6", b"libc".to_vec()),
            Entry::data("www/hello".to_owned(), b"hi".to_vec()),
        ];
        let mut archive = Vec::new();
        write(entries, &mut archive).unwrap();
        let found = names_and_contents(&archive);
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        let folders = ["dev", "lib", "lib/x86_64-linux-gnu", "modules", "proc", "sys", "tmp", "www"];
        assert_eq!(names[..8], folders);
        assert_eq!(found[8], ("lib/x86_64-linux-gnu/libc.so.6".to_owned(), 0o100755, b"libc".to_vec()));
        assert_eq!(found[9], ("www/hello".to_owned(), 0o100644, b"hi".to_vec()));
        assert_eq!(found[0].1, 0o040755);
    }

    #[test]
    fn nothing_in_the_init_script_is_left_to_fill_in() {
        assert!(!init().contains('@'));
        assert!(init().contains("truncate -s 40000000 /www/40MB"));
    }
}
