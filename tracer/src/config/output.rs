//! Where a recording goes, and what must not be written over. Looks only; the file is opened by who writes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::record::{ReadError, RecordReader};

/// The file to record to: the one typed, else one named by the time.
pub(super) fn choose(typed: Option<&Path>, force: bool) -> Result<PathBuf> {
    let path = typed.map_or_else(|| default_name(SystemTime::now()), Path::to_path_buf);
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    ensure!(folder.is_dir(), "cannot record to {shown}: there is no folder {}", folder.display());
    ensure!(!path.is_dir(), "cannot record to {shown}: it is a folder; name a file in it");
    // A device or a pipe holds nothing that could be lost.
    if !force
        && path.is_file()
        && !may_replace(&path).with_context(|| format!("failed to look at {shown}"))?
    {
        bail!("{shown} exists and is no vmhop recording: name another file with -o, or add --force");
    }
    Ok(path)
}

/// Whether the file is a recording, of whichever version and state, or empty.
fn may_replace(path: &Path) -> io::Result<bool> {
    if fs::metadata(path)?.len() == 0 {
        return Ok(true);
    }
    match RecordReader::open(path) {
        Ok(_) | Err(ReadError::OtherVersion { .. } | ReadError::Corrupt { .. }) => Ok(true),
        Err(ReadError::NotARecording { .. }) => Ok(false),
        Err(ReadError::Io { source, .. }) => Err(source),
    }
}

/// `vmhop-20300102-030405.vmhop`. By UTC: names sort by time, also across a change of clocks.
fn default_name(now: SystemTime) -> PathBuf {
    // 2030-01-02T03:04:05Z
    let stamp = humantime::format_rfc3339_seconds(now).to_string();
    let stamp: String = stamp.replace('T', "-").chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
    let (date, time) = stamp.rsplit_once('-').unwrap_or((&stamp, ""));
    PathBuf::from(format!("vmhop-{}-{time}.vmhop", date.replace('-', "")))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        record::RecordWriter,
        recording::{Header, Host, Mode},
        topology::Topology,
    };

    fn a_recording() -> Vec<u8> {
        let header = Header {
            host: Host::here(),
            started_unix_ns: 1,
            started_monotonic_ns: 1,
            topology: Topology::default(),
            vms: Vec::new(),
            devices: Vec::new(),
            plan: Vec::new(),
            filter: String::new(),
            command: Vec::new(),
            drop_reasons: BTreeMap::new(),
            exit_reasons: BTreeMap::new(),
            user_hops: Vec::new(),
            sampled: None,
            mode: Mode::default(),
        };
        let mut bytes = Vec::new();
        RecordWriter::create(&mut bytes, &header).unwrap().finish().unwrap();
        bytes
    }

    #[test]
    fn a_recording_is_named_by_its_time() {
        let name = default_name(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_553_445));
        assert_eq!(name, PathBuf::from("vmhop-20300102-030405.vmhop"));
    }

    #[test]
    fn only_a_recording_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let recording = file("a", &a_recording());
        let (empty, other) = (file("b", b""), file("c", b"vmhop notes"));
        let stream = file("d", b"\xff\xff\xff\xff another schema");
        for allowed in [&recording, &empty, &dir.path().join("new"), &PathBuf::from("/dev/null")] {
            assert_eq!(&choose(Some(allowed), false).unwrap(), allowed);
        }
        for refused in [&other, &stream] {
            let error = choose(Some(refused), false).unwrap_err().to_string();
            assert!(error.contains("--force"), "{error}");
            assert_eq!(&choose(Some(refused), true).unwrap(), refused);
        }
    }

    #[test]
    fn a_folder_is_no_file_and_its_absence_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = choose(Some(dir.path()), true).unwrap_err().to_string();
        assert!(error.contains("is a folder"), "{error}");
        let error = choose(Some(&dir.path().join("no/file")), false).unwrap_err().to_string();
        assert!(error.contains("there is no folder"), "{error}");
    }
}
