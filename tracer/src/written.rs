//! TOML files that users write: profiles and experiments. An error names the file, the line, the key, and what was
//! expected there, on one line.

use std::ops::Range;

use anyhow::{Error, Result, anyhow};
use serde::de::DeserializeOwned;

/// The text of a file, with what an error needs to tell where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) text: &'a str,
    /// What errors call the file.
    pub(crate) shown: &'a str,
}

impl Written<'_> {
    /// Reads the file.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| self.unread(&error))
    }

    /// An error in the value of a key.
    pub(crate) fn wrong(&self, span: &Range<usize>, key: &str, error: &Error) -> Error {
        // What it quotes may have lines of its own.
        let words = format!("{error:#}").replace('\n', " ");
        anyhow!("{}, line {}: key {key}: {words}", self.shown, self.line(span.start))
    }

    /// The TOML reader's own words. It names the key only where the key itself is wrong or missing.
    fn unread(&self, error: &toml::de::Error) -> Error {
        let words = error.message().replace('\n', " ");
        let Some(span) = error.span() else { return anyhow!("{}: {words}", self.shown) };
        let number = self.line(span.start);
        let line = self.text.lines().nth(number - 1).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !words.contains(*key));
        let key = key.map_or(String::new(), |key| format!(" key {key}:"));
        anyhow!("{}, line {number}:{key} {words}", self.shown)
    }

    /// The number of the line that has this byte, from 1 on.
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
    }
}
