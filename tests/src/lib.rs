//! Shared helpers of the integration tests.

pub mod browser;
pub mod captures;
pub mod device;
pub mod frames;
pub mod fuzz;
pub mod garbage;
pub mod header;
pub mod host;
pub mod lab;
pub mod numbered;
pub mod python;
pub mod recording;
pub mod scene;
pub mod stream;
pub mod tmux;
pub mod trace_cmd;
pub mod traced;
pub mod truth;
pub mod udp;
pub mod vmhop;
pub mod walk;
pub mod watching;
pub mod world;
