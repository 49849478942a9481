//! Shared helpers of the integration tests.

pub mod garbage;
pub mod header;
pub mod host;
pub mod lab;
pub mod recording;
pub mod stream;
pub mod trace_cmd;
pub mod vmhop;
pub mod walk;
pub mod world;
