//! How an analysis stands that goes on: counts since its beginning, by the same rules as the report's.

use super::{Analysis, rows};
use crate::report::{HopRow, Losses, Passages};

/// Counts since the beginning, of all VMs.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Each planned hop. Of frames of which one end was not seen the coverage does not know yet.
    pub hops: Vec<HopRow>,
    /// What was not measured.
    pub losses: Losses,
    /// Passages.
    pub passages: Passages,
    /// Questions that no answer came to.
    pub unanswered: u64,
    /// Questions whose answer could be another's.
    pub ambiguous: u64,
}

impl Analysis {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        let Analysis { header, correlator, books } = self;
        let tallies = || books.exchanger.tallies.values();
        let hop = |planned| rows::hop_row(planned, header, books, correlator);
        Standing {
            hops: header.plan.iter().filter_map(hop).collect(),
            losses: rows::losses(header, books, correlator),
            passages: books.loss.passages.clone(),
            unanswered: tallies().map(|tally| tally.unanswered).sum(),
            ambiguous: tallies().map(|tally| tally.ambiguous).sum(),
        }
    }

    /// A flow in words; `?` where its addresses were not told.
    pub fn flow_name(&self, flow: u64) -> String {
        self.books.flows.name(flow)
    }
}
