//! The machine as the steps see it: its distribution, what they may do on it, and apt.

use std::{
    cell::Cell,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::bail;

use crate::shell::{Log, command, output, workspace};

/// Package lists older than this name versions that the archive no longer has.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The distributions whose package names we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Debian and what is made from it
    Debian,
    Fedora,
    Arch,
    Suse,
    Other,
}

impl Distribution {
    /// From the text of /etc/os-release.
    fn parse(os_release: &str) -> Self {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let names = format!("{} {}", value("ID"), value("ID_LIKE"));
        let known = names.split_whitespace().find_map(|name| match name {
            "debian" => Some(Self::Debian),
            "fedora" | "rhel" => Some(Self::Fedora),
            "arch" => Some(Self::Arch),
            "suse" | "opensuse" | "opensuse-tumbleweed" => Some(Self::Suse),
            _ => None,
        });
        known.unwrap_or(Self::Other)
    }

    /// The command that installs packages.
    pub fn install_command(self) -> Option<&'static str> {
        match self {
            Self::Debian => Some("apt-get install --no-install-recommends"),
            Self::Fedora => Some("dnf install"),
            Self::Arch => Some("pacman -S"),
            Self::Suse => Some("zypper install"),
            Self::Other => None,
        }
    }
}

/// The machine.
pub struct System {
    pub distribution: Distribution,
    pub check_only: bool,
    pub log: Log,
    lists_fresh: Cell<bool>,
}

impl System {
    pub fn look(check_only: bool, log: Log) -> Self {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let distribution = Distribution::parse(&os_release);
        Self { distribution, check_only, log, lists_fresh: Cell::new(false) }
    }

    /// Whether steps may install packages here: where apt is, as root or by sudo.
    pub fn may_install(&self) -> bool {
        !self.check_only && self.distribution == Distribution::Debian && as_root().is_some()
    }

    /// Whether the archive has this package.
    pub fn apt_has(&self, package: &str) -> bool {
        self.distribution == Distribution::Debian
            && self.refresh_lists().is_ok()
            && output(&mut command(&["apt-cache", "show", "--no-all-versions", package])).is_some()
    }

    /// Installs packages, without starting their services.
    pub fn apt_install(&self, packages: &[&str]) -> anyhow::Result<()> {
        self.refresh_lists()?;
        let script = workspace().join("xtask/src/setup/install.sh");
        self.log.run(privileged(&["sh"])?.arg(script).args(packages))
    }

    /// Fetches apt's lists when there are none or old ones; at most once.
    pub fn refresh_lists(&self) -> anyhow::Result<()> {
        if self.check_only || self.lists_fresh.get() || lists_are_fresh() {
            return Ok(());
        }
        self.log.run(&mut privileged(&["apt-get", "update"])?)?;
        self.lists_fresh.set(true);
        Ok(())
    }
}

fn lists_are_fresh() -> bool {
    const LISTS: &str = "/var/lib/apt/lists";
    let is_list = |name: &str| name.contains("_Packages");
    let entries = fs::read_dir(LISTS).into_iter().flatten().flatten();
    let any = entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(is_list));
    // The files have the archive's time; the folder has the time of the last change here.
    let changed = fs::metadata(LISTS).and_then(|folder| folder.modified());
    let age = changed.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    any && age.is_none_or(|age| age < STALE)
}

/// The words to put before a command that needs root: none as root, else sudo; nothing when there is no way.
pub fn as_root() -> Option<&'static [&'static str]> {
    // SAFETY: takes nothing, cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    match (root, find("sudo")) {
        (true, _) => Some(&[]),
        (false, Some(_)) => Some(&["sudo"]),
        (false, None) => None,
    }
}

/// A command that runs as root.
pub fn privileged(words: &[&str]) -> anyhow::Result<Command> {
    let Some(before) = as_root() else { bail!("`{}` needs root, and there is no sudo", words.join(" ")) };
    Ok(command(&[before, words].concat()))
}

/// The path of a program, also in the sbin folders that an ordinary PATH leaves out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let executable = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path).chain(sbin).map(|dir| dir.join(program)).find(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_known_by_themselves_or_by_their_parents() {
        for (text, expected) in [
            ("PRETTY_NAME=\"Debian GNU/Linux\"\nID=debian\n", Distribution::Debian),
            ("ID=ubuntu\nID_LIKE=debian\n", Distribution::Debian),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Distribution::Fedora),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", Distribution::Suse),
            ("ID=manjaro\nID_LIKE=arch\n", Distribution::Arch),
            ("ID=void\n", Distribution::Other),
            ("", Distribution::Other),
        ] {
            assert_eq!(Distribution::parse(text), expected, "{text}");
        }
    }
}
