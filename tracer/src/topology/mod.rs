//! Which VM owns which tap, and the path from there to a NIC.
//!
//! [`Topology::discover`] asks /proc who holds a tap, the tap which network namespace it lives in, and
//! netlink, inside that namespace, what lies behind it. The result is plain data: it can be stored, compared
//! and printed without the host it came from. [`Watch`] tells later what of it went away.
//!
//! Not in here: printing (`export::topology`), what to attach where (`plan`), anything asynchronous.

mod behind;
mod device;
mod discover;
#[doc(hidden)]
pub mod fuzz;
mod lower;
mod model;
mod netlink;
mod netns;
mod notify;
mod process;
mod select;
mod sysfs;
mod text;
mod threads;
mod tunfd;
mod vmm;
mod watch;
mod world;

pub use device::{Namespace, device};
pub use model::{
    Device, DeviceKind, DeviceRef, Switch, SwitchKind, Tap, Thread, ThreadRole, Topology, Vm, Vmm,
};
pub use netns::open_namespace;
pub use notify::LinkNews;
pub use process::threads_of;
pub use select::SelectError;
pub use text::printable;
pub use watch::{Gone, Watch};
