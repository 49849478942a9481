//! Exchanges: a question's passage with the passage of its answer.
//!
//! | kind | question | answer |
//! | --- | --- | --- |
//! | echo | echo request | echo reply of the reverse flow with the same sequence number |
//! | tcp | a segment with payload, SYN or FIN | the first segment of the reverse flow that acknowledges its end |
//! | udp | a datagram while the other side owes nothing | the next datagram of the reverse flow, or the one that names it |
//!
//! # Whose flow
//! A flow is that of a guest, as the guest sees it: behind a NAT the two sides of the host see different ones, and two
//! networks may use the same addresses. So both are part of what must agree: the guests at the ends of the way, and
//! the flow at the guest's tap; of a frame between two guests, at the one that is asked. What passes a NIC and was at no tap is
//! the host's own, unless others of its flow were at one.
//!
//! TCP's rules are in [`tcp`], UDP's in [`udp`]. An echo request that was sent twice is ambiguous as well. A frame that
//! the host dropped neither asks nor answers.

mod kinds;
mod questions;
mod sampled;
mod tcp;
mod udp;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

pub use self::{
    kinds::{Exchange, ExchangeKind, Initiator, Tally},
    sampled::{NOTICE_NS, SampledFrames},
};
use self::{
    questions::{Question, Questions, is_doubted},
    tcp::{FIN, SENT_WITHIN_NS, SYN},
    udp::Asker,
};
use crate::correlate::{Branch, End, Limits, Passage, Rule, Side, Stamp, recent::Recent};

/// Event time after which an echo request or a segment counts as unanswered, ns.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Echo requests of one flow that may wait for their replies.
const ROOM: usize = 1024;

/// The guests at the ends of a way, in either direction: by VM, or by the slot of a tap whose VM is not known.
type Guests = (u16, u16);

/// Stands for no guest.
const NO_GUEST: u16 = u16::MAX;

/// What a question and its answer agree in.
type Key = (ExchangeKind, Guests, u64);

/// Pairs passages, which must come in the order of their beginnings.
pub struct Exchanger {
    /// Slot of a tap → VM.
    vm_of_tap: FxHashMap<u8, usize>,
    outstanding: Questions<Key>,
    /// The same of UDP, much of which is never answered.
    datagrams: Questions<Key>,
    /// Highest sequence number behind a byte sent, by TCP flow.
    sent: Recent<Key, u32>,
    /// By UDP flow, of either direction: which direction asks.
    askers: Recent<Key, Asker>,
    /// Which frames were recorded, if not all.
    pub sampled: Option<SampledFrames>,
    now_ns: u64,
    ready: VecDeque<Exchange>,
    /// Counts by kind and the side that asked.
    pub tallies: FxHashMap<(ExchangeKind, Side), Tally>,
}

impl Default for Exchanger {
    fn default() -> Exchanger {
        Exchanger::new(Limits::default(), FxHashMap::default())
    }
}

impl Exchanger {
    /// An exchanger for a host on which these taps (by slot) are of these VMs.
    pub fn new(limits: Limits, vm_of_tap: FxHashMap<u8, usize>) -> Exchanger {
        Exchanger {
            vm_of_tap,
            outstanding: Questions::new(limits.open, PATIENCE_NS),
            datagrams: Questions::new((limits.open / 4).max(1), udp::PATIENCE_NS),
            sent: Recent::new(limits.open, SENT_WITHIN_NS),
            askers: Recent::new(limits.open, udp::QUIET_NS),
            sampled: None,
            now_ns: 0,
            ready: VecDeque::new(),
            tallies: FxHashMap::default(),
        }
    }

    /// These are the taps now, by slot, and the VMs that they are of.
    pub fn meet(&mut self, vm_of_tap: FxHashMap<u8, usize>) {
        self.vm_of_tap = vm_of_tap;
    }

    /// Takes the next passage.
    pub fn push(&mut self, passage: &Passage) {
        let whole = !matches!(passage.end, End::Branched | End::Cut);
        let useful = passage.branch != Some(Branch::Copy) && whole;
        if useful && is_lost(passage) {
            return self.lost(passage);
        }
        let Some(kind) = passage.kind.filter(|_| useful) else { return };
        self.expire(passage.start_ns());
        match kind {
            Kind::EchoRequest => self.echo_request(passage),
            Kind::EchoReply => self.echo_reply(passage),
            Kind::Tcp => self.tcp(passage),
            Kind::Udp => self.udp(passage),
            _ => {}
        }
    }

    fn guests(&self, passage: &Passage) -> Guests {
        let guest = |side: Side| match side {
            Side::Guest(slot) => {
                self.vm_of_tap.get(&slot).map_or(0x8000 | u16::from(slot), |vm| *vm as u16 & 0x7fff)
            }
            Side::Wire(_) | Side::Host => NO_GUEST,
        };
        let (from, to) = (guest(passage.from), guest(passage.to));
        (from.min(to), from.max(to))
    }

    /// What the answer to this passage will ask for.
    fn asked(&self, kind: ExchangeKind, passage: &Passage) -> Key {
        (kind, self.guests(passage), passage.flow_as_question())
    }

    /// What the question had that this passage answers.
    fn answered(&self, kind: ExchangeKind, passage: &Passage) -> Key {
        (kind, self.guests(passage), passage.flow_as_answer() ^ 1)
    }

    /// The next exchange.
    pub fn poll(&mut self) -> Option<Exchange> {
        self.ready.pop_front()
    }

    /// What was given up for want of room: questions, and flows of which too little is known since.
    pub fn evicted(&self) -> (u64, u64) {
        (self.outstanding.evicted + self.datagrams.evicted, self.sent.evicted + self.askers.evicted)
    }

    /// Counts what is still outstanding as unanswered.
    pub fn finish(&mut self) {
        for (key, question) in self.outstanding.take_all().chain(self.datagrams.take_all()) {
            unanswered(&mut self.tallies, key, question.from);
        }
    }

    fn tally(&mut self, kind: ExchangeKind, from: Side) -> &mut Tally {
        self.tallies.entry((kind, from)).or_default()
    }

    /// Notes a question of a flow of which `room` may wait, behind those for which `behind` holds.
    fn ask(
        &mut self,
        key: Key,
        passage: &Passage,
        question: Question,
        room: usize,
        behind: impl Fn(&Question) -> bool,
    ) {
        // Where it entered the host was not seen: its time is not known.
        if passage.inferred {
            return;
        }
        let questions = if key.0 == ExchangeKind::Udp { &mut self.datagrams } else { &mut self.outstanding };
        if let Some(key) = questions.ask(key, self.now_ns, question, room, behind)
            && key.0 == ExchangeKind::Udp
        {
            // Its answer may yet come, and could be that of any that wait.
            questions.with(key, |waiting| {
                let others = waiting.iter_mut().rev().take_while(|question| !question.ambiguous);
                others.for_each(|question| question.ambiguous = true);
            });
        }
    }

    /// Gives up questions that are too old.
    fn expire(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        while let Some((key, old)) =
            self.outstanding.expire(self.now_ns).or_else(|| self.datagrams.expire(self.now_ns))
        {
            unanswered(&mut self.tallies, key, old.from);
        }
    }

    /// A frame that the host dropped asks nothing that can be answered, and answers nothing.
    fn lost(&mut self, passage: &Passage) {
        let kind = match passage.kind {
            Some(Kind::EchoRequest) => ExchangeKind::Echo,
            Some(Kind::Tcp) if passage.payload > 0 || passage.tcp_flags & (SYN | FIN) != 0 => {
                ExchangeKind::Tcp
            }
            _ => return,
        };
        self.tally(kind, passage.from).unanswered += 1;
    }

    fn echo_request(&mut self, passage: &Passage) {
        let key = self.asked(ExchangeKind::Echo, passage);
        self.ask(key, passage, Question::of(passage, 0, false), ROOM, |_| true);
    }

    fn echo_reply(&mut self, answer: &Passage) {
        let key = self.answered(ExchangeKind::Echo, answer);
        let asks = |question: &Question| question.seq == answer.seq;
        let question = self.outstanding.with(key, |questions| {
            let asked = questions.iter().filter(|question| asks(question)).count();
            let mut question = questions.remove(questions.iter().position(asks)?)?;
            question.ambiguous |= asked > 1;
            Some(question)
        });
        question.flatten().into_iter().for_each(|question| self.pair(ExchangeKind::Echo, question, answer));
    }

    fn pair(&mut self, kind: ExchangeKind, question: Question, answer: &Passage) {
        let Some(initiator) = Initiator::of(question.from, answer.from) else { return };
        let of_host = matches!(initiator, Initiator::HostToPeer | Initiator::PeerToHost);
        if of_host && (question.of_guest || answer.of_guest) {
            // A guest's, of which too little was seen to say more.
            return;
        }
        let from = question.from;
        if question.ambiguous || is_doubted(answer) {
            self.tally(kind, from).ambiguous += 1;
            return;
        }
        let mut stamps = Vec::with_capacity(question.stamps.len() + answer.stamps.len());
        stamps.extend_from_slice(&question.stamps);
        // What had the answer's thread running before the question was through was not the question.
        let asked_ns = last_before_done(&stamps);
        let is_idle = |stamp: &&Stamp| stamp.rule == Rule::Thread && stamp.time_ns < asked_ns;
        let idle = answer.stamps.iter().take_while(is_idle).count();
        let answered = &answer.stamps[idle..];
        let answered_ns = answered.first().map_or(u64::MAX, |stamp| stamp.time_ns);
        // The driver may be done with a question only after its answer has come, and a guest that polls may answer
        // before the interrupt that was to tell it: that bounds nothing.
        let before = stamps.len();
        stamps.retain(|stamp| !may_be_overtaken(stamp.hop) || stamp.time_ns <= answered_ns);
        self.tally(kind, from).overtaken += u64::from(stamps.len() < before);
        if stamps.last().is_some_and(|last| last.time_ns > answered_ns) {
            // What began before the question was through answers another: one that was sent before, and not seen.
            self.tally(kind, from).ambiguous += 1;
            return;
        }
        let turn = stamps.len();
        stamps.extend(answered);
        self.ready.push_back(Exchange { kind, initiator, stamps, turn });
    }
}

/// Counts a question that no answer came to.
fn unanswered(tallies: &mut FxHashMap<(ExchangeKind, Side), Tally>, key: Key, from: Side) {
    tallies.entry((key.0, from)).or_default().unanswered += 1;
}

/// Hops behind those that a frame must have passed to be answered.
fn may_be_overtaken(hop: Hop) -> bool {
    matches!(hop, Hop::NicDone | Hop::VmmIrq | Hop::VcpuEnter)
}

/// Time of a question's last hop that it must have passed to be answered.
fn last_before_done(stamps: &[Stamp]) -> u64 {
    stamps.iter().rfind(|stamp| !may_be_overtaken(stamp.hop)).map_or(0, |stamp| stamp.time_ns)
}

/// Whether the host dropped a frame before it was through. What is dropped behind the driver may be the far end
/// of a pair of virtual devices, which took it.
fn is_lost(passage: &Passage) -> bool {
    matches!(passage.end, End::Dropped { .. }) && passage.last_hop() != Hop::NicXmit
}
