//! Shared helpers of the integration tests.

pub mod garbage;
pub mod host;
pub mod lab;
pub mod recording;
pub mod vmhop;
pub mod world;
