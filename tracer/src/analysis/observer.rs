//! Who wants to see more than the report: what it is made of, on its way through the analysis.

use crate::{
    correlate::{Passage, exchange::Exchange},
    decode::Event,
    recording::Note,
};

/// Sees a recording's events and notes in the order of its rows, its passages and exchanges as soon as they are over.
pub trait Observer {
    /// A hop event, before it is put in order.
    fn event(&mut self, _event: &Event) {}
    /// A note.
    fn note(&mut self, _note: &Note) {}
    /// A passage that is over, in the order of their beginnings.
    fn passage(&mut self, _passage: &Passage) {}
    /// An exchange, in the order of the answers.
    fn exchange(&mut self, _exchange: &Exchange) {}
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Who wants the exchanges alone.
#[derive(Clone, Copy, Debug)]
pub struct EachExchange<F>(pub F);

impl<F: FnMut(&Exchange)> Observer for EachExchange<F> {
    fn exchange(&mut self, exchange: &Exchange) {
        (self.0)(exchange);
    }
}
