//! Words of the command line: understood, or answered.

use tracer::{config, lab};

use super::{text, texts, told};

pub(super) fn run(bytes: &[u8]) {
    let text = text(bytes);
    config::fuzz::options(&text).into_iter().for_each(told);
    if let Err(error) = lab::fuzz::cable(&text) {
        told(error);
    }
}

pub(super) const WORDS: &[&str] = &[
    "KiB",
    "MiB",
    "GiB",
    "k",
    "99999999999999999999",
    "ms",
    "days",
    "years",
    "tap.rx",
    "tap.write",
    "nic.done",
    "=",
    "tp_btf:netif_receive_skb",
    "raw_tp:sys_enter",
    "xdp",
    ",",
    "eth0",
    "\u{1b}[31m",
    "\n",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "32MiB",
        "4294967296",
        "500ms",
        "2h 37min",
        "tap.write=raw_tp:sys_enter",
        "nic.rx=xdp",
        "e1000e0,e1000e1",
        "",
    ])
}
