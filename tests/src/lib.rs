//! Shared helpers of the integration tests.

pub mod garbage;
pub mod host;
pub mod lab;
pub mod recording;
pub mod trace_cmd;
pub mod truth;
pub mod vmhop;
pub mod walk;
pub mod world;
