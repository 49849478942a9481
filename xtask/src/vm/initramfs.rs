//! What the VM starts from: busybox, the modules for the shares, an init script and the job.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::{self, BufWriter, Cursor, Write},
    path::Path,
};

use anyhow::Context as _;
use cpio::{NewcBuilder, newc::ModeFileType};

use super::{cache::Cached, job::Job, modules::load_order, nics::Nic};

const INIT: &str = include_str!("init.sh");

/// What must be loaded before the shares can be mounted; the rest comes from a share.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"];

/// One file of the archive.
struct Entry {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

/// Writes the archive for one run.
pub fn write(path: &Path, kernel: &Cached, nics: &[Nic], job: &Job) -> anyhow::Result<()> {
    let entries = entries(kernel, nics, job)?;
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::new(file);
        archive(entries, &mut out)?;
        out.flush()
    });
    written.with_context(|| format!("failed to write {}", path.display()))
}

fn entries(kernel: &Cached, nics: &[Nic], job: &Job) -> anyhow::Result<Vec<Entry>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let busybox = crate::setup::find("busybox").context("there is no busybox: run `cargo xtask setup`")?;
    let agent = env::current_exe().context("this program's own path is not known")?;
    let agent = agent.to_str().context("this program's own path is not UTF-8")?;
    let file = |path: &str, mode, content| Entry { path: path.to_owned(), mode, content };
    let mut entries = vec![
        file("init", 0o755, init(nics, agent).into_bytes()),
        file("bin/busybox", 0o755, read(&busybox)?),
        file("config", 0o644, read(&kernel.folder.join("config"))?),
        file("job", 0o600, serde_json::to_vec(job).context("failed to write the job")?),
    ];
    let list = String::from_utf8(read(&kernel.modules().join("modules.dep"))?)?;
    for (index, module) in load_order(&list, &MODULES).into_iter().enumerate() {
        entries.push(file(&format!("modules/{index:02}.ko"), 0o644, read(&kernel.modules().join(module))?));
    }
    Ok(entries)
}

/// The init script for these NICs and this program.
fn init(nics: &[Nic], agent: &str) -> String {
    let modules: Vec<&str> = nics.iter().map(|nic| nic.module()).collect();
    let ends = nics.iter().flat_map(|nic| [(nic, 0), (nic, 1)]);
    let names = ends.map(|(nic, end)| format!("    {}) name={} ;;", nic.mac(end), nic.interface(end)));
    let names: Vec<String> = names.collect();
    INIT.replace("@MODULES@", &modules.join(" "))
        .replace("@NAMES@", &names.join("\n"))
        .replace("@AGENT@", agent)
        .replace("@KEEP_TMP@", if is_in_tmp(agent) { "true" } else { "false" })
}

/// Whether this program, or the folder that the command starts in, is below /tmp.
fn is_in_tmp(agent: &str) -> bool {
    let here = env::current_dir().unwrap_or_default();
    Path::new(agent).starts_with("/tmp") || here.starts_with("/tmp")
}

/// Writes the archive; every folder comes before what is in it, as the kernel wants it.
fn archive(entries: Vec<Entry>, out: &mut impl Write) -> io::Result<()> {
    let mut folders: BTreeSet<String> =
        ["dev", "proc", "sys", "lower", "upper", "root"].map(String::from).into();
    for entry in &entries {
        folders.extend(entry.path.match_indices('/').map(|(at, _)| entry.path[..at].to_owned()));
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
    use super::*;

    #[test]
    fn nothing_in_the_init_script_is_left_to_fill_in() {
        let init = init(&[Nic::E1000e], "/x/xtask");
        assert!(!init.contains('@'), "{init}");
        assert!(init.contains("52:54:00:76:01:01) name=e1000e1 ;;"), "{init}");
        assert!(init.contains("exec switch_root /root \"/x/xtask\" vm agent"), "{init}");
    }
}
