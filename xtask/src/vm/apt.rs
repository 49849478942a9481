//! apt with lists and sources of its own: it looks into suites that this machine does not install from, at the
//! mirrors that this machine uses, and leaves the machine's own state alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::shell::{Log, command, output};

/// One of Debian's two archives, which have mirrors of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// Releases and backports
    Main,
    /// Security updates
    Security,
}

/// A part of an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// The archive that has it.
    pub archive: Archive,
    /// Its name.
    pub name: &'static str,
}

/// What Debian signs its suites with; brought by package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt on one suite.
pub struct Apt<'a> {
    folder: PathBuf,
    log: &'a Log,
}

impl<'a> Apt<'a> {
    /// Fetches the lists of a suite into `folder`.
    pub fn update(suite: &Suite, folder: &Path, log: &'a Log) -> anyhow::Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("failed to make {}", part.display()))?;
        }
        let targets = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Identifier: Packages"];
        let targets = output(&mut command(&targets)).unwrap_or_default();
        let mirror = mirror(&targets, suite.archive).with_context(|| {
            format!(
                "apt of this machine names no mirror of Debian's {:?} archive in its sources",
                suite.archive
            )
        })?;
        let source = folder.join("sources.list");
        fs::write(&source, source_line(mirror, suite.name, Path::new(KEYRING).is_file()))
            .with_context(|| format!("failed to write {}", source.display()))?;
        let apt = Self { folder: folder.to_path_buf(), log };
        // Or a suite that cannot be fetched would only be a warning.
        let update = ["update", "-o", "APT::Update::Error-Mode=any"];
        let updated = log.run(&mut apt.command("apt-get", &update));
        updated.with_context(|| {
            let suite = suite.name;
            format!(
                "failed to fetch the lists of {suite} (for a missing key: a newer debian-archive-keyring)"
            )
        })?;
        Ok(apt)
    }

    /// The names of all packages that start with `prefix`.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let names = output(&mut self.command("apt-cache", &["pkgnames", prefix])).unwrap_or_default();
        names.lines().map(str::to_owned).collect()
    }

    /// The packages that this one depends on.
    pub fn depends(&self, package: &str) -> Vec<String> {
        let depends = output(&mut self.command("apt-cache", &["depends", package])).unwrap_or_default();
        let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        names.map(str::to_owned).collect()
    }

    /// The package and all that it depends on, directly or not.
    pub fn closure(&self, package: &str) -> Vec<String> {
        let words = [
            "depends",
            "--recurse",
            "--no-recommends",
            "--no-suggests",
            "--no-conflicts",
            "--no-breaks",
            "--no-replaces",
            "--no-enhances",
            package,
        ];
        let listed = output(&mut self.command("apt-cache", &words)).unwrap_or_default();
        // Indented are the dependencies of each, in angle brackets those that others provide.
        let own = listed.lines().filter(|line| !line.starts_with([' ', '<']));
        own.map(str::to_owned).collect()
    }

    /// Downloads packages into a folder, where apt checks them against the signed lists, and unpacks them over each
    /// other below `root`. Gives the names of their files.
    pub fn unpack(&self, packages: &[&str], into: &Path, root: &Path) -> anyhow::Result<Vec<String>> {
        fs::create_dir_all(into).with_context(|| format!("failed to make {}", into.display()))?;
        let mut download = self.command("apt-get", &["download"]);
        self.log.run(download.args(packages).current_dir(into))?;
        let archives = fs::read_dir(into).with_context(|| format!("failed to list {}", into.display()))?;
        let mut names = Vec::new();
        for archive in archives.flatten() {
            self.log.run(command(&["dpkg", "-x"]).arg(archive.path()).arg(root))?;
            names.push(archive.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = command(&[program]);
        let folder = self.folder.display();
        for option in [
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            // The folder may be one that apt's own user cannot reach.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.args(words);
        command
    }
}

/// The mirror of an archive in a list of `URI LABEL`; the label is not known before the machine's own lists
/// have been fetched, then the end of the URI tells.
fn mirror(targets: &str, archive: Archive) -> Option<&str> {
    let (label, end) = match archive {
        Archive::Main => ("Debian", "/debian"),
        Archive::Security => ("Debian-Security", "/debian-security"),
    };
    let entries = || targets.lines().filter_map(|line| line.split_once(' '));
    let labelled = entries().find(|(_, found)| *found == label);
    let ending = || entries().find(|(uri, _)| uri.trim_end_matches('/').ends_with(end));
    labelled.or_else(ending).map(|(uri, _)| uri)
}

fn source_line(mirror: &str, suite: &str, keyring: bool) -> String {
    let signed = if keyring { format!(" signed-by={KEYRING}") } else { String::new() };
    format!("deb [arch=amd64{signed}] {mirror} {suite} main\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_known_by_label_or_by_the_end_of_the_uri() {
        let listed = "http://a.example/d/ Debian\nhttp://b.example/s/ Debian-Security\n";
        assert_eq!(mirror(listed, Archive::Main), Some("http://a.example/d/"));
        assert_eq!(mirror(listed, Archive::Security), Some("http://b.example/s/"));
        let fresh = "http://a.example/debian-security/ $(LABEL)\nhttp://a.example/debian/ $(LABEL)\n";
        assert_eq!(mirror(fresh, Archive::Main), Some("http://a.example/debian/"));
        assert_eq!(mirror(fresh, Archive::Security), Some("http://a.example/debian-security/"));
        assert_eq!(mirror("http://a.example/other/ Other\n", Archive::Main), None);
    }

    #[test]
    fn a_source_names_the_keyring_where_there_is_one() {
        let line = source_line("http://a.example/debian/", "sid", true);
        assert_eq!(line, format!("deb [arch=amd64 signed-by={KEYRING}] http://a.example/debian/ sid main\n"));
        assert_eq!(source_line("http://a/", "sid", false), "deb [arch=amd64] http://a/ sid main\n");
    }
}
