//! vmhop's library: from the topology of a host to the report of where its VMs' frames spend their time.

pub mod analysis;
pub mod correlate;
pub mod decode;
pub mod export;
pub mod filter;
pub mod lab;
pub mod latency;
pub mod loss;
pub mod plan;
pub mod probe;
pub mod record;
pub mod recording;
pub mod report;
pub mod session;
pub mod source;
pub mod topology;
