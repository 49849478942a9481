//! Which VM owns which tap, and the path from there to a NIC.
mod model;
pub use model::{Device, DeviceKind, DeviceRef, Switch, SwitchKind, Tap, Thread, ThreadRole, Topology, Vm, Vmm};
