//! A passage: one frame's way through the host in one direction.

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
    /// Same content digest.
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
    /// Freed elsewhere: delivered to the host itself, or eaten by something that vmhop does not watch.
    Consumed,
    /// Neither an end nor a drop was seen.
    Unfinished,
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

/// Events of frames that are one with this one: merged into it by GRO, or cut from it by GSO. Its own are stamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Further frames at `nic.rx`.
    pub arrived: u64,
    /// Further segments at `nic.xmit`.
    pub sent: u64,
    /// Further segments at `nic.done`.
    pub done: u64,
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
    /// Flow, as seen on the guest's side where that was seen.
    pub flow: u64,
    /// Content digest.
    pub digest: u64,
    /// TCP or echo sequence number.
    pub seq: u32,
    /// TCP acknowledgement number or echo identifier.
    pub ack: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Bytes of layer 4 payload.
    pub payload: u32,
    /// Bytes of the frame, Ethernet header included.
    pub len: u32,
    /// Whether an event could have belonged to another passage as well.
    pub ambiguous: bool,
    /// Whether it is a copy that a flood made.
    pub branch: bool,
    /// How it ended.
    pub end: End,
    /// Of a dropped one, the code address that dropped it; else 0.
    pub dropped_at: u64,
    /// Of a super-frame, what was joined beyond its own stamps.
    pub parts: Parts,
    /// `skb->head` while alive.
    pub(super) head: u64,
    /// `sk_buff` address while alive.
    pub(super) skb: u64,
}

impl Passage {
    /// A passage that begins with `event`.
    pub(super) fn begin(event: &Event) -> Passage {
        let slot = event.device.unwrap_or_default();
        let from = match event.hop {
            Hop::TapRx => Side::Guest(slot),
            Hop::NicRx | Hop::NicStack => Side::Wire(slot),
            _ => Side::Host,
        };
        let mut passage = Passage {
            stamps: Vec::with_capacity(10),
            from,
            to: Side::Host,
            kind: event.kind,
            flow: event.flow,
            digest: event.digest,
            seq: event.seq,
            ack: event.ack,
            tcp_flags: event.tcp_flags,
            payload: event.payload(),
            len: event.len,
            ambiguous: false,
            branch: false,
            end: End::Unfinished,
            dropped_at: 0,
            parts: Parts::default(),
            head: event.head,
            skb: event.skb,
        };
        passage.add(event, Rule::Birth);
        passage
    }

    /// A passage of which nothing has been seen, for tests.
    #[cfg(test)]
    pub(crate) fn empty(from: Side, to: Side) -> Passage {
        Passage {
            dropped_at: 0,
            stamps: Vec::new(),
            from,
            to,
            kind: None,
            flow: 0,
            digest: 0,
            seq: 0,
            ack: 0,
            tcp_flags: 0,
            payload: 0,
            len: 0,
            ambiguous: false,
            branch: false,
            end: End::Unfinished,
            parts: Parts::default(),
            head: 0,
            skb: 0,
        }
    }

    /// Appends an event that has been found to be this passage's next.
    pub(super) fn add(&mut self, event: &Event, rule: Rule) {
        self.stamps.push(Stamp::of(event, rule));
        let Some(slot) = event.device else { return };
        match event.hop {
            Hop::NicQueue | Hop::NicXmit => self.to = Side::Wire(slot),
            Hop::TapQueue | Hop::TapRing => self.to = Side::Guest(slot),
            _ => {}
        }
        let at_tap = matches!(event.hop, Hop::TapRx | Hop::TapQueue | Hop::TapRing);
        if at_tap && event.kind.is_some() {
            // Behind a NAT the two sides differ; questions and answers are matched as the guest sees them.
            (self.flow, self.seq, self.ack) = (event.flow, event.seq, event.ack);
        }
        self.head = if event.head != 0 { event.head } else { self.head };
    }

    /// Puts a stamp that was known before the first one in front.
    pub(super) fn prepend(&mut self, stamp: Stamp) {
        self.stamps.insert(0, stamp);
    }

    /// Takes back the last stamps that the address alone made, since it has turned out to be another frame's.
    pub(super) fn withdraw_unread(&mut self) {
        let unread = |stamp: &Stamp| stamp.hop == Hop::IpOut || stamp.hop.user_number().is_some();
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
