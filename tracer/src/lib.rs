//! vmhop's library: from the topology of a host to the report of where its VMs' frames spend their time.

pub mod export;
pub mod lab;
pub mod topology;
