//! What each hook does: decide by the device's or thread's role which hop this is, and send it.

pub mod account;
pub mod irq;
pub mod kvm;
pub mod sched;
pub mod skb;
pub mod syscall;
pub mod tap;
pub mod user;
pub mod vhost;
pub mod xdp;
