//! TCP: segments and what acknowledges them.
//!
//! One acknowledgement may answer several segments; each is an exchange of its own, and all but the last include the
//! time for which the receiver delayed it (RFC 1122, 4.2.3.2). Segments cut from a super-frame ask for themselves; a
//! super-frame that the NIC cuts up asks as a whole, and the acknowledgement of its last byte answers.
//! Bytes that are sent again can be answered in either sending. Where timestamps are in use the answer echoes that of
//! the segment which caused it (RFC 7323, 4.3), and the sending with that timestamp is the question, as in the Eifel
//! algorithm (RFC 3522). Otherwise both are ambiguous (Karn), counted, and left out.
//! Where only a part of the frames was recorded, a segment asks only if its first acknowledgement was recorded ([`sampled`](super::sampled)).

use super::{ExchangeKind, Exchanger, Key, Question, sampled::may_be_first, unanswered};
use crate::correlate::Passage;

/// How long what a TCP flow has sent means something, ns of event time: nobody sends bytes again later (`TCP_RTO_MAX`,
/// include/net/tcp.h; RFC 6298, 2.5 asks for at least 60 s).
pub(super) const SENT_WITHIN_NS: u64 = 120_000_000_000;

/// Segments of one flow that may wait for an acknowledgement: a window of 10 Gbit/s over 19 ms.
const ROOM: usize = 1 << 14;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Exchanger {
    pub(super) fn tcp(&mut self, passage: &Passage) {
        self.acknowledge(passage);
        let syn_or_fin = (passage.tcp_flags & 0x03).count_ones();
        let length = passage.payload.saturating_add(syn_or_fin);
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
        if self.sampled.as_ref().is_some_and(|sampled| !sampled.holds_answer(end, passage.start_ns())) {
            return;
        }
        let mut question = Question::of(passage, end, false);
        question.ambiguous |= doubted;
        self.ask(key, passage, question, ROOM, |_| true);
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
            // Among those that it repeats.
            let behind = |known: &Question| !is_before(end, known.end);
            self.ask(key, passage, Question::of(passage, end, true), ROOM, behind);
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
        if self.sampled.is_some() {
            questions.retain(|question| may_be_first(question, answer));
        }
        if questions.iter().any(|question| question.contested) {
            questions = settle(questions, answer);
        }
        questions.into_iter().for_each(|question| self.pair(ExchangeKind::Tcp, question, answer));
    }

    /// What a flow has outstanding will find no answer: its ports serve a new connection.
    fn give_up(&mut self, key: Key) {
        let all = self.outstanding.with(key, std::mem::take);
        all.into_iter().flatten().for_each(|question| unanswered(&mut self.tallies, key, question.from));
    }
}

/// Of bytes that were sent more than once leaves the sendings that the answer's timestamp names; where that names none, or
/// several, all are in doubt.
fn settle(mut questions: Vec<Question>, answer: &Passage) -> Vec<Question> {
    let echoed = answer.timestamps & 0xffff;
    let is_named = |question: &Question| question.contested && question.timestamps >> 16 == echoed;
    let overlap =
        |one: &Question, other: &Question| is_before(one.seq, other.end) && is_before(other.seq, one.end);
    let is_doubted = |question: &Question| {
        let named = || questions.iter().filter(|other| is_named(other) && overlap(question, other)).count();
        question.contested && (answer.timestamps == 0 || named() != 1)
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

/// Whether sequence number `a` comes before `b` (RFC 9293, 3.4).
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}
