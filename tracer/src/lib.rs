//! vmhop's library: from the topology of a host to the report of where its VMs' frames spend their time.

pub mod correlate;
pub mod decode;
pub mod export;
pub mod lab;
pub mod latency;
pub mod loss;
pub mod plan;
pub mod probe;
pub mod recording;
pub mod report;
pub mod source;
pub mod topology;
