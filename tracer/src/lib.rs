//! vmhop's library: from the topology of a host to the report of where its VMs' frames spend their time.

pub mod analysis;
pub mod bill;
pub mod cli;
pub mod commands;
pub mod config;
pub mod correlate;
pub mod decode;
mod detached;
pub mod doctor;
pub mod experiment;
pub mod export;
pub mod failure;
pub mod filter;
mod host;
pub mod lab;
pub mod latency;
#[allow(missing_docs, dead_code)]
pub mod levels;
pub mod loss;
pub mod per_hop;
pub mod plan;
pub mod preflight;
pub mod probe;
pub mod profile;
pub mod record;
pub mod recording;
pub mod report;
pub mod selftest;
pub mod session;
pub mod source;
pub mod topology;
pub mod warnings;
mod written;
