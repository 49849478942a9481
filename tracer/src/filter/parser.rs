//! From words to an expression: tcpdump's grammar as far as the kernel side can evaluate it.
//!
//! ```text
//! joined    = not { ("and" | "&&" | "or" | "||") not }
//! not       = ("not" | "!") not | "(" joined ")" | primitive
//! primitive = [family] [side] ("host" A | "net" A/LEN | "port" N | "proto" N) | family | [side] A
//! family    = "ip" | "ip6" | "arp" | "icmp" | "icmp6" | "tcp" | "udp"
//! side      = "src" | "dst" | "src or dst" | "src and dst"
//! ```
//! As for tcpdump, `and` and `or` bind alike and from the left, so `arp or tcp and port 80` is
//! `(arp or tcp) and port 80`; and a value alone repeats the latest keyword: `port 80 or 443`.

use tracer_common::filter::{
    AddressTest, DESTINATION, ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IP6, PortTest, SOURCE,
};

use super::{
    FilterError, Problem,
    lexer::{Kind, Token},
};

mod value;

/// Parentheses and `not` may be nested this deeply: the parser calls itself.
const MAX_DEPTH: usize = 64;

/// Words that a filter may have: a chain of `and` and `or` is a tree as deep as it is long.
const MAX_WORDS: usize = 500;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;

/// A filter as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// All of them.
    And(Vec<Expr>),
    /// One of them.
    Or(Vec<Expr>),
    /// Not it.
    Not(Box<Expr>),
    /// One of these ethertypes (bits of [`tracer_common::filter::Clause::ethertypes`]).
    Ethertype(u32),
    /// This IP protocol.
    Protocol(u8),
    /// This address or net, never negated.
    Address(AddressTest),
    /// This port, never negated.
    Port(PortTest),
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Host,
    Net,
    Port,
    Proto,
}

/// Which end a value is looked for at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Source, destination or either, as the bits of a test.
    Any(u32),
    /// At both ends at once: `src and dst`.
    Both,
}

/// The keywords before a value; a value alone repeats them.
#[derive(Clone, Debug)]
struct Head {
    family: Option<Expr>,
    side: Side,
    subject: Subject,
}

const HOST: Head = Head { family: None, side: Side::Any(SOURCE | DESTINATION), subject: Subject::Host };

/// Reads a whole expression; `tokens` are those of `text`, at least one.
pub(super) fn parse(text: &str, tokens: &[Token<'_>]) -> Result<Expr, FilterError> {
    if let Some(token) = tokens.get(MAX_WORDS) {
        return Err(FilterError::at(text, Some(token), |place| Problem::TooLong { limit: MAX_WORDS, place }));
    }
    let mut parser = Parser { text, tokens, latest: HOST };
    let expr = parser.joined(0)?;
    match parser.peek() {
        None => Ok(expr),
        // A word that is nothing anywhere is better named than the operator that it lacks.
        Some(Kind::Word(word)) if !value::is_known(word) => Err(parser.unsupported()),
        Some(_) => Err(parser.expected("\"and\" or \"or\"")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    latest: Head,
}

impl<'a> Parser<'a> {
    fn joined(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut left = self.not(depth)?;
        loop {
            let join = match self.peek() {
                Some(Kind::And) => Expr::And,
                Some(Kind::Or) => Expr::Or,
                _ => return Ok(left),
            };
            self.advance();
            left = join(vec![left, self.not(depth)?]);
        }
    }

    fn not(&mut self, depth: usize) -> Result<Expr, FilterError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(|place| Problem::TooDeep { limit: MAX_DEPTH, place }));
        }
        if self.accept(Kind::Not) {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        if !self.accept(Kind::Open) {
            return self.primitive();
        }
        let inner = self.joined(depth + 1)?;
        match self.peek() {
            Some(Kind::Close) => self.advance(),
            Some(Kind::Word(word)) if !value::is_known(word) => return Err(self.unsupported()),
            _ => return Err(self.expected("\")\"")),
        }
        Ok(inner)
    }

    fn primitive(&mut self) -> Result<Expr, FilterError> {
        let Some(Kind::Word(word)) = self.peek() else {
            return Err(self.expected("a condition"));
        };
        let family = family(word);
        if family.is_some() {
            self.advance();
        }
        let side = self.side()?;
        let subject = self.subject();
        let head = match (family, side, subject) {
            (Some(family), None, None) => return Ok(family),
            (family, side, Some(subject)) => Head { family, side: side.unwrap_or(HOST.side), subject },
            (family, Some(side), None) => Head { family, side, subject: Subject::Host },
            (None, None, None) => self.repeated(word)?,
        };
        self.latest = head.clone();
        self.value(head)
    }

    /// The keywords that a value alone repeats.
    fn repeated(&self, word: &str) -> Result<Head, FilterError> {
        if value::fits(self.latest.subject, word) {
            return Ok(self.latest.clone());
        }
        if value::is_address(word) { Ok(HOST) } else { Err(self.unsupported()) }
    }

    /// `src`, `dst`, and the two joined by `or` or `and`.
    fn side(&mut self) -> Result<Option<Side>, FilterError> {
        let Some(first) = self.end() else { return Ok(None) };
        self.advance();
        let joined = match self.tokens {
            [operator, Token { kind: Kind::Word("src" | "dst"), .. }, ..] => operator.kind,
            _ => return Ok(Some(Side::Any(first))),
        };
        if !matches!(joined, Kind::And | Kind::Or) {
            return Ok(Some(Side::Any(first)));
        }
        self.advance();
        let ends = first | self.end().unwrap_or(first);
        if ends == first {
            return Err(self.expected("an address, or \"host\", \"net\", \"port\" and a value,"));
        }
        self.advance();
        Ok(Some(if joined == Kind::And { Side::Both } else { Side::Any(ends) }))
    }

    fn end(&self) -> Option<u32> {
        match self.peek() {
            Some(Kind::Word("src")) => Some(SOURCE),
            Some(Kind::Word("dst")) => Some(DESTINATION),
            _ => None,
        }
    }

    fn subject(&mut self) -> Option<Subject> {
        let subject = match self.peek() {
            Some(Kind::Word("host")) => Subject::Host,
            Some(Kind::Word("net")) => Subject::Net,
            Some(Kind::Word("port")) => Subject::Port,
            Some(Kind::Word("proto")) => Subject::Proto,
            _ => return None,
        };
        self.advance();
        Some(subject)
    }

    fn value(&mut self, Head { family, side, subject }: Head) -> Result<Expr, FilterError> {
        let Some(Kind::Word(word)) = self.peek() else {
            return Err(self.expected(value::kind(subject)));
        };
        let test = |ends: u32| match subject {
            Subject::Host => value::host(word, ends).map(Expr::Address),
            Subject::Net => value::net(word, ends).map(Expr::Address),
            Subject::Port => value::port(word, ends).map(Expr::Port),
            Subject::Proto => value::protocol(word).map(Expr::Protocol),
        };
        let found = match side {
            Side::Any(ends) => test(ends),
            Side::Both => test(SOURCE).and_then(|src| Ok(Expr::And(vec![src, test(DESTINATION)?]))),
        };
        match found {
            Ok(found) => {
                self.advance();
                Ok(match family {
                    Some(family) => Expr::And(vec![family, found]),
                    None => found,
                })
            }
            Err(remedy) => {
                let (word, kind) = (word.to_owned(), value::kind(subject));
                Err(self.error(|place| Problem::Value { word, kind, remedy, place }))
            }
        }
    }

    fn peek(&self) -> Option<Kind<'a>> {
        self.tokens.first().map(|token| token.kind)
    }

    fn advance(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn accept(&mut self, kind: Kind<'_>) -> bool {
        let accepted = self.peek() == Some(kind);
        if accepted {
            self.advance();
        }
        accepted
    }

    fn error(&self, problem: impl FnOnce(String) -> Problem) -> FilterError {
        FilterError::at(self.text, self.tokens.first(), problem)
    }

    fn unsupported(&self) -> FilterError {
        let word = self.tokens.first().map_or(String::new(), |token| token.text.to_owned());
        self.error(|place| Problem::Unsupported { word, place })
    }

    fn expected(&self, expected: &'static str) -> FilterError {
        let before = match self.tokens.first() {
            Some(token) => format!("before \"{}\"", token.text.escape_debug()),
            None => "at the end".to_owned(),
        };
        self.error(|place| Problem::Expected { expected, before, place })
    }
}

fn family(word: &str) -> Option<Expr> {
    let with = |ethertype, protocol| Expr::And(vec![Expr::Ethertype(ethertype), Expr::Protocol(protocol)]);
    Some(match word {
        "ip" => Expr::Ethertype(ETHERTYPE_IP),
        "ip6" => Expr::Ethertype(ETHERTYPE_IP6),
        "arp" => Expr::Ethertype(ETHERTYPE_ARP),
        "icmp" => with(ETHERTYPE_IP, PROTOCOL_ICMP),
        "icmp6" => with(ETHERTYPE_IP6, PROTOCOL_ICMPV6),
        "tcp" => Expr::Protocol(PROTOCOL_TCP),
        "udp" => Expr::Protocol(PROTOCOL_UDP),
        _ => return None,
    })
}
