//! What the kernel's programs read of a frame is what the same code reads of it in userspace: every frame that can be
//! made wrong, written into a tap as a VMM writes them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]
#![expect(clippy::print_stderr, reason = "the figures are for whoever reads the log")]

use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path as FsPath,
    time::Instant,
};

use tests::{
    frames::{self, Named},
    host::able,
    traced::{KEY, Path, Seen, TracedTap},
    world::Random,
};
use tracer::decode::{Event, Flow};
use tracer_common::frame::{Frame, Kind, Slice, parse};

/// Frames are cut at every byte up to here: behind it nothing is read but of the deepest.
const LONGEST_CUT: usize = 180;

/// How many frames with fields at random, and of how many frames one is cut.
fn amount() -> (usize, usize) {
    // An emulated processor takes a hundred times longer for each.
    if env::var_os("VMHOP_VM").is_some() { (1_000, 24) } else { (12_000, 1) }
}

/// Too long for a page, so that what need not be in one piece is not.
const PAGED: usize = 4300;

/// What the kernel has said of a frame, or userspace.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    digest: u64,
    flow: u64,
    kind: Option<Kind>,
    seq: u32,
    ack: u32,
    tcp_flags: u8,
    tunnelled: bool,
}

impl From<&Event> for Read {
    fn from(event: &Event) -> Read {
        let Event { digest, flow, kind, seq, ack, tcp_flags, tunnelled, .. } = *event;
        Read { digest, flow, kind, seq, ack, tcp_flags, tunnelled }
    }
}

impl From<&Frame> for Read {
    fn from(frame: &Frame) -> Read {
        let Frame { digest, flow, kind, seq, ack, tcp_flags, tunnelled, .. } = *frame;
        Read { digest, flow, kind: Some(kind), seq, ack, tcp_flags, tunnelled }
    }
}

/// What did not agree, and how much was compared.
#[derive(Default)]
struct Score {
    compared: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Score {
    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        where_: &'static str,
        frame: &Named,
        kernel: T,
        user: T,
    ) {
        *self.compared.entry(where_).or_default() += 1;
        if kernel != user {
            let Named { name, bytes } = frame;
            let shown: String = bytes.iter().take(120).map(|byte| format!("{byte:02x}")).collect();
            self.wrong.push(format!("{where_}: {name}: kernel {kernel:x?}, userspace {user:x?}: {shown}"));
        }
    }

    /// What one frame of these readable bytes was seen as.
    fn frame(&mut self, frame: &Named, readable: usize, seen: &Seen) {
        let Named { bytes, .. } = frame;
        let ethertype = u16::from_be_bytes([bytes[12], bytes[13]]);
        let parsed = parse(&Slice(&bytes[..readable]), ethertype, bytes.len() as u32, &KEY);
        self.compare(
            "tap",
            frame,
            all(&seen.tap),
            (Read::from(&parsed), parsed.overhead, bytes.len() as u32),
        );
        if let Some(event) = &seen.xdp {
            self.compare(
                "XDP",
                frame,
                all(event),
                (Read::from(&parsed), parsed.overhead, bytes.len() as u32),
            );
        }
        if let Some(flow) = seen.flow {
            self.compare("addresses", frame, flow, flow_of(&parsed));
        }
        let at_nic = behind_the_stack(bytes);
        let ethertype = u16::from_be_bytes([at_nic[12], at_nic[13]]);
        let parsed = parse(&Slice(&at_nic), ethertype, at_nic.len() as u32, &KEY);
        // The bridge may have pulled more of it together.
        for event in seen.nic.iter().filter(|_| readable == bytes.len()) {
            self.compare(
                "NIC",
                frame,
                (Read::from(event), event.stamps),
                (Read::from(&parsed), parsed.stamps),
            );
        }
    }

    fn verdict(&self, what: &str, refused: usize, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        let Score { compared, wrong } = self;
        eprintln!(
            "{what}: compared {compared:?}, refused by the kernel {refused}, wrong {}, {seconds:.1} s",
            wrong.len()
        );
        wrong.iter().take(20).for_each(|wrong| eprintln!("{wrong}"));
        assert!(wrong.is_empty(), "{} of {compared:?}", wrong.len());
    }
}

/// A frame as it is in the buffer at the NIC: its outermost tag is beside it (`skb_vlan_untag`), and of IPv6 without one
/// a bridge that has its frames filtered has cut off what is more than the header says (`br_validate_ipv6`,
/// net/bridge/br_netfilter_ipv6.c).
fn behind_the_stack(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 18 && matches!(bytes[12..14], [0x81, 0] | [0x88, 0xa8]) {
        bytes.drain(12..16);
    } else if bytes.len() >= 54 && bytes[12..14] == [0x86, 0xdd] && is_filtered() {
        let says = 54 + usize::from(u16::from_be_bytes([bytes[18], bytes[19]]));
        bytes.truncate(says);
    }
    bytes
}

/// Whether bridges have their frames filtered: br_netfilter is there, whose default is that.
fn is_filtered() -> bool {
    FsPath::new("/proc/sys/net/bridge/bridge-nf-call-ip6tables").exists()
}

fn all(event: &Event) -> (Read, u8, u32) {
    (event.into(), event.overhead, event.len)
}

/// The addresses of a frame as a recording tells them.
fn flow_of(frame: &Frame) -> Flow {
    let address = |words: [u32; 4]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        match frame.version {
            4 => Some(IpAddr::from(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
            6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).into()),
            _ => None,
        }
    };
    let Frame { flow, src_port, dst_port, protocol, .. } = *frame;
    Flow { flow, src: address(frame.src), dst: address(frame.dst), src_port, dst_port, protocol }
}

/// Writes the frames, of each so many bytes in one piece, and compares.
fn compare(path: Path, frames: &[(Named, usize)], what: &str) {
    let started = Instant::now();
    let written: Vec<(&[u8], usize)> =
        frames.iter().map(|(frame, linear)| (frame.bytes.as_slice(), *linear)).collect();
    let seen = TracedTap::new(path).pass(&written);
    let mut score = Score::default();
    let mut refused = Vec::new();
    for ((frame, linear), seen) in frames.iter().zip(&seen) {
        match seen {
            Some(seen) => score.frame(frame, *linear, seen),
            None => refused.push(frame.bytes.len()),
        }
    }
    // drivers/net/tun.c tun_get_user: no frame is shorter than an Ethernet header.
    assert!(refused.iter().all(|length| *length < 14), "{refused:?}");
    assert_eq!(refused.len(), frames.iter().filter(|(frame, _)| frame.bytes.len() < 14).count());
    score.verdict(what, refused.len(), started);
}

fn whole(frame: Named) -> (Named, usize) {
    let length = frame.bytes.len();
    (frame, length)
}

#[test]
fn the_kernel_reads_every_frame_as_userspace_does() {
    if !able() {
        return;
    }
    let (scrambled, step) = amount();
    let cuts = frames::cuts(LONGEST_CUT, step);
    let made = [frames::captured(), frames::made(), cuts, frames::scrambled(1, scrambled)];
    let frames: Vec<(Named, usize)> = made.concat().into_iter().map(whole).collect();
    compare(Path::Xdp, &frames, "in one piece");
}

#[test]
fn the_kernel_reads_no_further_than_the_linear_part() {
    if !able() {
        return;
    }
    let mut random = Random::new(2);
    let paged = |Named { name, mut bytes }: Named| {
        let linear = 14 + random.below(bytes.len().min(LONGEST_CUT) as u64 - 13) as usize;
        // What is behind the frame would be read as more of it.
        let length = bytes.len();
        bytes.extend((0..PAGED - length).map(|at| at as u8 | 1));
        (Named { name: format!("{name}, {linear} bytes in one piece"), bytes }, linear)
    };
    let made = [frames::made(), frames::made(), frames::scrambled(3, amount().0)].concat();
    let frames: Vec<(Named, usize)> = made.into_iter().map(paged).collect();
    compare(Path::Paged, &frames, "in pages");
}
