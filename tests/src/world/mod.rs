//! Synthetic worlds: random event streams of a host with one or two VMs, whose truth is known, for the
//! correlator to be held against. [`Recipe`] says what happens in a world, [`build`](Recipe::build) makes its
//! events, [`check`] compares what the correlator made of them.
//!
//! A **journey** is one copy of one frame on its way: a frame that is flooded has several, which share their
//! first hops. Every event has a time of its own, so a time names an event.

mod build;
pub mod check;
pub mod coverage;
mod kvm;
mod random;
mod talk;
mod way;

use std::collections::{HashMap, HashSet};

use tracer::{
    correlate::{Correlator, Limits, Options, threads::Threads},
    decode::Event,
    topology::{Device, DeviceKind, Tap, Thread, ThreadRole, Topology, Vm, Vmm},
};
use tracer_common::{frame::Kind, hop::Hop};

pub use self::random::Random;

/// What happens in a world.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Of all that is random below.
    pub seed: u64,
    /// VMs, 1 or 2.
    pub vms: usize,
    /// What runs the guests.
    pub machine: Machine,
    /// Frames between guests and others are routed.
    pub routed: bool,
    /// Hops of the user's are in use.
    pub user: bool,
    /// Conversations: echo, TCP, UDP, floods.
    pub talks: usize,
    /// Guests stand behind a NAT: flows differ between tap and wire.
    pub nat: bool,
    /// XDP programs are in use, in the generic hook or in the driver.
    pub xdp: Option<Xdp>,
    /// The bridge's hooks are in use.
    pub bridge: bool,
    /// vCPU entries and guest interrupts are seen.
    pub vcpu: bool,
    /// Of 1000 frames, how many are dropped.
    pub drops: u64,
    /// Guests take no super-frames: the kernel cuts them at the tap.
    pub tap_cuts: bool,
    /// Of 1000 frames from the wire, how many come twice.
    pub duplicates: u64,
    /// Longest time by which an event is delivered late, ns.
    pub lag_ns: u64,
}

/// What runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A VMM that emulates, with one thread that moves frames and one vCPU.
    Emulated,
    /// KVM, with a thread that moves frames for each queue.
    Kvm {
        /// Whether they are vhost's.
        vhost: bool,
        /// 1 to 3.
        queues: usize,
    },
}

impl Machine {
    /// Threads that move the frames of one guest.
    pub fn queues(self) -> usize {
        match self {
            Machine::Emulated => 1,
            Machine::Kvm { queues, .. } => queues,
        }
    }

    /// Whether guests run on KVM.
    pub fn is_kvm(self) -> bool {
        self != Machine::Emulated
    }
}

/// Where XDP programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xdp {
    /// In the driver, before the frame has an address.
    Native,
    /// Behind the tracepoint that sees the frame first.
    Generic,
}

/// One end of a frame's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The VM of this number.
    Guest(usize),
    /// The other end of the wire.
    Peer,
    /// The host itself.
    Host,
}

/// What a frame says.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// What it is.
    pub kind: Kind,
    /// Flow as the guest sees it.
    pub flow: u64,
    /// Unique to the frame.
    pub digest: u64,
    /// TCP or echo sequence number, or a datagram's identification.
    pub seq: u32,
    /// TCP acknowledgement number or echo identifier.
    pub ack: u32,
    /// TCP flags.
    pub flags: u8,
    /// Bytes of payload.
    pub payload: u32,
    /// Bytes that one segment on the wire holds.
    pub segment: u32,
}

impl Content {
    /// Whether it is more than one segment.
    pub fn is_super_frame(&self) -> bool {
        self.payload > self.segment
    }

    /// Its segments, in order. The first one of TCP says what the whole says; the others count on.
    fn segments(&self) -> impl Iterator<Item = Content> {
        let whole = *self;
        (0..self.payload.div_ceil(self.segment)).map(move |index| {
            let before = index * whole.segment;
            let (seq, digest) = match whole.kind {
                Kind::Udp => (whole.seq + index, whole.digest + 1 + u64::from(index)),
                _ => (whole.seq.wrapping_add(before), whole.digest + u64::from(index)),
            };
            Content { seq, digest, payload: whole.segment.min(whole.payload - before), ..whole }
        })
    }
}

/// One copy of one frame on its way.
#[derive(Clone, Debug)]
pub struct Journey {
    /// What it says.
    pub content: Content,
    /// Where it went, from where.
    pub way: (Place, Place),
    /// Copies share a frame.
    pub frame: usize,
    /// Whether other journeys are copies of the same frame.
    pub flooded: bool,
    /// Whether the kernel dropped it on the host.
    pub dropped: bool,
    /// Times of the events that must be found in its passage.
    pub expected: Vec<u64>,
    /// Times of its events that carry content.
    pub told: Vec<u64>,
    /// Time of its first event.
    pub began_ns: u64,
    /// The frame that asked what this one answers, where that is known when it is sent.
    pub answers: Option<usize>,
}

/// Events and the truth about them.
pub struct World {
    /// In the order of their delivery.
    pub events: Vec<Event>,
    /// By time of the event: the journeys that it belongs to.
    pub owners: HashMap<u64, Vec<usize>>,
    /// By time of the event: its hop.
    pub hops: HashMap<u64, Hop>,
    /// By time of an event that carries content: its sequence number and its bytes of payload.
    pub said: HashMap<u64, (u32, u32)>,
    /// By time of the event: the address of its `sk_buff`, 0 for none.
    pub addresses: HashMap<u64, u64>,
    /// All of them.
    pub journeys: Vec<Journey>,
    /// Flows in which a frame was dropped, or sent twice.
    pub troubled: HashSet<u64>,
    /// Times of events that were taken out.
    pub removed: HashSet<u64>,
    recipe: Recipe,
}

/// The NIC's slot.
pub const NIC: u8 = 1;

/// Slot of a VM's tap.
pub fn tap(vm: usize) -> u8 {
    [0, 2][vm]
}

/// The thread that moves a VM's frames; the first one's where it has several.
pub fn io_thread(vm: usize) -> u32 {
    10 + 10 * vm as u32
}

/// The thread that moves the frames of a VM's queue.
pub fn worker(vm: usize, queue: usize) -> u32 {
    io_thread(vm) + 2 * queue as u32
}

/// A VM's vCPU.
pub fn vcpu_thread(vm: usize) -> u32 {
    io_thread(vm) + 1
}

impl World {
    /// A correlator for this world, as `analysis` would make it.
    pub fn correlator(&self, limits: Limits) -> Correlator {
        let Recipe { vms, machine, vcpu, xdp, .. } = self.recipe;
        let irqs = vcpu && machine.is_kvm();
        let options =
            Options { waits_for_vcpu: vcpu, irqs, xdp: xdp.is_some(), no_socket: None, segments_told: true };
        correlator(vms, machine, limits, options)
    }

    /// Takes out `percent` of the events.
    pub fn remove(&mut self, percent: u64) {
        let mut random = Random::new(self.recipe.seed ^ 0x5eed);
        let removed = &mut self.removed;
        self.events.retain(|event| {
            let stays = random.below(100) >= percent;
            if !stays {
                removed.insert(event.time_ns);
            }
            stays
        });
    }

    /// Whether anything was taken out.
    pub fn is_lossy(&self) -> bool {
        !self.removed.is_empty()
    }
}

/// A correlator for `vms` VMs.
pub fn correlator(vms: usize, machine: Machine, limits: Limits, options: Options) -> Correlator {
    let threads = Threads::new(&topology(vms, machine), |_, ifindex| Some(ifindex as u8));
    Correlator::new(limits, threads, vms, options)
}

/// The host of a world; interface indices are slots.
pub fn topology(vms: usize, machine: Machine) -> Topology {
    Topology { vms: (0..vms).map(|number| vm(number, machine)).collect() }
}

fn vm(number: usize, machine: Machine) -> Vm {
    let thread = |tid: u32, role| Thread { tid: tid as i32, name: String::new(), role };
    let tap =
        Tap { device: device(tap(number)), fds: vec![3], switch: None, routed: false, nics: Vec::new() };
    Vm {
        name: format!("vm{number}"),
        vmm: Vmm::Qemu,
        pid: io_thread(number) as i32,
        start_time: 0,
        threads: (0..machine.queues())
            .flat_map(|queue| {
                let tid = worker(number, queue);
                [thread(tid, ThreadRole::Io), thread(tid + 1, ThreadRole::Vcpu(queue as u32))]
            })
            .collect(),
        taps: vec![tap],
        kvm: machine.is_kvm(),
    }
}

/// The device of a slot.
pub fn device(slot: u8) -> Device {
    Device {
        name: format!("dev{slot}"),
        ifindex: u32::from(slot),
        netns: 1,
        netns_name: None,
        kind: if slot == NIC { DeviceKind::Physical } else { DeviceKind::Tap },
        driver: None,
        mac: None,
        mtu: 1500,
        up: true,
        far_end: None,
        irqs: Vec::new(),
        queues: 1,
        via: Vec::new(),
    }
}

/// Whether events of a hop carry a frame's buffer, but not what it says.
pub fn has_buffer_only(hop: Hop) -> bool {
    hop.user_number().is_some()
}

/// Whether events of a hop carry what the frame says.
pub fn tells(hop: Hop) -> bool {
    matches!(
        hop,
        Hop::TapRx
            | Hop::NicRx
            | Hop::NicStack
            | Hop::BridgeIn
            | Hop::IpIn
            | Hop::IpOut
            | Hop::BridgeOut
            | Hop::NicQueue
            | Hop::NicXmit
            | Hop::TapQueue
            | Hop::TapRing
    )
}
