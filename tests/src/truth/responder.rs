//! `vmhop lab respond`, in a guest or at the peer.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process that ends with this.
pub(crate) struct Responder {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Responder {
    /// Runs the command, and waits until it answers.
    pub(crate) fn start(command: &mut Command) -> Responder {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("answering on"), "{line}");
        Responder { child, said }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Ends it; gives the mean time for which it has held questions, ns.
    pub(crate) fn finish(mut self) -> f64 {
        kill(Pid::from_raw(self.pid()), Signal::SIGINT).unwrap();
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        mean_ns(&text).unwrap_or_else(|| panic!("{text}"))
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Where it was finished this does nothing; what it runs in a guest ends when its connection does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The mean in `held 3, min/mean/max 1.000/1.002/1.004 ms`.
fn mean_ns(text: &str) -> Option<f64> {
    let (_, times) = text.split_once("min/mean/max ")?;
    Some(times.split('/').nth(1)?.parse::<f64>().ok()? * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_middle_one() {
        assert_eq!(mean_ns("held 3, min/mean/max 1.000/1.002/1.004 ms\n"), Some(1_002_000.0));
        assert_eq!(mean_ns("held 0"), None);
    }
}
