//! What vmhop says that it recorded: of its report as JSON, the events by hop.

use serde::Deserialize;

/// Of the report only what is needed.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    /// Every hop.
    pub hops: Vec<Hop>,
}

/// A hop of the report.
#[derive(Debug, Deserialize)]
pub struct Hop {
    /// Its name.
    pub hop: String,
    /// Events.
    pub seen: u64,
    /// Events that could not be sent.
    pub lost: u64,
}

impl Recorded {
    /// Nothing from what is no report with hops.
    pub fn parse(json: &[u8]) -> Option<Recorded> {
        serde_json::from_slice(json).ok()
    }

    /// All events.
    pub fn seen(&self) -> u64 {
        self.hops.iter().map(|hop| hop.seen).sum()
    }

    /// All that are lost.
    pub fn lost(&self) -> u64 {
        self.hops.iter().map(|hop| hop.lost).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_added_up_over_hops() {
        let json = br#"{"schema": "x", "hops": [{"hop": "tap.rx", "seen": 3, "lost": 1, "unserved": null},
            {"hop": "nic.xmit", "seen": 4, "lost": 0}]}"#;
        let recorded = Recorded::parse(json).unwrap();
        assert_eq!((recorded.seen(), recorded.lost()), (7, 1));
        assert!(Recorded::parse(b"no report").is_none());
    }
}
