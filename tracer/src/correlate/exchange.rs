//! Exchanges: a question's passage with the passage of its answer.
//!
//! | kind | question | answer |
//! | --- | --- | --- |
//! | echo | echo request | echo reply of the reverse flow with the same sequence number |
//! | tcp | a segment with payload, SYN or FIN | the first segment of the reverse flow that acknowledges its end |
//! | udp | a datagram while the other side owes nothing | the next datagram of the reverse flow |
//!
//! One acknowledgement may answer several segments; each is an exchange of its own, and all but the last
//! include the time for which the receiver delayed it (RFC 1122, 4.2.3.2). Retransmitted bytes are ambiguous
//! (Karn): such questions are counted and left out, as are a UDP flow's with several questions outstanding and
//! an echo request that was sent twice. A frame that the host dropped neither asks nor answers.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tracer_common::{frame::Kind, hop::Hop};

use crate::correlate::{End, Passage, Rule, Side, Stamp};

/// Questions that one flow may have outstanding; older ones count as unanswered.
const MAX_OUTSTANDING: usize = 1024;
/// Event time after which a question counts as unanswered, ns.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Flows with outstanding questions; beyond, all are given up.
const MAX_FLOWS: usize = 1 << 16;

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

    fn of(question: &Passage, answer: &Passage) -> Option<Initiator> {
        match (question.from, answer.from) {
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

struct Question {
    passage: Passage,
    /// TCP: sequence number behind its last byte.
    end: u32,
    ambiguous: bool,
}

/// Pairs passages, which must come in the order of their beginnings.
#[derive(Default)]
pub struct Exchanger {
    outstanding: FxHashMap<(ExchangeKind, u64), VecDeque<Question>>,
    /// Highest sequence number behind a byte sent, by TCP flow.
    sent: FxHashMap<u64, u32>,
    ready: VecDeque<Exchange>,
    /// Counts by kind and the side that asked.
    pub tallies: FxHashMap<(ExchangeKind, Side), Tally>,
}

impl Exchanger {
    /// Takes the next passage.
    pub fn push(&mut self, passage: &Passage) {
        let useful = !passage.branch && !matches!(passage.end, End::Branched | End::Evicted);
        if useful && is_lost(passage) {
            return self.lost(passage);
        }
        let Some(kind) = passage.kind.filter(|_| useful) else { return };
        self.expire(passage.flow, passage.start_ns());
        match kind {
            Kind::EchoRequest => self.ask(ExchangeKind::Echo, passage, 0),
            Kind::EchoReply => self.echo_reply(passage),
            Kind::Tcp => self.tcp(passage),
            Kind::Udp => self.udp(passage),
            _ => {}
        }
    }

    /// The next exchange.
    pub fn poll(&mut self) -> Option<Exchange> {
        self.ready.pop_front()
    }

    /// Counts what is still outstanding as unanswered.
    pub fn finish(&mut self) {
        for ((kind, _), questions) in std::mem::take(&mut self.outstanding) {
            for question in questions {
                self.tally(kind, &question.passage).unanswered += 1;
            }
        }
    }

    fn tally(&mut self, kind: ExchangeKind, question: &Passage) -> &mut Tally {
        self.tallies.entry((kind, question.from)).or_default()
    }

    fn ask(&mut self, kind: ExchangeKind, passage: &Passage, end: u32) {
        if self.outstanding.len() > MAX_FLOWS {
            self.finish();
        }
        let questions = self.outstanding.entry((kind, passage.flow)).or_default();
        questions.push_back(Question { passage: passage.clone(), end, ambiguous: passage.ambiguous });
        if questions.len() > MAX_OUTSTANDING
            && let Some(old) = questions.pop_front()
        {
            self.tally(kind, &old.passage).unanswered += 1;
        }
    }

    /// Gives up questions of both directions of a flow that are too old.
    fn expire(&mut self, flow: u64, now_ns: u64) {
        for kind in [ExchangeKind::Echo, ExchangeKind::Tcp, ExchangeKind::Udp] {
            for key in [(kind, flow), (kind, flow ^ 1)] {
                let is_old = |question: &Question| question.passage.start_ns() + PATIENCE_NS < now_ns;
                while let Some(questions) = self.outstanding.get_mut(&key)
                    && questions.front().is_some_and(is_old)
                    && let Some(old) = questions.pop_front()
                {
                    self.tally(kind, &old.passage).unanswered += 1;
                }
            }
        }
    }

    /// What a flow has outstanding will find no answer: its ports serve a new connection.
    fn give_up(&mut self, kind: ExchangeKind, flow: u64) {
        for question in self.outstanding.remove(&(kind, flow)).unwrap_or_default() {
            self.tally(kind, &question.passage).unanswered += 1;
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
        self.tally(kind, passage).unanswered += 1;
    }

    fn echo_reply(&mut self, answer: &Passage) {
        let key = (ExchangeKind::Echo, answer.flow ^ 1);
        let Some(questions) = self.outstanding.get_mut(&key) else { return };
        let asks = |question: &Question| question.passage.seq == answer.seq;
        let asked = questions.iter().filter(|question| asks(question)).count();
        let Some(at) = questions.iter().position(asks) else { return };
        let Some(mut question) = questions.remove(at) else { return };
        question.ambiguous |= asked > 1;
        self.pair(ExchangeKind::Echo, question, answer);
    }

    fn tcp(&mut self, passage: &Passage) {
        self.acknowledge(passage);
        let syn_or_fin = (passage.tcp_flags & 0x03).count_ones();
        let length = passage.payload + syn_or_fin;
        if length == 0 || passage.tcp_flags & RST != 0 {
            return;
        }
        let end = passage.seq.wrapping_add(length);
        let sent = self.sent.entry(passage.flow).or_insert(passage.seq);
        let new_connection = passage.tcp_flags & SYN != 0;
        let repeats = |question: &Question| question.end == end && question.passage.seq == passage.seq;
        let asked = self.outstanding.get(&(ExchangeKind::Tcp, passage.flow));
        let again = if new_connection {
            asked.is_some_and(|questions| questions.iter().any(repeats))
        } else {
            is_before(passage.seq, *sent)
        };
        if new_connection || is_before(*sent, end) {
            *sent = end;
        }
        if self.sent.len() > MAX_FLOWS {
            self.sent.clear();
        }
        if !again {
            if new_connection {
                self.give_up(ExchangeKind::Tcp, passage.flow);
            }
            return self.ask(ExchangeKind::Tcp, passage, end);
        }
        // Karn: neither sending of these bytes can be told from the other by the acknowledgement.
        if let Some(questions) = self.outstanding.get_mut(&(ExchangeKind::Tcp, passage.flow)) {
            let overlaps = |question: &&mut Question| is_before(passage.seq, question.end);
            questions.iter_mut().filter(overlaps).for_each(|question| question.ambiguous = true);
        }
    }

    /// All outstanding segments of the reverse flow that this one acknowledges are answered by it.
    fn acknowledge(&mut self, answer: &Passage) {
        if answer.tcp_flags & ACK == 0 {
            return;
        }
        let key = (ExchangeKind::Tcp, answer.flow ^ 1);
        while let Some(questions) = self.outstanding.get_mut(&key)
            && questions.front().is_some_and(|question| !is_before(answer.ack, question.end))
            && let Some(question) = questions.pop_front()
        {
            self.pair(ExchangeKind::Tcp, question, answer);
        }
    }

    fn udp(&mut self, passage: &Passage) {
        let key = (ExchangeKind::Udp, passage.flow ^ 1);
        let questions = self.outstanding.get_mut(&key).filter(|questions| !questions.is_empty());
        let Some(questions) = questions else { return self.ask(ExchangeKind::Udp, passage, 0) };
        if questions.len() > 1 {
            // Any of them may be the one, and so for the answers to come.
            questions.iter_mut().for_each(|question| question.ambiguous = true);
        }
        if let Some(question) = questions.pop_front() {
            self.pair(ExchangeKind::Udp, question, passage);
        }
    }

    fn pair(&mut self, kind: ExchangeKind, question: Question, answer: &Passage) {
        let Some(initiator) = Initiator::of(&question.passage, answer) else { return };
        if question.ambiguous || answer.ambiguous {
            self.tally(kind, &question.passage).ambiguous += 1;
            return;
        }
        let mut stamps = question.passage.stamps.clone();
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
        self.tally(kind, &question.passage).overtaken += u64::from(stamps.len() < before);
        if stamps.last().is_some_and(|last| last.time_ns > answered_ns) {
            // What began before the question was through answers another: one that was sent before, and not seen.
            self.tally(kind, &question.passage).ambiguous += 1;
            return;
        }
        let turn = stamps.len();
        stamps.extend(answered);
        self.ready.push_back(Exchange { kind, initiator, stamps, turn });
    }
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
