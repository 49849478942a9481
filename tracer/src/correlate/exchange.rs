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
//! the flow at the guest's tap; of a frame between two guests, at the one that is asked.
//!
//! # TCP
//! One acknowledgement may answer several segments; each is an exchange of its own, and all but the last include the
//! time for which the receiver delayed it (RFC 1122, 4.2.3.2). Segments cut from a super-frame ask for themselves; a
//! super-frame that the NIC cuts up asks as a whole, and the acknowledgement of its last byte answers.
//! Bytes that are sent again can be answered in either sending. Where timestamps are in use the answer echoes that of
//! the segment which caused it (RFC 7323, 4.3), and the sending with that timestamp is the question, as in the Eifel
//! algorithm (RFC 3522). Otherwise both are ambiguous (Karn), counted, and left out.
//!
//! # UDP
//! Who sends first in a flow asks in it, until it has been quiet for 30 s; what the other side sends unasked answers
//! nothing and asks nothing. With several questions outstanding (pipelining) an answer is the one's with whose first 8 bytes of payload it
//! agrees (an echo of any kind), else that with whose first 2 it agrees, if no two questions agree in these: DNS and
//! its kin (RFC 1035, 4.1.1) name a question so. Where neither tells, all outstanding are ambiguous.
//!
//! An echo request that was sent twice is ambiguous as well. A frame that the host dropped neither asks nor answers.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use crate::correlate::{
    Branch, End, Limits, Passage, Rule, Side, Stamp,
    questions::{PATIENCE_NS, Question, Questions, is_doubted},
    recent::Recent,
};

/// How long what a TCP flow has sent means something, ns of event time: nobody sends bytes again later (RFC 6298, 2.5).
const SENT_WITHIN_NS: u64 = 120_000_000_000;

/// What kind of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeKind {
    /// ICMP or ICMPv6 echo.
    Echo,
    /// TCP data and its acknowledgement.
    Tcp,
    /// UDP question and answer.
    Udp,
}

impl ExchangeKind {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ExchangeKind::Echo => "echo",
            ExchangeKind::Tcp => "tcp",
            ExchangeKind::Udp => "udp",
        }
    }
}

/// Who asked whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Initiator {
    /// A guest, to the wire.
    Guest,
    /// A peer on the wire, to a guest.
    Peer,
    /// A guest, to another guest on this host.
    GuestToGuest,
    /// The host itself, to a guest.
    Host,
    /// A guest, to the host itself.
    GuestToHost,
}

impl Initiator {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Initiator::Guest => "guest",
            Initiator::Peer => "peer",
            Initiator::GuestToGuest => "guest to guest",
            Initiator::Host => "host",
            Initiator::GuestToHost => "guest to host",
        }
    }

    fn of(question: Side, answer: Side) -> Option<Initiator> {
        match (question, answer) {
            (Side::Guest(asked), Side::Guest(answered)) if asked != answered => Some(Initiator::GuestToGuest),
            (Side::Guest(_), Side::Wire(_)) => Some(Initiator::Guest),
            (Side::Wire(_), Side::Guest(_)) => Some(Initiator::Peer),
            (Side::Host, Side::Guest(_)) => Some(Initiator::Host),
            (Side::Guest(_), Side::Host) => Some(Initiator::GuestToHost),
            _ => None,
        }
    }
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What kind.
    pub kind: ExchangeKind,
    /// Who asked.
    pub initiator: Initiator,
    /// All hops of question and answer, in order.
    pub stamps: Vec<Stamp>,
    /// Index in `stamps` of the answer's first hop.
    pub turn: usize,
}

impl Exchange {
    /// From the first hop of the question to the last of the answer, ns.
    pub fn total_ns(&self) -> u64 {
        match (self.stamps.first(), self.stamps.last()) {
            (Some(first), Some(last)) => last.time_ns.saturating_sub(first.time_ns),
            _ => 0,
        }
    }
}

/// Counts of questions by kind and by who asked, as far as the question alone tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// No answer came.
    pub unanswered: u64,
    /// The answer could belong to more than one question.
    pub ambiguous: u64,
    /// The question's last hops came after the answer's first and were left out.
    pub overtaken: u64,
}

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
    /// Highest sequence number behind a byte sent, by TCP flow.
    sent: Recent<Key, u32>,
    /// By UDP flow, of either direction: the direction that asks, and when it last did, ns.
    askers: Recent<Key, (u64, u64)>,
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
            outstanding: Questions::new(limits.open),
            sent: Recent::new(limits.open, SENT_WITHIN_NS),
            askers: Recent::new(limits.open, PATIENCE_NS),
            now_ns: 0,
            ready: VecDeque::new(),
            tallies: FxHashMap::default(),
        }
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
        (self.outstanding.evicted, self.sent.evicted + self.askers.evicted)
    }

    /// Counts what is still outstanding as unanswered.
    pub fn finish(&mut self) {
        for (key, question) in self.outstanding.take_all() {
            unanswered(&mut self.tallies, key, question.from);
        }
    }

    fn tally(&mut self, kind: ExchangeKind, from: Side) -> &mut Tally {
        self.tallies.entry((kind, from)).or_default()
    }

    /// Notes a question. One of TCP that repeats bytes takes its place among those that it repeats.
    fn ask(&mut self, key: Key, passage: &Passage, question: Question) {
        // Where it entered the host was not seen: its time is not known.
        if passage.inferred {
            return;
        }
        let (contested, end) = (question.contested, question.end);
        let behind = |known: &Question| !contested || !is_before(end, known.end);
        if let Some((key, old)) = self.outstanding.ask(key, self.now_ns, question, behind) {
            unanswered(&mut self.tallies, key, old.from);
        }
    }

    /// Gives up questions that are too old.
    fn expire(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        while let Some((key, old)) = self.outstanding.expire(self.now_ns) {
            unanswered(&mut self.tallies, key, old.from);
        }
    }

    /// What a flow has outstanding will find no answer: its ports serve a new connection.
    fn give_up(&mut self, key: Key) {
        let all = self.outstanding.with(key, std::mem::take);
        all.into_iter().flatten().for_each(|question| unanswered(&mut self.tallies, key, question.from));
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
        self.ask(key, passage, Question::of(passage, 0, false));
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

    fn tcp(&mut self, passage: &Passage) {
        self.acknowledge(passage);
        let syn_or_fin = (passage.tcp_flags & 0x03).count_ones();
        let length = passage.payload + syn_or_fin;
        if length == 0 || passage.tcp_flags & RST != 0 {
            return;
        }
        let end = passage.seq.wrapping_add(length);
        let key = self.asked(ExchangeKind::Tcp, passage);
        let new_connection = passage.tcp_flags & SYN != 0;
        let repeats = |question: &Question| question.end == end && question.seq == passage.seq;
        // Of a flow that was forgotten nothing tells whether these bytes were sent before.
        let doubted = !new_connection && self.sent.is_doubted(key, self.now_ns);
        let sent = self.sent.entry(key, self.now_ns, || passage.seq);
        let again = if new_connection {
            self.outstanding.get(key).any(repeats)
        } else {
            is_before(passage.seq, *sent)
        };
        if new_connection || is_before(*sent, end) {
            *sent = end;
        }
        if again {
            return self.sent_again(key, passage, end);
        }
        if new_connection {
            self.give_up(key);
        }
        let mut question = Question::of(passage, end, false);
        question.ambiguous |= doubted;
        self.ask(key, passage, question);
    }

    /// Bytes of a flow are sent again. Only timestamps can tell which sending an acknowledgement answers.
    fn sent_again(&mut self, key: Key, passage: &Passage, end: u32) {
        let stamped = passage.timestamps != 0;
        let overlaps =
            |question: &&mut Question| is_before(passage.seq, question.end) && is_before(question.seq, end);
        let overlapped = self.outstanding.with(key, |questions| {
            let repeated = questions.iter_mut().filter(overlaps).map(|question| {
                question.contested = true;
                question.ambiguous |= !stamped;
            });
            repeated.count() > 0
        });
        if overlapped.unwrap_or_default() && stamped {
            self.ask(key, passage, Question::of(passage, end, true));
        }
    }

    /// All outstanding segments of the reverse flow that this one acknowledges are answered by it.
    fn acknowledge(&mut self, answer: &Passage) {
        if answer.tcp_flags & ACK == 0 {
            return;
        }
        let key = self.answered(ExchangeKind::Tcp, answer);
        let questions = self.outstanding.with(key, |questions| {
            let is_answered = |question: &&Question| !is_before(answer.ack, question.end);
            let answered = questions.iter().take_while(is_answered).count();
            questions.drain(..answered).collect::<Vec<Question>>()
        });
        let mut questions = questions.unwrap_or_default();
        if questions.iter().any(|question| question.contested) {
            questions = settle(questions, answer);
        }
        questions.into_iter().for_each(|question| self.pair(ExchangeKind::Tcp, question, answer));
    }

    /// A datagram while the other side owes nothing asks, if it is from the side that asks in this flow. From the other one
    /// it is an answer that came twice, or whose question was not seen.
    fn ask_by_datagram(&mut self, passage: &Passage) {
        let key = self.asked(ExchangeKind::Udp, passage);
        let pair = (key.0, key.1, key.2 & !1);
        let now_ns = passage.start_ns();
        // Of a flow that was forgotten nothing tells which side it was that asks.
        let doubted = self.askers.is_doubted(pair, self.now_ns);
        let (asker, last_ns) = self.askers.entry(pair, self.now_ns, || (key.2, now_ns));
        if last_ns.saturating_add(PATIENCE_NS) < now_ns {
            *asker = key.2;
        }
        if *asker == key.2 {
            *last_ns = now_ns;
            let mut question = Question::of(passage, 0, false);
            question.ambiguous |= doubted;
            self.ask(key, passage, question);
        }
    }

    fn udp(&mut self, passage: &Passage) {
        let key = self.answered(ExchangeKind::Udp, passage);
        let question = self.outstanding.with(key, |questions| {
            let at = named_by(questions, passage);
            if at.is_none() {
                // Any of them may be the one, and so for the answers to come.
                questions.iter_mut().for_each(|question| question.ambiguous = true);
            }
            questions.remove(at.unwrap_or(0))
        });
        match question.flatten() {
            Some(question) => self.pair(ExchangeKind::Udp, question, passage),
            None => self.ask_by_datagram(passage),
        }
    }

    fn pair(&mut self, kind: ExchangeKind, question: Question, answer: &Passage) {
        let Some(initiator) = Initiator::of(question.from, answer.from) else { return };
        let from = question.from;
        if question.ambiguous || is_doubted(answer) {
            self.tally(kind, from).ambiguous += 1;
            return;
        }
        let mut stamps = question.stamps;
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

/// Of bytes that were sent more than once leaves the sendings that the answer's timestamp names; where that names none, or
/// several, all are in doubt.
fn settle(mut questions: Vec<Question>, answer: &Passage) -> Vec<Question> {
    let echoed = answer.timestamps & 0xffff;
    let is_named = |question: &Question| question.contested && question.timestamps >> 16 == echoed;
    let overlap =
        |one: &Question, other: &Question| is_before(one.seq, other.end) && is_before(other.seq, one.end);
    let is_doubted = |question: &Question| {
        let named = questions.iter().filter(|other| is_named(other) && overlap(question, other)).count();
        question.contested && (answer.timestamps == 0 || named != 1)
    };
    let doubted: Vec<bool> = questions.iter().map(is_doubted).collect();
    for (question, doubted) in questions.iter_mut().zip(&doubted) {
        question.ambiguous |= doubted;
    }
    let mut doubted = doubted.into_iter();
    // Of the others, the sending that was not answered goes.
    questions
        .retain(|question| doubted.next().unwrap_or_default() || !question.contested || is_named(question));
    questions
}

/// Which of a flow's outstanding datagrams an answer names: the only one, or the only one with whose payload it agrees.
fn named_by(questions: &VecDeque<Question>, answer: &Passage) -> Option<usize> {
    if questions.len() == 1 {
        return Some(0);
    }
    let only = |agrees: &dyn Fn(u32) -> bool| {
        let mut agreeing = (0..questions.len()).filter(|&at| agrees(questions[at].ack));
        agreeing.next().filter(|_| answer.ack != 0 && agreeing.next().is_none())
    };
    let first_bytes = |ack: u32| ack >> 16;
    let differ = || {
        let known: rustc_hash::FxHashSet<u32> =
            questions.iter().map(|question| first_bytes(question.ack)).collect();
        known.len() == questions.len()
    };
    only(&|ack| ack == answer.ack)
        .or_else(|| only(&|ack| first_bytes(ack) == first_bytes(answer.ack)).filter(|_| differ()))
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

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Whether sequence number `a` comes before `b` (RFC 9293, 3.4).
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}
