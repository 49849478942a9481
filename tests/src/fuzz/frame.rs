//! The headers of a frame. What is read depends on the frame alone: not on what lies in memory behind its readable
//! part, at whatever byte that ends, and not on a VLAN tag that the kernel may have moved out of it.

use std::cell::Cell;

use tracer_common::frame::{Bytes, Frame, MAX_WRAPPINGS, Slice, Window, parse, wrappings};

use crate::frames::{self, tagged};

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// Looks at one frame that are more than enough: the kernel's verifier follows each of them.
const MOST_LOOKS: u32 = 40;

/// Of long frames not every cut is tried.
const ALL_CUTS: usize = 64;

/// Readable bytes with others behind them, as in kernel memory.
struct Memory<'a> {
    readable: &'a [u8],
    behind: u8,
    looks: Cell<u32>,
}

impl<'a> Memory<'a> {
    fn new(readable: &'a [u8], behind: u8) -> Memory<'a> {
        Memory { readable, behind, looks: Cell::new(0) }
    }
}

impl Bytes for Memory<'_> {
    fn window<const WORDS: usize>(&self, offset: u32) -> Window<WORDS> {
        self.looks.set(self.looks.get() + 1);
        let rest = self.readable.get(offset as usize..).unwrap_or(&[]);
        let mut bytes = vec![self.behind; WORDS * 4];
        let real = rest.len().min(bytes.len());
        bytes[..real].copy_from_slice(&rest[..real]);
        Window { available: rest.len() as u32, ..Slice(&bytes).window(0) }
    }
}

pub(super) fn run(bytes: &[u8]) {
    let whole = Slice(bytes).parse(&KEY);
    assert_ne!(whole.digest, 0);
    let step = 1 + bytes.len() / ALL_CUTS;
    let cuts = (0..bytes.len()).step_by(step).map(|cut| (cut + bytes.len()) % bytes.len().max(1));
    for readable in cuts.map(|cut| &bytes[..cut]).chain([bytes]) {
        same_whatever_lies_behind(readable, bytes.len() as u32);
    }
    same_without_its_tag(bytes, &whole);
}

/// A frame of `len` bytes of which these can be read.
fn same_whatever_lies_behind(readable: &[u8], len: u32) {
    let ethertype = readable.get(12..14).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let expected = parse(&Slice(readable), ethertype, len, &KEY);
    assert_ne!(expected.digest, 0);
    for behind in [0, 0x45, 0xff] {
        let memory = Memory::new(readable, behind);
        assert_eq!(
            parse(&memory, ethertype, len, &KEY),
            expected,
            "{behind:02x} behind {} bytes",
            readable.len()
        );
        assert!(memory.looks.get() <= MOST_LOOKS, "{} looks", memory.looks.get());
    }
}

/// Nothing that names a frame changes with a tag in front of it.
fn same_without_its_tag(bytes: &[u8], whole: &Frame) {
    let tags = |ethertype: &[u8]| matches!(ethertype, [0x81, 0] | [0x88, 0xa8]);
    if bytes.len() < 14 || tags(&bytes[12..14]) {
        return;
    }
    let named = |frame: &Frame| {
        let Frame { digest, flow, kind, seq, ack, stamps, tunnelled, tcp_flags, .. } = *frame;
        (digest, flow, kind, seq, ack, stamps, tunnelled, tcp_flags)
    };
    let tagged = Slice(&tagged(0x8100, 7, bytes)).parse(&KEY);
    let ethertype = u16::from_be_bytes([bytes[12], bytes[13]]);
    // One tag more is one wrapping less that is opened.
    if wrappings(&Slice(bytes), ethertype) < MAX_WRAPPINGS {
        assert_eq!(named(&tagged), named(whole), "with a tag");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let frames = [frames::captured(), frames::made()].concat();
    frames.into_iter().map(|frame| frame.bytes).collect()
}
