//! A tap that this process holds, on a bridge with a NIC, and the kernel's own programs attached to it: what they read of
//! the frames that a test writes, as a VMM would.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::{self, File},
    io::{ErrorKind, IoSlice, Write as _},
    os::fd::AsRawFd as _,
};

use tracer::{
    decode::{Event, Flow, Record},
    plan::{Plan, Wishes, XdpMode, btf::KernelBtf},
    probe::{BufferMode, Buffers, Probe},
    session,
    source::Source,
    topology::{self, Switch, SwitchKind, Tap, Thread, ThreadRole, Vm, Vmm},
};
use tracer_common::hop::{Hook, Hop};

use crate::host::{Netns, load_modules};

/// The recording's key, which is random otherwise.
pub const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// Room for the events of a batch, some ten a frame.
const RING_BYTES: u32 = 8 << 20;
const BATCH: usize = 512;

/// Larger than any frame of a test.
const MTU: u32 = 9000;

/// How frames reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// In one piece, and an XDP program sees them first.
    Xdp,
    /// By a descriptor that does not block, with a header that says how many bytes are to be in one piece; of a frame
    /// that does not fit into a page the others are then in pages of their own (drivers/net/tun.c `tun_alloc_skb`).
    Paged,
}

/// What became of a frame.
#[derive(Clone, Debug)]
pub struct Seen {
    /// By the XDP program.
    pub xdp: Option<Event>,
    /// As it entered the stack.
    pub tap: Event,
    /// Addresses of its flow, if nobody had told of the flow before.
    pub flow: Option<Flow>,
    /// The same `sk_buff` at the NIC, behind the bridge.
    pub nic: Vec<Event>,
}

/// The tap.
pub struct TracedTap {
    path: Path,
    tap: File,
    source: Source,
    _probe: Probe,
    _host: Netns,
    _peer: Netns,
}

impl TracedTap {
    /// Makes it and attaches.
    pub fn new(path: Path) -> TracedTap {
        load_modules(&["tun", "bridge", "veth"]);
        let (host, peer) = (Netns::new("host"), Netns::new("peer"));
        // No frames but the test's.
        [&host, &peer].into_iter().for_each(silence);
        let flags = libc::IFF_TAP | if path == Path::Paged { libc::IFF_VNET_HDR } else { 0 };
        let tap = File::from(host.tun("tap0", flags));
        if path == Path::Paged {
            // SAFETY: sets a flag of an open descriptor.
            let set = unsafe { libc::fcntl(tap.as_raw_fd(), libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK) };
            assert_eq!(set, 0);
        }
        host.veth("nic0", &peer, "eth0");
        host.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        for line in ["tap0 master br0", "nic0 master br0"] {
            host.ip(&format!("link set {line} mtu {MTU} up"));
        }
        host.ip("link set br0 up");
        let vm = host.inside(|| vm(&tap));
        let (probe, source) = attach(vm, path);
        TracedTap { path, tap, source, _probe: probe, _host: host, _peer: peer }
    }

    /// Writes frames, each with how many of its bytes are to be in one piece, and gives what was seen of each; nothing of
    /// those that the kernel refuses.
    pub fn pass(&mut self, frames: &[(&[u8], usize)]) -> Vec<Option<Seen>> {
        frames.chunks(BATCH).flat_map(|batch| self.pass_batch(batch)).collect()
    }

    fn pass_batch(&mut self, frames: &[(&[u8], usize)]) -> Vec<Option<Seen>> {
        self.drain();
        let taken: Vec<bool> = frames.iter().map(|(frame, linear)| self.write(frame, *linear)).collect();
        let mut seen = Batch::of(self.drain()).into_iter();
        let found = taken.iter().map(|taken| taken.then(|| seen.next().unwrap())).collect();
        assert!(seen.next().is_none(), "more frames were seen than written");
        found
    }

    fn write(&self, frame: &[u8], linear: usize) -> bool {
        let header = [0, 0, linear.to_ne_bytes()[0], linear.to_ne_bytes()[1], 0, 0, 0, 0, 0, 0];
        let header: &[u8] = if self.path == Path::Paged { &header } else { &[] };
        match (&self.tap).write_vectored(&[IoSlice::new(header), IoSlice::new(frame)]) {
            // Nothing to write: the driver is not asked.
            Ok(0) => false,
            Ok(written) => {
                assert_eq!(written, header.len() + frame.len());
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                false
            }
        }
    }

    fn drain(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let Ok(_) = self.source.drain(usize::MAX, |record| -> Result<(), Infallible> {
            records.push(record);
            Ok(())
        });
        assert_eq!(self.source.undecoded, 0);
        // What this thread wrote on one processor, and then on another, comes nearly in the order of its times.
        records.sort_by_key(|record| match record {
            Record::Event(event) => event.time_ns,
            Record::Flow(_) => 0,
        });
        records
    }
}

fn silence(netns: &Netns) {
    netns.inside(|| {
        // A kernel without IPv6 has no such switch.
        for name in ["all", "default"] {
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        }
    });
}

/// This process as the VM that holds the tap. In the tap's namespace.
fn vm(tap: &File) -> Vm {
    let find = |name: &str| topology::device(topology::Namespace::Own, name).unwrap();
    let switch = Some(Switch { kind: SwitchKind::Bridge, device: find("br0") });
    let tap = Tap {
        device: find("tap0"),
        fds: vec![tap.as_raw_fd()],
        switch,
        routed: false,
        nics: vec![find("nic0")],
    };
    let thread = Thread { tid: std::process::id() as i32, name: String::new(), role: ThreadRole::Io };
    Vm {
        name: "frames".to_owned(),
        vmm: Vmm::Other("tests".to_owned()),
        pid: std::process::id() as i32,
        start_time: 0,
        threads: vec![thread],
        taps: vec![tap],
        kvm: false,
    }
}

fn attach(vm: Vm, path: Path) -> (Probe, Source) {
    let btf = KernelBtf::load(None).unwrap();
    let xdp = if path == Path::Xdp { XdpMode::Native } else { XdpMode::Off };
    let wishes = Wishes { xdp, ..Wishes::default() };
    let mut plan = Plan::new(&btf.facts(&[]).with_vms(&[&vm]), &wishes).unwrap();
    let mut setup = session::setup(&btf, &[vm], Buffers::new(BufferMode::Auto, RING_BYTES).unwrap()).unwrap();
    setup.settings.key = KEY;
    let mut probe = Probe::attach(&setup, &mut plan).unwrap();
    let source = Source::new(probe.outlet().unwrap());
    (probe, source)
}

/// Frames one after another: all that happens to one happens before the next is written, in the thread that writes it.
#[derive(Default)]
struct Batch {
    seen: Vec<Seen>,
    /// Of the next frame, before it has an `sk_buff`.
    sighted: Option<Event>,
    /// Those that were told of, in whatever order.
    flows: BTreeMap<u64, Flow>,
}

impl Batch {
    fn of(records: Vec<Record>) -> Vec<Seen> {
        let mut batch = Batch::default();
        for record in records {
            match record {
                Record::Event(event) if event.hop == Hop::TapRx => batch.born(event),
                Record::Event(event) => batch.further(event),
                Record::Flow(flow) => {
                    batch.flows.insert(flow.flow, flow);
                }
            }
        }
        for seen in &mut batch.seen {
            seen.flow = batch.flows.remove(&seen.tap.flow);
        }
        batch.seen
    }

    fn born(&mut self, event: Event) {
        if event.hook == Hook::Xdp {
            self.sighted = Some(event);
        } else {
            let xdp = self.sighted.take();
            self.seen.push(Seen { xdp, tap: event, flow: None, nic: Vec::new() });
        }
    }

    fn further(&mut self, event: Event) {
        let Some(last) = self.seen.last_mut() else { return };
        if matches!(event.hop, Hop::NicQueue | Hop::NicXmit) && event.skb == last.tap.skb {
            last.nic.push(event);
        }
    }
}
