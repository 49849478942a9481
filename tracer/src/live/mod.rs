//! `vmhop live`: where frames spend their time, on a terminal, while they do.
//!
//! # The way of the data
//! `session` drains the ring into a [`Live`], as it does into a recording. Each event goes through the same
//! [`Analysis`](crate::analysis::Analysis) that makes reports, and [`view::View`] observes what comes out: it keeps the
//! last minute in half seconds, in bounded memory. [`shown::Shown`] sums up those of the window; `draw` lays that out. Up to
//! there all is pure: times are those of the events, and the terminal is in [`terminal`] alone.
//!
//! # Falling behind
//! Nothing is skipped. What cannot be correlated in time waits in the ring; as long as it does, the view says by how
//! much it is behind and shows the time of the last event. What the ring has no room for is counted as lost, as in
//! a recording, and the view says so on every page.

mod draw;
mod keys;
mod screen;
mod shown;
pub mod terminal;
mod view;

pub use self::{
    draw::{Look, draw},
    keys::{Key, Page, Ui, Window},
    screen::Live,
    shown::{Moment, Shown, Source},
    view::{Order, TICK_NS, View},
};
