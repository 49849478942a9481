//! What the BPF programs and the host program must agree on, in one definition for both sides.
//!
//! [`hop`] names the observation points, [`event`] is the wire format of their records, [`frame`] reads a
//! frame's headers into an identity, [`filter`] decides which frames count, [`sample`] which of them are recorded, [`config`] is what the host
//! program tells the BPF programs before they run, [`buffer`] is how records lie in the memory that both share, [`account`] is
//! what is counted of a vCPU. No maps, no I/O, no allocation here.
#![cfg_attr(not(test), no_std)]

pub mod account;
pub mod buffer;
pub mod config;
pub mod event;
pub mod filter;
pub mod frame;
pub mod histogram;
pub mod hop;
pub mod sample;
