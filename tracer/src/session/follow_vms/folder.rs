//! Where the recordings of a watch are: their names, and which are deleted. A file is a watch's by its name, which nothing
//! else of vmhop's has, and only in the folder that was given for recordings: nothing else is ever deleted.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::mkdtemp,
};

const PREFIX: &str = "watch-";
const SUFFIX: &str = ".vmhop";
/// Digits of the number behind the time.
const DIGITS: usize = 6;

/// The folder. While it lives no other watch writes there.
pub(super) struct Folder {
    path: PathBuf,
    keep: usize,
    /// Time of the watch, and the number of its next recording.
    next: (String, u64),
    _lock: Flock<File>,
    /// Whether the folder itself is the watch's.
    own: bool,
}

impl Folder {
    /// Takes a folder for recordings, of which `keep` are kept.
    ///
    /// # Errors
    /// It cannot be read, or another watch writes there.
    pub(super) fn take(path: &Path, keep: usize) -> Result<Folder> {
        Folder::at(path.to_path_buf(), keep, false)
    }

    /// Makes a folder that goes away with the watch, for recordings that nobody wants to keep.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn make() -> Result<Folder> {
        let template = std::env::temp_dir().join("vmhop-watch-XXXXXX");
        // Of a name that nobody has, and nobody else may look into it.
        let path = mkdtemp(&template).with_context(|| {
            format!("failed to make a folder like {}: give one with -o", template.display())
        })?;
        Folder::at(path, 0, true)
    }

    fn at(path: PathBuf, keep: usize, own: bool) -> Result<Folder> {
        let shown = path.display();
        let folder = File::open(&path).with_context(|| format!("failed to open the folder {shown}"))?;
        let lock = match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => {
                bail!("another vmhop watch records to {shown}: name another folder with -o")
            }
            Err((_, error)) => {
                return Err(anyhow!(error).context(format!("failed to lock the folder {shown}")));
            }
        };
        Ok(Folder { path, keep, next: (stamp(SystemTime::now()), 0), _lock: lock, own })
    }

    /// Whether nothing is kept.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// The name of the next recording.
    pub(super) fn next(&mut self) -> PathBuf {
        let (stamp, number) = &mut self.next;
        *number += 1;
        self.path.join(format!("{PREFIX}{stamp}-{number:0DIGITS$}{SUFFIX}"))
    }

    /// Deletes the oldest recordings until there are as many as are kept; `beside` is not counted. Returns how many are
    /// left.
    pub(super) fn tidy(&self, beside: Option<&Path>) -> u64 {
        let mut own = match self.recordings() {
            Ok(own) => own,
            Err(error) => {
                log::warn!("failed to list {}: {error}", self.path.display());
                return 0;
            }
        };
        own.retain(|path| Some(path.as_path()) != beside);
        own.sort();
        let surplus = own.len().saturating_sub(self.keep);
        for path in own.drain(..surplus) {
            if let Err(error) = fs::remove_file(&path) {
                log::warn!("failed to delete {}: {error}", path.display());
            }
        }
        own.len() as u64
    }

    fn recordings(&self) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.path)?.filter_map(Result::ok);
        let own = entries.filter(|entry| {
            // A link is nobody's that a watch wrote.
            entry.file_type().is_ok_and(|kind| kind.is_file())
                && entry.file_name().to_str().is_some_and(is_own)
        });
        Ok(own.map(|entry| entry.path()).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own {
            // It is in the system's folder for what may go at any time.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Whether a file of this name is a watch's: `watch-20300102-030405-000001.vmhop`.
fn is_own(name: &str) -> bool {
    let middle = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    let Some(middle) = middle else { return false };
    let parts: Vec<&str> = middle.split('-').collect();
    let digits = |part: &str, count: std::ops::RangeInclusive<usize>| {
        count.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    matches!(parts[..], [date, time, number] if digits(date, 8..=8) && digits(time, 6..=6) && digits(number, DIGITS..=20))
}

/// `20300102-030405`. By UTC: names sort by time, also across a change of clocks.
fn stamp(now: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(now).to_string();
    text.replace('T', "-")
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '-')
        .collect::<String>()
        .replacen('-', "", 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_is_a_time_and_a_number() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_553_445);
        assert_eq!(stamp(time), "20300102-030405");
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::take(dir.path(), 1).unwrap();
        let first = folder.next();
        assert!(is_own(first.file_name().unwrap().to_str().unwrap()), "{first:?}");
        assert!(folder.next() > first);
    }

    #[test]
    fn nothing_but_the_oldest_of_its_own_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(dir.path().join(name), "x").unwrap();
        let others = [
            "watch-20200102-030405-000001.vmhop.bak",
            "watch-20200102-030405.vmhop",
            "vmhop-20200102-030405.vmhop",
            "watch-20200102-030405-000001",
            "watch-2020010x-030405-000001.vmhop",
            "notes",
        ];
        others.iter().for_each(|name| write(name));
        std::os::unix::fs::symlink("notes", dir.path().join("watch-20100102-030405-000001.vmhop")).unwrap();
        for number in 1..=5 {
            write(&format!("watch-20200102-030405-{number:06}.vmhop"));
        }
        let folder = Folder::take(dir.path(), 2).unwrap();
        let beside = dir.path().join("watch-20200102-030405-000005.vmhop");
        assert_eq!(folder.tidy(Some(&beside)), 2);
        let left = |number: u32| dir.path().join(format!("watch-20200102-030405-{number:06}.vmhop")).exists();
        assert_eq!([1, 2, 3, 4, 5].map(left), [false, false, true, true, true]);
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
        assert!(dir.path().join("watch-20100102-030405-000001.vmhop").is_symlink());
    }

    #[test]
    fn one_watch_has_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path(), 2).unwrap();
        let error = Folder::take(dir.path(), 2).map(drop).unwrap_err().to_string();
        assert!(error.contains("another vmhop watch"), "{error}");
        drop(folder);
        Folder::take(dir.path(), 2).unwrap();
    }
}
