//! UDP: datagrams and their answers.
//!
//! Who sends first in a flow asks in it, until it has been quiet for 30 s; what the other side sends unasked answers
//! nothing and asks nothing. With several questions outstanding (pipelining) an answer is the one's with whose first
//! 8 bytes of payload it agrees (an echo of any kind), else that with whose first 2 it agrees, if no two questions agree
//! in these: DNS and its kin (RFC 1035, 4.1.1) name a question so. Where neither tells, all outstanding are ambiguous.

use std::collections::VecDeque;

use super::{ExchangeKind, Exchanger, Question};
use crate::correlate::Passage;

/// Event time after which a datagram counts as unanswered, ns: who asks by UDP asks again by then (RFC 1035, 4.2.1).
pub(super) const PATIENCE_NS: u64 = 5_000_000_000;
/// Event time after which a flow may be another one, in which the other side asks, ns.
pub(super) const QUIET_NS: u64 = 30_000_000_000;
/// Datagrams of one flow that may wait for an answer.
const ROOM: usize = 1024;

/// Which direction of a flow asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    flow: u64,
    /// When it last did, ns.
    last_ns: u64,
    /// Whether it may have been the other one: the flow had been forgotten.
    doubted: bool,
}

impl Exchanger {
    /// A datagram while the other side owes nothing asks, if it is from the side that asks in this flow. From the other one
    /// it is an answer that came twice, or whose question was not seen.
    fn ask_by_datagram(&mut self, passage: &Passage) {
        let key = self.asked(ExchangeKind::Udp, passage);
        let pair = (key.0, key.1, key.2 & !1);
        let now_ns = passage.start_ns();
        // Of a flow that was forgotten nothing tells which side it was that asks.
        let doubted = self.askers.is_doubted(pair, self.now_ns);
        let new = |doubted| Asker { flow: key.2, last_ns: now_ns, doubted };
        let asker = self.askers.entry(pair, self.now_ns, || new(doubted));
        if asker.last_ns.saturating_add(QUIET_NS) < now_ns {
            *asker = new(false);
        }
        if asker.flow == key.2 {
            asker.last_ns = now_ns;
            let mut question = Question::of(passage, 0, false);
            question.ambiguous |= asker.doubted;
            self.ask(key, passage, question, ROOM, |_| true);
        }
    }

    pub(super) fn udp(&mut self, passage: &Passage) {
        let key = self.answered(ExchangeKind::Udp, passage);
        let question = self.datagrams.with(key, |questions| {
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
