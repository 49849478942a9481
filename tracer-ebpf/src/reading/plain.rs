//! Nothing is remembered: the headers of a frame are read at each hop anew.

use tracer_common::frame::Frame;

use crate::{
    emit::Stage,
    kernel::{Access, Skb, SkbFrame},
    said::Said,
};

/// Nothing.
pub struct Place;

/// Nothing is known of a frame before its headers are read.
#[inline(always)]
pub fn recall<A: Access>(_frame: &SkbFrame, _skb: Skb<A>, _stage: Stage) -> Result<Option<Said>, Place> {
    Err(Place)
}

impl Place {
    /// Does nothing.
    #[inline(always)]
    pub fn remember(self, _frame: &SkbFrame, _read: &Frame, _said: &Said, _recorded: bool) {}
}
