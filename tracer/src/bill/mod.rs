//! What a VM costs in CPU time, counted while recording: of its vCPUs by KVM's exits, of its threads by the scheduler.
//!
//! [`format`] is what this kernel says of its exits, [`account`] turns a vCPU's account into times, [`threads`] reads
//! what the scheduler knows, [`meter`] puts these together into a [`Bill`](crate::recording::Bill). The accounts
//! themselves are kept by BPF programs (`probe`); what the report makes of a bill is in `analysis`.

pub mod account;
pub mod format;
#[doc(hidden)]
pub mod fuzz;
pub mod meter;
pub mod threads;
