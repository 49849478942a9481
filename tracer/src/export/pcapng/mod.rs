//! Frames at each hop as pcapng, for Wireshark: an interface a hop, and one packet id for all sights of one frame.
//!
//! A recording holds no packets. Headers are made from what it says of a frame at a hop ([`frame`]); what it does not say
//! is zero. Passages come when they are over, in the order of their beginnings: what they passed since waits in
//! [`window`] until no earlier one can come, so that packets are in the order of time and memory is bounded.

mod blocks;
mod frame;
mod window;

use std::{collections::BTreeMap, io};

use rustc_hash::FxHashMap;
use tracer_common::hop::Hop;

use self::{
    blocks::{Blocks, Packet},
    window::{Pending, Seen, Sights, Waiting},
};
use super::{
    exporter::{Stream, Target},
    names::Names,
};
use crate::{
    correlate::{Passage, Stamp},
    decode::{Event, Flow},
    recording::{Header, Note},
    report::Report,
};

/// Flows whose addresses are kept; frames of others get none. As many as a report tells apart.
const MAX_FLOWS: usize = 1 << 16;

/// Writes packets.
pub(super) struct Packets<'a> {
    header: Header,
    names: Names,
    flows: FxHashMap<u64, Flow>,
    sights: Sights,
    pending: Pending,
    /// Number of the interface that stands for a hop.
    interfaces: BTreeMap<Hop, u32>,
    /// Id of the next frame.
    next_id: u64,
    blocks: Blocks<'a>,
}

impl<'a> Packets<'a> {
    pub(super) fn begin(header: &Header, out: Target<'a>) -> io::Result<Packets<'a>> {
        let mut packets = Packets {
            header: header.clone(),
            names: Names::of(header),
            flows: FxHashMap::default(),
            sights: Sights::default(),
            pending: Pending::default(),
            interfaces: BTreeMap::new(),
            next_id: 1,
            blocks: Blocks::begin(header, out)?,
        };
        // Those that some hook serves, in the order of the way; another one when a frame is seen there.
        let served = header.plan.iter().filter(|planned| !planned.hooks.is_empty());
        for hop in served.filter_map(|planned| header.hop(&planned.hop)) {
            if !bears_no_frame(hop) {
                packets.interface(hop)?;
            }
        }
        Ok(packets)
    }

    fn interface(&mut self, hop: Hop) -> io::Result<u32> {
        if let Some(&number) = self.interfaces.get(&hop) {
            return Ok(number);
        }
        let number = self.interfaces.len() as u32;
        self.blocks.interface(&self.header, hop)?;
        self.interfaces.insert(hop, number);
        Ok(number)
    }

    /// Lets these sights of one frame wait, with a new id.
    fn frame(&mut self, stamps: &[Stamp], passage: &Passage, part_of: Option<u64>) {
        let id = self.next_id;
        self.next_id += 1;
        let read: Vec<Option<Seen>> =
            stamps.iter().map(|stamp| self.sights.at(stamp, passage.digest)).collect();
        for (index, stamp) in stamps.iter().enumerate() {
            // Where no frame is looked at, it is as at the last hop where it was, or as at the next one.
            let before = read[..=index].iter().rev().flatten().next();
            let seen = before.or_else(|| read[index..].iter().flatten().next());
            let seen = seen.copied().unwrap_or_else(|| Seen::of_passage(passage));
            self.pending.push(Waiting { time_ns: stamp.time_ns, id, hop: stamp.hop, seen, part_of });
        }
    }

    /// Writes what is earlier than `until_ns`, and what there is no room for.
    fn release(&mut self, until_ns: u64) -> io::Result<()> {
        while let Some(waiting) = self.pending.pop(until_ns) {
            let interface = self.interface(waiting.hop)?;
            let frame = frame::Made::of(&waiting.seen, self.flow(waiting.seen.flow));
            self.blocks.packet(&Packet {
                interface,
                id: waiting.id,
                // A header that makes no sense leaves the clock of the events.
                time_ns: self
                    .names
                    .unix_ns(waiting.time_ns)
                    .map_or(waiting.time_ns, |time_ns| time_ns as u64),
                len: waiting.seen.len,
                frame: frame.bytes(),
                part_of: waiting.part_of,
            })?;
        }
        Ok(())
    }

    /// A flow's addresses, turned round where only those of the other direction were told.
    fn flow(&self, flow: u64) -> Option<Flow> {
        let turned = |other: &Flow| Flow {
            flow,
            src: other.dst,
            dst: other.src,
            src_port: other.dst_port,
            dst_port: other.src_port,
            protocol: other.protocol,
        };
        self.flows.get(&flow).copied().or_else(|| self.flows.get(&(flow ^ 1)).map(turned))
    }
}

/// Events that are no hop of a frame: they only end one, or say what a thread does.
fn bears_no_frame(hop: Hop) -> bool {
    matches!(hop, Hop::SkbFree | Hop::SkbDrop | Hop::VcpuLeave | Hop::VhostNotify | Hop::VhostTransmit)
}

impl Stream for Packets<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.sights.note(event);
        Ok(())
    }

    fn note(&mut self, note: &Note) -> io::Result<()> {
        self.names.note(note);
        if let Note::Flow(flow) = note
            && self.flows.len() < MAX_FLOWS
        {
            self.flows.insert(flow.flow, *flow);
        }
        Ok(())
    }

    fn passage(&mut self, passage: &Passage) -> io::Result<()> {
        let start_ns = passage.start_ns();
        // Of a frame that nobody read there are no headers.
        if passage.kind.is_some() {
            let id = self.next_id;
            self.frame(passage.stamps.get(passage.shared..).unwrap_or_default(), passage, None);
            for merged in &passage.merged {
                self.frame(merged, passage, Some(id));
            }
        }
        self.sights.forget_before(start_ns);
        self.release(start_ns)
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.release(u64::MAX)?;
        self.blocks.end()
    }
}

#[cfg(test)]
mod tests;
