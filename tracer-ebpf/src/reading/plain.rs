//! Nothing is remembered: the headers of a frame are read at each hop anew.

use crate::{
    emit::Stage,
    kernel::{Access, Outline, Skb},
    said::Known,
};

/// Nothing is known of a frame before its headers are read.
#[inline(always)]
pub fn recall<A: Access>(_skb: Skb<A>, _outline: &Outline, _slot: u8, _stage: Stage) -> Option<Known> {
    None
}

/// Does nothing.
#[inline(always)]
pub fn remember<A: Access>(_skb: Skb<A>, _outline: &Outline, _slot: u8, _stage: Stage, _known: &Known) {}

/// Does nothing.
#[inline(always)]
pub fn forget<A: Access>(_skb: Skb<A>) {}
