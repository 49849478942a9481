//! Whose frames these were: flows by their addresses, on both sides of a translation.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::{correlate::Passage, decode::Flow, report::FlowRow};

/// Flows that are told apart; what comes beyond is only counted.
const MAX_FLOWS: usize = 1 << 16;
/// Rows of a report.
const ROWS: usize = 100;

/// Passages and bytes by flow, as it began and as it was last seen.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowBook {
    names: FxHashMap<u64, Flow>,
    counts: FxHashMap<(u64, u64), (u64, u64)>,
    left_out: u64,
}

impl FlowBook {
    /// Notes a flow's addresses.
    pub(super) fn note(&mut self, flow: Flow) {
        if self.names.len() < MAX_FLOWS {
            self.names.insert(flow.flow, flow);
        }
    }

    /// Enters a passage.
    pub(super) fn passage(&mut self, passage: &Passage) {
        if passage.branch.is_some() || passage.kind.is_none() {
            return;
        }
        let key = (passage.flow, passage.flow_to);
        if self.counts.len() >= MAX_FLOWS && !self.counts.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        let (passages, bytes) = self.counts.entry(key).or_default();
        *passages += 1;
        *bytes += u64::from(passage.len);
    }

    /// The rows with the most bytes, and how many there are beyond.
    pub(super) fn lay_out(&self) -> (Vec<FlowRow>, u64) {
        let row = |(&(flow, flow_to), &(passages, bytes)): (&(u64, u64), &(u64, u64))| FlowRow {
            flow: self.name(flow),
            translated: (flow != flow_to).then(|| self.name(flow_to)),
            passages,
            bytes,
        };
        let mut rows: Vec<FlowRow> = self.counts.iter().map(row).collect();
        rows.sort_by(|left, right| {
            let order = |row: &FlowRow| (Reverse(row.bytes), Reverse(row.passages));
            order(left)
                .cmp(&order(right))
                .then_with(|| (&left.flow, &left.translated).cmp(&(&right.flow, &right.translated)))
        });
        let beyond = rows.len().saturating_sub(ROWS) as u64;
        rows.truncate(ROWS);
        (rows, beyond + self.left_out)
    }

    /// The flow in words; of the reverse direction's addresses where only these were told.
    pub(super) fn name(&self, flow: u64) -> String {
        let (known, back) = match (self.names.get(&flow), self.names.get(&(flow ^ 1))) {
            (Some(known), _) => (known, false),
            (None, Some(known)) => (known, true),
            (None, None) => return "?".to_owned(),
        };
        let from = (known.src, known.src_port);
        let to = (known.dst, known.dst_port);
        let (from, to) = if back { (to, from) } else { (from, to) };
        format!("{} > {} {}", end(known, from), end(known, to), protocol(known.protocol))
    }
}

fn end(flow: &Flow, (address, port): (Option<std::net::IpAddr>, u16)) -> String {
    let has_ports = matches!(flow.protocol, 6 | 17) && port != 0;
    match address {
        Some(address) if has_ports => std::net::SocketAddr::new(address, port).to_string(),
        Some(address) => address.to_string(),
        None => "-".to_owned(),
    }
}

/// The protocol's name (IANA), or its number.
fn protocol(number: u8) -> String {
    match number {
        0 => "-".to_owned(),
        1 => "icmp".to_owned(),
        2 => "igmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmp6".to_owned(),
        other => format!("ip-proto-{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::Side;

    fn named(flow: u64, from: [u8; 4], to: [u8; 4]) -> Flow {
        let (src, dst) = (Some(from.into()), Some(to.into()));
        Flow { flow, src, dst, src_port: 1000, dst_port: 80, protocol: 6 }
    }

    fn passage(flow: u64, flow_to: u64, len: u32) -> Passage {
        let mut passage = Passage::empty(Side::Guest(0), Side::Wire(1));
        (passage.flow, passage.flow_to, passage.len) = (flow, flow_to, len);
        passage.kind = Some(tracer_common::frame::Kind::Tcp);
        passage
    }

    #[test]
    fn a_translated_flow_is_one_with_both_addresses() {
        let mut book = FlowBook::default();
        book.note(named(2, [198, 51, 100, 2], [192, 0, 2, 3]));
        // Of the translated flow only the answers were told.
        book.note(named(5, [192, 0, 2, 3], [192, 0, 2, 1]));
        book.passage(&passage(2, 4, 100));
        book.passage(&passage(2, 4, 50));
        let (rows, left_out) = book.lay_out();
        assert_eq!((rows.len(), left_out), (1, 0));
        assert_eq!(rows[0].flow, "198.51.100.2:1000 > 192.0.2.3:80 tcp");
        assert_eq!(rows[0].translated.as_deref(), Some("192.0.2.1:80 > 192.0.2.3:1000 tcp"));
        assert_eq!((rows[0].passages, rows[0].bytes), (2, 150));
    }

    #[test]
    fn flows_beyond_the_rows_are_counted() {
        let mut book = FlowBook::default();
        (0..130).for_each(|flow| book.passage(&passage(flow * 2, flow * 2, 100 + flow as u32)));
        let (rows, left_out) = book.lay_out();
        assert_eq!((rows.len(), left_out, rows[0].bytes), (100, 30, 229));
    }
}
