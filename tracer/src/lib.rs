//! vmhop's library: from the topology of a host to the report of where its VMs' frames spend their time.

pub mod decode;
pub mod export;
pub mod filter;
pub mod lab;
pub mod record;
pub mod recording;
pub mod report;
pub mod topology;
pub mod warnings;
