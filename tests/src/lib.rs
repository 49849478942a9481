//! Shared helpers of the integration tests.

pub mod device;
pub mod garbage;
pub mod host;
pub mod lab;
pub mod recording;
pub mod scene;
pub mod trace_cmd;
pub mod udp;
pub mod vmhop;
pub mod walk;
pub mod world;
