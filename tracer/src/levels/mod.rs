//! The four levels at which the study that vmhop follows up counted traffic: what passed a device as Ethernet frames, as IP
//! packets, as what TCP or UDP makes of it, and as an application's bytes. `docs/levels.md` has the definitions.
//!
//! [`book`] counts while a recording is analysed, [`table`] lays the counts out, and [`study`] has the study's own figures
//! follow from each other. Pure; what is counted where is in `book`.

mod book;
pub mod study;
mod table;

pub use self::{
    book::Levels,
    table::{Count, Level, LevelRow, LevelTable, Ping},
};

use std::net::IpAddr;

/// Bytes of an Ethernet header.
pub const ETHERNET: u64 = 14;

/// Which traffic of a device is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Slot in the recording's device table.
    pub device: u8,
    /// Of which protocol.
    pub protocol: Protocol,
    /// Addresses of the collecting station: one of them must be an end of the flow, and says which way a frame goes. None:
    /// any flow, and the station is what lies behind the device, the wire or the guest.
    pub station: Vec<IpAddr>,
    /// A port that must be one of the flow's. Fragments and ICMP have none.
    pub port: Option<u16>,
}

/// What a flow carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ICMP or ICMPv6 echo.
    Echo,
    /// TCP, its fragments included.
    Tcp,
    /// UDP, its fragments included.
    Udp,
    /// Whatever has an IP header.
    Ip,
}

#[cfg(test)]
mod tests;
