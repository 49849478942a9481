//! vmhop's library: from the topology of a host to the report of where its VMs' frames spend their time.

pub mod cli;
pub mod commands;
pub mod config;
pub mod decode;
pub mod doctor;
pub mod export;
pub mod failure;
mod host;
pub mod lab;
pub mod plan;
pub mod preflight;
pub mod probe;
pub mod recording;
pub mod report;
pub mod source;
pub mod topology;
