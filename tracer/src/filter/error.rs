//! Why a filter was not understood, with the place in the text.

use std::fmt;

use thiserror::Error;
use tracer_common::filter::{MAX_CLAUSES, MAX_TESTS};

use super::lexer::Token;

/// What can be said, for messages.
const KNOWN: &str = "ip, ip6, arp, icmp, icmp6, tcp, udp, proto N, [src|dst] host A, [src|dst] net A/LEN, \
                     [src|dst] port N, and, or, not, ( )";

/// A filter that cannot be used. Its text shows the place, on lines of their own.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct FilterError {
    /// What is wrong.
    pub problem: Box<Problem>,
    /// Where: column, counted in characters from 1, and length in characters. `None`: in the whole.
    pub place: Option<(usize, usize)>,
    /// The text as typed.
    text: String,
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// A word that vmhop does not know, perhaps one that tcpdump knows.
    #[error("\"{}\" is not supported here{place}: vmhop knows {KNOWN}", word.escape_debug())]
    Unsupported {
        /// The word.
        word: String,
        /// Where, for the text.
        place: String,
    },
    /// Something else had to come.
    #[error("{expected} is expected {before}{place}")]
    Expected {
        /// What.
        expected: &'static str,
        /// Before which word, or at the end.
        before: String,
        /// Where, for the text.
        place: String,
    },
    /// A value that is none of its kind.
    #[error("\"{}\" is not {kind}{place}: {remedy}", word.escape_debug())]
    Value {
        /// The word.
        word: String,
        /// What it should be.
        kind: &'static str,
        /// What to write.
        remedy: String,
        /// Where, for the text.
        place: String,
    },
    /// Parentheses too deep.
    #[error("parentheses and \"not\" are nested too deeply{place}: {limit} levels are supported")]
    TooDeep {
        /// How many levels are supported.
        limit: usize,
        /// Where, for the text.
        place: String,
    },
    /// Too many words.
    #[error("the filter is too long{place}: {limit} words are supported")]
    TooLong {
        /// How many words are supported.
        limit: usize,
        /// Where, for the text.
        place: String,
    },
    /// Too many alternatives.
    #[error(
        "the filter is too complex: written as alternatives it needs more than {MAX_CLAUSES}, which is what the \
         kernel side evaluates; name nets instead of hosts, or record more and filter fewer"
    )]
    TooManyClauses,
    /// Too many tests in one alternative.
    #[error(
        "the filter is too complex: one alternative tests {count} {what}, and {MAX_TESTS} are supported; name \
         nets instead of hosts, or record more and filter fewer"
    )]
    TooManyTests {
        /// `addresses` or `ports`.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// A contradiction.
    #[error("the filter matches nothing: its conditions exclude one another")]
    MatchesNothing,
}

impl FilterError {
    /// An error of the whole expression.
    pub(super) fn whole(text: &str, problem: Problem) -> Self {
        Self { problem: Box::new(problem), place: None, text: text.to_owned() }
    }

    /// An error at a token, or at the end of the text; `problem` is given the place in words.
    pub(super) fn at(text: &str, token: Option<&Token<'_>>, problem: impl FnOnce(String) -> Problem) -> Self {
        let (start, length) =
            token.map_or((text.trim_end().len(), 1), |it| (it.start, it.text.chars().count()));
        let column = text[..start].chars().count() + 1;
        let problem = problem(format!(" (at column {column})"));
        Self { problem: Box::new(problem), place: Some((column, length)), text: text.to_owned() }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter: {}", self.problem)?;
        let Some((column, length)) = self.place else { return Ok(()) };
        // One character for one: else the caret would point elsewhere.
        let text: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "\n  {text}\n  {:indent$}{:^<length$}", "", "", indent = column - 1)
    }
}
