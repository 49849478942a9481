//! A filter in tcpdump's words: what is understood decides every frame, and its negation decides it the other way.

use std::sync::LazyLock;

use tracer::filter::{Filter, parse};
use tracer_common::{
    filter::MAX_CLAUSES,
    frame::{Frame, Slice},
};

use super::{assert_printable, text, texts};
use crate::frames;

/// What filters are tried on.
static FRAMES: LazyLock<Vec<Frame>> = LazyLock::new(|| {
    let frames = frames::sound().into_iter().step_by(4).chain(frames::captured().into_iter().step_by(9));
    frames.map(|frame| Slice(&frame.bytes).parse(&[1, 2])).collect()
});

pub(super) fn run(bytes: &[u8]) {
    let text = text(bytes);
    match parse(&text) {
        Ok(filter) => decides(&text, &filter),
        Err(error) => assert_printable(&error.to_string()),
    }
}

fn passes(filter: &Filter, frame: &Frame) -> bool {
    filter.clauses.is_empty() || filter.clauses.iter().any(|clause| clause.passes(frame))
}

fn decides(text: &str, filter: &Filter) {
    assert_eq!(filter.text, text);
    assert!(filter.clauses.len() <= MAX_CLAUSES);
    let again = |text: String| parse(&text).ok();
    // Whoever writes a condition twice means it once, and in parentheses means the same. Where there is no room for
    // more clauses the longer one is refused.
    for same in [format!("({text})"), format!("({text}) or ({text})"), format!("not not ({text})")] {
        let Some(same) = again(same) else { continue };
        assert!(FRAMES.iter().all(|frame| passes(&same, frame) == passes(filter, frame)), "{}", same.text);
    }
    if let Some(negated) = again(format!("not ({text})")) {
        assert!(
            FRAMES.iter().all(|frame| passes(&negated, frame) != passes(filter, frame)),
            "{}",
            negated.text
        );
    }
}

pub(super) const WORDS: &[&str] = &[
    " and ",
    " or ",
    " not ",
    "(",
    ")",
    "!",
    "&&",
    "||",
    "ip ",
    "ip6 ",
    "arp ",
    "icmp ",
    "icmp6 ",
    "tcp ",
    "udp ",
    "src ",
    "dst ",
    "src or dst ",
    "src and dst ",
    "host ",
    "net ",
    "port ",
    "proto ",
    "192.0.2.2",
    "0.0.0.0/0",
    "2001:db8::/32",
    "::",
    "/33",
    "/129",
    "80",
    "65535",
    "65536",
    "-1",
    "http",
    "\u{202e}",
    "\u{1b}[31m",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "",
        "icmp or icmp6",
        "tcp port 80 or 443",
        "arp or tcp and port 80",
        "not arp and not ip6",
        "host 192.0.2.2 and not port 22",
        "src host 2001:db8::2 and (udp or icmp6)",
        "src and dst net 192.0.2.0/24",
        "ip proto 132",
        "!(tcp && src port 65535) || proto 50",
        "src or dst net 0.0.0.0/0",
        "net 2001:db8::/32 and not src host fe80::1",
        "not not not ip",
        "((((((((((udp))))))))))",
        "host 192.0.2.2 or host 192.0.2.3 or host 192.0.2.4 or host 192.0.2.5 or host 192.0.2.6",
        "port http",
    ])
}
