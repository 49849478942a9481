//! A passage: one frame's way through the host in one direction.

use std::mem;

use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use crate::decode::Event;

/// How an event was joined to its passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// First of its passage.
    Birth,
    /// Same `sk_buff`, within its life.
    Pointer,
    /// Same `skb->head`: a clone.
    Head,
    /// Same content digest; at `ip.out` same `sk_buff` and content, whatever its buffer is by then.
    Content,
    /// Inside the byte range of a super-frame.
    Range,
    /// Same thread, nearest in order.
    Thread,
    /// Same CPU, nearest in order.
    Cpu,
}

impl Rule {
    /// Every rule.
    pub const ALL: &'static [Rule] =
        &[Rule::Birth, Rule::Pointer, Rule::Head, Rule::Content, Rule::Range, Rule::Thread, Rule::Cpu];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::Birth => "birth",
            Rule::Pointer => "pointer",
            Rule::Head => "head",
            Rule::Content => "content",
            Rule::Range => "range",
            Rule::Thread => "thread",
            Rule::Cpu => "cpu",
        }
    }
}

/// One hop of a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Where.
    pub hop: Hop,
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// By which hook.
    pub hook: Hook,
    /// How it was joined.
    pub rule: Rule,
}

impl Stamp {
    /// The event's hop and time.
    pub fn of(event: &Event, rule: Rule) -> Stamp {
        Stamp { hop: event.hop, time_ns: event.time_ns, hook: event.hook, rule }
    }
}

/// How a passage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Seen to its last hop.
    Done,
    /// Dropped by the kernel: reason code and slot of the device it belonged to.
    Dropped {
        /// `enum skb_drop_reason`.
        reason: u32,
        /// Slot.
        device: Option<u8>,
    },
    /// All its copies went on as branches; the original was freed.
    Branched,
    /// A super-frame that was cut into segments, which went on as branches.
    Cut,
    /// Freed elsewhere: delivered to the host itself, or eaten by something that vmhop does not watch.
    Consumed,
    /// Neither an end nor a drop was seen.
    Unfinished,
    /// The recording ended while it was on its way.
    Open,
    /// Given up because too many were open.
    Evicted,
}

/// Which end of the host's virtual network a frame comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// A guest, by the slot of its tap.
    Guest(u8),
    /// The wire, by the slot of the NIC.
    Wire(u8),
    /// The host itself.
    Host,
}

/// What a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// A copy that a flood made.
    Copy,
    /// A segment that was cut from a super-frame.
    Segment,
}

/// One frame's way through the host in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its hops in the order of their time.
    pub stamps: Vec<Stamp>,
    /// Where it came from.
    pub from: Side,
    /// Where it went, as far as seen.
    pub to: Side,
    /// What the frame is; `None` where no header was read.
    pub kind: Option<Kind>,
    /// Flow as it began; a NAT may change it on the way.
    pub flow: u64,
    /// Flow as last seen.
    pub flow_to: u64,
    /// Content digest.
    pub digest: u64,
    /// [`Frame::seq`](tracer_common::frame::Frame::seq), as seen on the guest's side where that was seen.
    pub seq: u32,
    /// [`Frame::ack`](tracer_common::frame::Frame::ack), as `seq`.
    pub ack: u32,
    /// TCP's timestamps, [`Frame::stamps`](tracer_common::frame::Frame::stamps); 0 where not read.
    pub timestamps: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Bytes of layer 4 payload.
    pub payload: u32,
    /// Bytes of the frame, Ethernet header included.
    pub len: u32,
    /// Whether an event could have belonged to another passage as well.
    pub ambiguous: bool,
    /// Of a super-frame the payload of one segment on the wire, bytes; 0: it is none, or that was not read.
    pub gso_size: u16,
    /// Segments of it that were seen, if the kernel cut it.
    pub segments: u32,
    /// A super-frame that was cut before the queue of the device it left by, or a segment of one; as far as segments that
    /// were seen tell.
    pub cut_early: bool,
    /// Whether it came or went in a tunnel.
    pub tunnelled: bool,
    /// What it branched off another passage as; its first `shared` stamps are that one's too.
    pub branch: Option<Branch>,
    /// How many stamps it shares.
    pub shared: usize,
    /// How it ended.
    pub end: End,
    /// Of a dropped one, the code address that dropped it; else 0.
    pub dropped_at: u64,
    /// Whether where it came from was not seen, but is known of others of its flow.
    pub inferred: bool,
    /// Whether it was seen at no tap, though others of its flow, or of the reverse one, came from a guest.
    pub of_guest: bool,
    /// Whether GRO merged others into it, seen or not.
    pub grew: bool,
    /// Stamps of the frames that GRO merged into it, but for its own.
    pub merged: Vec<Vec<Stamp>>,
    /// `skb->head` while alive.
    pub(super) head: u64,
    /// `sk_buff` address while alive.
    pub(super) skb: u64,
}

impl Default for Passage {
    /// One of which nothing has been seen.
    fn default() -> Passage {
        Passage {
            stamps: Vec::new(),
            from: Side::Host,
            to: Side::Host,
            kind: None,
            flow: 0,
            flow_to: 0,
            digest: 0,
            seq: 0,
            ack: 0,
            timestamps: 0,
            tcp_flags: 0,
            payload: 0,
            len: 0,
            ambiguous: false,
            gso_size: 0,
            segments: 0,
            cut_early: false,
            tunnelled: false,
            branch: None,
            shared: 0,
            end: End::Unfinished,
            dropped_at: 0,
            inferred: false,
            of_guest: false,
            grew: false,
            merged: Vec::new(),
            head: 0,
            skb: 0,
        }
    }
}

impl Passage {
    /// Makes an empty one a passage that begins with `event`.
    pub(super) fn begin(&mut self, event: &Event) {
        let slot = event.device.unwrap_or_default();
        let from = match event.hop {
            Hop::TapRx => Side::Guest(slot),
            Hop::NicRx | Hop::NicStack => Side::Wire(slot),
            _ => Side::Host,
        };
        *self = Passage {
            stamps: mem::take(&mut self.stamps),
            from,
            kind: event.kind,
            flow: event.flow,
            flow_to: event.flow,
            digest: event.digest,
            seq: event.seq,
            ack: event.ack,
            timestamps: event.stamps,
            tcp_flags: event.tcp_flags,
            payload: event.payload(),
            len: event.len,
            gso_size: event.gso_size,
            tunnelled: event.tunnelled,
            merged: mem::take(&mut self.merged),
            head: event.head,
            skb: event.skb,
            ..Passage::default()
        };
        self.add(event, Rule::Birth);
    }

    /// A passage of which nothing has been seen, for tests.
    #[cfg(test)]
    pub(crate) fn empty(from: Side, to: Side) -> Passage {
        Passage { from, to, ..Passage::default() }
    }

    /// Appends an event that has been found to be this passage's next.
    pub(super) fn add(&mut self, event: &Event, rule: Rule) {
        self.stamps.push(Stamp::of(event, rule));
        if event.kind.is_some() {
            self.read(event);
        }
        self.head = if event.head != 0 { event.head } else { self.head };
        let Some(slot) = event.device else { return };
        match event.hop {
            Hop::NicQueue | Hop::NicXmit => self.to = Side::Wire(slot),
            Hop::TapQueue | Hop::TapRing => self.to = Side::Guest(slot),
            _ => {}
        }
    }

    /// Takes over what an event says of the frame here.
    fn read(&mut self, event: &Event) {
        self.flow_to = event.flow;
        if matches!(event.hop, Hop::TapQueue | Hop::TapRing) {
            // Behind a NAT the two sides differ; questions and answers are matched as the guest sees them.
            (self.seq, self.ack) = (event.seq, event.ack);
        }
        if event.stamps != 0 {
            self.timestamps = event.stamps;
        }
        self.gso_size = self.gso_size.max(event.gso_size);
        self.tunnelled |= event.tunnelled;
    }

    /// Makes an empty one a copy of `parent` that goes another way, and shares its way so far.
    pub(super) fn copy(&mut self, parent: &Passage, shared: impl Fn(&&Stamp) -> bool, event: &Event) {
        self.stamps.extend(parent.stamps.iter().filter(shared));
        *self = Passage {
            branch: Some(Branch::Copy),
            shared: self.stamps.len(),
            stamps: mem::take(&mut self.stamps),
            merged: mem::take(&mut self.merged),
            skb: event.skb,
            ..*parent
        };
        self.add(event, Rule::Head);
    }

    /// Makes an empty one the part of `whole` that is a segment, which shares its way so far.
    pub(super) fn segment(&mut self, whole: &Passage, event: &Event) {
        self.stamps.extend(&whole.stamps);
        *self = Passage {
            stamps: mem::take(&mut self.stamps),
            merged: mem::take(&mut self.merged),
            branch: Some(Branch::Segment),
            shared: whole.stamps.len(),
            digest: event.digest,
            tcp_flags: event.tcp_flags,
            payload: event.payload(),
            len: event.len,
            gso_size: 0,
            skb: event.skb,
            seq: event.seq,
            ..*whole
        };
        self.add(event, Rule::Range);
    }

    /// The flow that its answer, or what it answers, has on the side where it ends: a guest's where it has one.
    pub fn flow_as_question(&self) -> u64 {
        if matches!(self.to, Side::Guest(_)) { self.flow_to } else { self.flow }
    }

    /// The flow by which what it answers is known.
    pub fn flow_as_answer(&self) -> u64 {
        if matches!(self.from, Side::Guest(_)) { self.flow } else { self.flow_to }
    }

    /// Whether it was seen at a tap.
    pub(super) fn is_at_guest(&self) -> bool {
        matches!(self.from, Side::Guest(_)) || matches!(self.to, Side::Guest(_))
    }

    /// Frames on the wire that it stands for.
    pub fn wire_frames(&self) -> u64 {
        let by_size = match self.gso_size {
            0 => 1,
            size => self.payload.div_ceil(u32::from(size)).max(1),
        };
        u64::from(by_size).max(self.merged.len() as u64 + 1)
    }

    /// Puts a stamp that was known before the first one in front.
    pub(super) fn prepend(&mut self, stamp: Stamp) {
        self.stamps.insert(0, stamp);
    }

    /// Takes back the last stamps that the address alone made, since it has turned out to be another frame's.
    pub(super) fn withdraw_unread(&mut self) {
        let unread = |stamp: &Stamp| {
            stamp.hop.user_number().is_some() || (stamp.hop == Hop::IpOut && stamp.rule == Rule::Pointer)
        };
        while self.stamps.pop_if(|stamp| unread(stamp)).is_some() {}
    }

    /// The last hop so far.
    pub fn last_hop(&self) -> Hop {
        self.stamps.last().map_or(Hop::SkbFree, |stamp| stamp.hop)
    }

    /// How far on its way it is ([`Hop::stage`]). Hops of the user's are somewhere between tap and NIC.
    pub fn stage(&self) -> u8 {
        let own = self.stamps.iter().rev().find(|stamp| stamp.hop.user_number().is_none());
        own.map_or(0, |stamp| stamp.hop.stage())
    }

    /// How far it had come when it branched off; 0 where it did not.
    pub fn shared_stage(&self) -> u8 {
        let shared = self.stamps[..self.shared].iter().rev();
        shared
            .filter(|stamp| stamp.hop.user_number().is_none())
            .map(|stamp| stamp.hop.stage())
            .max()
            .unwrap_or(0)
    }

    /// Whether `hop` can be its next.
    pub(super) fn goes_on_at(&self, hop: Hop) -> bool {
        match hop.user_number() {
            // Before it is in the stack, GRO may still make it part of another.
            Some(_) => {
                let in_stack = Hop::TapRx.stage()..Hop::NicQueue.stage();
                in_stack.contains(&self.stage()) && self.time_at(hop).is_none()
            }
            // The host's own frames leave IP too; only what was forwarded has entered there.
            None if hop == Hop::IpOut => self.time_at(Hop::IpIn).is_some() && self.stage() < hop.stage(),
            None => self.stage() < hop.stage(),
        }
    }

    /// Time of the first hop, ns.
    pub fn start_ns(&self) -> u64 {
        self.stamps.first().map_or(0, |stamp| stamp.time_ns)
    }

    /// When it passed `hop`, ns.
    pub fn time_at(&self, hop: Hop) -> Option<u64> {
        self.stamps.iter().find(|stamp| stamp.hop == hop).map(|stamp| stamp.time_ns)
    }
}
