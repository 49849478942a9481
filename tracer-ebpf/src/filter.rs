//! Which frames the user wants to see.

use tracer_common::{filter::MAX_CLAUSES, frame::Frame};

use crate::{globals, maps};

/// Whether any clause of the filter passes the frame; an absent filter does.
#[inline(always)]
pub fn passes(frame: &Frame) -> bool {
    let clauses = globals::filter_clauses();
    if clauses == 0 {
        return true;
    }
    for index in 0..MAX_CLAUSES as u32 {
        if index >= clauses {
            break;
        }
        if maps::FILTER.get(index).is_some_and(|clause| clause.passes(frame)) {
            return true;
        }
    }
    false
}
