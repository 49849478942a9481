//! A value for each span that occurs. Every passage has some ten spans, and every exchange twice as many: they are
//! found by their place in a table, not by searching.

use tracer_common::hop::HOP_SLOTS;

use super::{Span, Way};

const WAYS: usize = Way::Turn as usize + 1;

/// A value for each span that occurs.
#[derive(Clone, Debug)]
pub struct PerSpan<T> {
    /// By way and hops: the place in `values`, from 1 on; empty as long as there are none.
    places: Vec<u16>,
    /// In the order in which they came.
    values: Vec<(Span, T)>,
}

impl<T> Default for PerSpan<T> {
    fn default() -> PerSpan<T> {
        PerSpan { places: Vec::new(), values: Vec::new() }
    }
}

fn place(span: &Span) -> usize {
    (span.way as usize * HOP_SLOTS + span.from as usize) * HOP_SLOTS + span.to as usize
}

impl<T: Default> PerSpan<T> {
    /// The value of a span, a new one where it has none.
    pub fn entry(&mut self, span: Span) -> &mut T {
        if self.places.is_empty() {
            self.places.resize(WAYS * HOP_SLOTS * HOP_SLOTS, 0);
        }
        let at = &mut self.places[place(&span)];
        if *at == 0 {
            self.values.push((span, T::default()));
            *at = self.values.len() as u16;
        }
        &mut self.values[usize::from(*at) - 1].1
    }
}

impl<T> PerSpan<T> {
    /// The value of a span that occurred.
    pub fn get(&self, span: &Span) -> Option<&T> {
        let at = usize::from(*self.places.get(place(span))?);
        Some(&self.values.get(at.checked_sub(1)?)?.1)
    }

    /// What occurred, in the order of spans.
    pub fn sorted(&self) -> Vec<(Span, &T)> {
        let mut all: Vec<_> = self.values.iter().map(|(span, value)| (*span, value)).collect();
        all.sort_unstable_by_key(|(span, _)| *span);
        all
    }
}

const _: () = assert!(WAYS * HOP_SLOTS * HOP_SLOTS < u16::MAX as usize);

#[cfg(test)]
mod tests {
    use tracer_common::hop::Hop;

    use super::*;

    #[test]
    fn a_span_has_the_value_that_was_given_to_it() {
        let mut spans = PerSpan::default();
        let span = |way, from, to| Span { way, from, to };
        let all = [
            span(Way::Turn, Hop::User7, Hop::User7),
            span(Way::Transmit, Hop::TapRx, Hop::NicQueue),
            span(Way::Transmit, Hop::NicQueue, Hop::TapRx),
            span(Way::Receive, Hop::TapRx, Hop::NicQueue),
        ];
        assert_eq!(spans.get(&all[0]), None);
        for (number, span) in all.into_iter().enumerate() {
            *spans.entry(span) += number;
            *spans.entry(span) += 10;
        }
        for (number, span) in all.iter().enumerate() {
            assert_eq!(spans.get(span), Some(&(number + 10)));
        }
        assert_eq!(spans.get(&span(Way::Receive, Hop::NicQueue, Hop::TapRx)), None);
        let mut sorted = all;
        sorted.sort_unstable();
        assert_eq!(spans.sorted().iter().map(|(span, _)| *span).collect::<Vec<_>>(), sorted);
    }
}
