//! One target a parser of what others say: bytes in, no panic, and what must hold of whatever came out. The same
//! functions run under cargo-fuzz (`cargo xtask fuzz`) and, on a bounded number of inputs, as tests (`tests/fuzz.rs`).
//!
//! A target's corpus is what its module makes as seeds, and the files of `fuzz/seeds/NAME`: inputs that once failed, and
//! such as a long run has found to be worth keeping.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod btf;
mod correlate;
mod experiment;
mod filter;
mod frame;
mod host;
mod lab;
mod mutate;
mod netlink;
mod options;
mod profile;
mod record;
mod recording;

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use tracer::failure::Failure;

use self::mutate::Mutator;

/// A parser, with what must hold of it.
pub struct Target {
    /// As `cargo xtask fuzz` knows it.
    pub name: &'static str,
    /// Panics on an input of which something does not hold.
    pub run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    /// Words that no random change would find.
    words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: frame::run, seeds: frame::seeds, words: &[] },
    Target { name: "record", run: record::run, seeds: record::seeds, words: &[] },
    Target { name: "recording", run: recording::run, seeds: recording::seeds, words: recording::WORDS },
    Target { name: "correlate", run: correlate::run, seeds: correlate::seeds, words: &[] },
    Target { name: "filter", run: filter::run, seeds: filter::seeds, words: filter::WORDS },
    Target { name: "profile", run: profile::run, seeds: profile::seeds, words: profile::WORDS },
    Target { name: "experiment", run: experiment::run, seeds: experiment::seeds, words: experiment::WORDS },
    Target { name: "options", run: options::run, seeds: options::seeds, words: options::WORDS },
    Target { name: "host", run: host::run, seeds: host::seeds, words: host::WORDS },
    Target { name: "netlink", run: netlink::run, seeds: netlink::seeds, words: &[] },
    Target { name: "lab", run: lab::run, seeds: lab::seeds, words: &["VMHP"] },
    Target { name: "btf", run: btf::run, seeds: btf::seeds, words: &[] },
];

/// The target of this name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// Runs one input of a target: what cargo-fuzz calls.
pub fn run(name: &str, input: &[u8]) {
    (target(name).run)(input);
}

/// Bytes as text, and what makes none as its sign.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Seeds that are text.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Whether a message does nothing to a terminal but to fill its lines.
fn assert_printable(message: &str) {
    let acts = |c: char| c.is_control() && c != '\n';
    assert!(!message.is_empty() && !message.contains(acts), "{message:?}");
}

/// An error, as users are told it. What they have typed themselves may take several lines.
fn told(error: anyhow::Error) {
    assert_printable(&Failure::Usage(error).to_string());
}

/// An error, as users are told it: one line, whatever others have written that it quotes.
fn told_in_one_line(error: anyhow::Error) {
    let message = Failure::Usage(error).to_string();
    assert_printable(&message);
    assert!(!message.contains('\n'), "{message:?}");
}

impl Target {
    /// The folder of its files.
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(self.name)
    }

    /// Its corpus: seeds, then files.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let mut corpus = (self.seeds)();
        let entries = fs::read_dir(self.folder()).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        corpus.extend(files.iter().map(|path| fs::read(path).unwrap()));
        corpus
    }

    /// Runs the corpus, then `count` inputs that are made from it by changes at random, always the same ones. Gives how
    /// many there were.
    pub fn bounded(&self, count: usize) -> usize {
        let corpus = self.corpus();
        corpus.iter().for_each(|input| self.check(input));
        let mut mutator = Mutator::new(&corpus, self.words);
        (0..count).for_each(|_| self.check(&mutator.next_input()));
        corpus.len() + count
    }

    /// Runs one input; a panic is told with it.
    fn check(&self, input: &[u8]) {
        if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| (self.run)(input))) {
            let shortest = shorten(input, |shorter| {
                panic::catch_unwind(AssertUnwindSafe(|| (self.run)(shorter))).is_err()
            });
            let said = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("{} fails on {} ({shortest:?}): {said}", self.name, shortest.escape_ascii());
        }
    }
}

/// The input with all left out that it fails without.
fn shorten(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut input = input.to_vec();
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at + piece <= input.len() {
            let shorter = [&input[..at], &input[at + piece..]].concat();
            if fails(&shorter) { input = shorter } else { at += piece }
        }
        piece /= 2;
    }
    input
}
