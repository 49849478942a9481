//! A terminal that tests can look at and type on: a tmux server of its own, gone with the test.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::host::unique;

/// How long something may take to show: the programs are attached first.
const PATIENCE: Duration = Duration::from_secs(30);

/// The terminal.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// One of this size, on which a shell runs a script, then waits.
    pub fn new(width: u16, height: u16, script: &str) -> Terminal {
        let terminal = Terminal { socket: unique("tmux") };
        let (width, height) = (width.to_string(), height.to_string());
        // What the script leaves on the screen is still to be seen when it has ended.
        let script = format!("{script}; exec sleep 1000");
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &script]);
        terminal
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows something; what it shows then.
    pub fn shows(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "never: {what}; the screen is\n{screen}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the screen shows these words.
    pub fn reads(&self, words: &str) -> String {
        self.shows(words, |screen| screen.contains(words))
    }

    /// Types keys, by tmux' names.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Gives it another size.
    pub fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// Whether a program has the other screen, as editors and views do.
    pub fn is_taken(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(words).env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let output = command.output().unwrap();
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server of this socket alone; with it goes what runs there.
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}
