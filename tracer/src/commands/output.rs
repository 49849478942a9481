//! A file to write to that is there as a whole or not at all: half of a report could be taken for a whole one, and an
//! earlier one is worth more than none.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::failure::Failure;

/// Has `write` write to a file, which takes the place of an earlier one when all is written. A device or a pipe is written
/// to as it is.
pub(super) fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let create = |file: &Path| -> Result<File, Failure> {
        let shown = path.display();
        File::create(file).with_context(|| format!("failed to create {shown}")).map_err(Failure::Usage)
    };
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return write(&mut create(path)?);
    }
    let part = part_of(path);
    let written = write(&mut create(&part)?).and_then(|()| {
        let shown = path.display();
        fs::rename(&part, path).with_context(|| format!("failed to write {shown}")).map_err(Failure::Run)
    });
    if written.is_err() {
        // That a part stays is the lesser error.
        let _ = fs::remove_file(&part);
    }
    written
}

fn part_of(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_earlier_file_stays_until_another_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report");
        fs::write(&path, "earlier").unwrap();
        let failed = to_file(&path, |out| {
            out.write_all(b"half")?;
            Err(Failure::Run(anyhow!("damaged")))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
        to_file(&path, |out| Ok(out.write_all(b"later")?)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "later");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_to_as_it_is() {
        to_file(Path::new("/dev/null"), |out| Ok(out.write_all(b"x")?)).unwrap();
        assert!(!Path::new("/dev/null.part").exists());
    }
}
