//! The binary under test, run as root or as an ordinary user.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

/// `nobody`: in no group that matters.
const ORDINARY: u32 = 65534;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    fn of(output: Output) -> Outcome {
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one line of standard error, behind the program's name; anything else fails the test.
    pub fn error(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no error: {self:?}"));
        assert!(!line.contains('\n'), "more than one line: {self:?}");
        line.strip_prefix("vmhop: ").unwrap_or_else(|| panic!("not vmhop's: {self:?}"))
    }
}

/// A folder to run vmhop in, with a copy of it that every user may run.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes it.
    pub fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let copy = dir.path().join("vmhop");
        // By a process of its own: were it open for writing here, a test forking at that moment would keep it
        // open, and its execution would fail (ETXTBSY).
        crate::host::run(&format!("cp {} {}", crate::lab::vmhop().unwrap().display(), copy.display()));
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        Place { dir }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// vmhop with these arguments, ready to run in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("vmhop"));
        command.args(arguments).current_dir(self.dir.path());
        command
    }

    /// Runs vmhop as this user.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments).output().unwrap())
    }

    /// Runs vmhop as an ordinary user. Needs root.
    pub fn run_as_ordinary(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments).uid(ORDINARY).gid(ORDINARY).output().unwrap())
    }

    /// Runs vmhop where it sees no process but its own, and thus no VM. Needs root.
    pub fn run_alone(&self, arguments: &[&str]) -> Outcome {
        self.run_unshared(&["--pid", "--fork", "--kill-child", "--mount-proc"], arguments)
    }

    /// Runs vmhop as the root of a user namespace of its own, as in a container.
    pub fn run_in_user_namespace(&self, arguments: &[&str]) -> Outcome {
        self.run_unshared(&["--user", "--map-root-user"], arguments)
    }

    fn run_unshared(&self, namespaces: &[&str], arguments: &[&str]) -> Outcome {
        let mut command = Command::new("unshare");
        command.args(namespaces).arg(self.path("vmhop")).args(arguments);
        Outcome::of(command.current_dir(self.dir.path()).output().unwrap())
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}
