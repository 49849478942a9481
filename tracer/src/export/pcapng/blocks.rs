//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng): section header, interfaces, packets; laid out by pcap-parser.

use std::{
    borrow::Cow,
    io::{self, Write as _},
};

use pcap_parser::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption, SectionHeaderBlock,
    ToVec,
};
use tracer_common::hop::Hop;

use crate::{export::exporter::Target, recording::Header, topology::printable};

/// `epb_packetid`: the same number for all sights of a packet.
const PACKET_ID: OptionCode = OptionCode(5);
/// `if_tsresol`: time stamps count ns.
const NANOSECONDS: u8 = 9;

/// What every reader of the file should know.
const COMMENT: &str = "Made by vmhop from a recording, which holds no packets: headers are made from what was read of each \
frame. Real: time stamps, frame length (frame.len), IP version, addresses, protocol, ports, TCP sequence \
and acknowledgement numbers and flags, ICMP echo type, identifier and sequence number, IPv4 \
identification of UDP, payload length (tcp.len, udp.length). Not known and zero: MAC addresses, TOS, TCP \
options, all checksums but IPv4's, which is that of the header made. Not known and made up: TTL 64, TCP \
window 65535. Ethertype 0x88b5 stands for an unknown one, 0.0.0.0 for unknown addresses; VLAN tags and \
tunnel headers are left out. An interface is a hop; one packet id (frame.packet_id) is one frame on its \
way through the hops.";

/// Writes blocks.
pub(super) struct Blocks<'a> {
    out: Target<'a>,
}

/// A frame at a hop.
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    pub(super) id: u64,
    /// Wall clock, ns since the epoch.
    pub(super) time_ns: u64,
    /// Bytes of the frame as it was seen.
    pub(super) len: u32,
    pub(super) frame: &'a [u8],
    /// Id of the frame that GRO merged it into.
    pub(super) part_of: Option<u64>,
}

impl<'a> Blocks<'a> {
    pub(super) fn begin(header: &Header, out: Target<'a>) -> io::Result<Blocks<'a>> {
        let host = &header.host;
        let mut blocks = Blocks { out };
        let mut options = vec![
            text(OptionCode::ShbHardware, &host.arch),
            text(OptionCode::ShbOs, &format!("Linux {}, host {}", host.kernel, host.name)),
            text(OptionCode::ShbUserAppl, &format!("vmhop {}", host.vmhop)),
            text(OptionCode::Comment, COMMENT),
        ];
        if !header.vms.is_empty() {
            options.push(text(OptionCode::Comment, &format!("VMs: {}", header.vms.join(", "))));
        }
        blocks.write(&mut SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            // Not known before the end.
            section_len: -1,
            options,
            block_len2: 0,
        })?;
        Ok(blocks)
    }

    /// The next interface: a hop.
    pub(super) fn interface(&mut self, header: &Header, hop: Hop) -> io::Result<()> {
        let options = vec![
            text(OptionCode::IfName, &header.hop_name(hop)),
            text(OptionCode::IfDescription, &description(header, hop)),
        ];
        self.write(&mut InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype: Linktype::ETHERNET,
            reserved: 0,
            snaplen: 0,
            options,
            block_len2: 0,
            if_tsresol: NANOSECONDS,
            if_tsoffset: 0,
        })
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let caplen = packet.frame.len() as u32;
        let mut options = vec![bytes(PACKET_ID, packet.id.to_le_bytes().to_vec())];
        if let Some(whole) = packet.part_of {
            options.push(text(OptionCode::Comment, &format!("merged by GRO into packet id {whole}")));
        }
        self.write(&mut EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: packet.interface,
            ts_high: (packet.time_ns >> 32) as u32,
            ts_low: packet.time_ns as u32,
            caplen,
            // Headers that were made may be longer than a frame that was cut short.
            origlen: packet.len.max(caplen),
            data: packet.frame,
            options,
            block_len2: 0,
        })
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Lengths and types are filled in by the library.
    fn write(&mut self, block: &mut impl ToVec) -> io::Result<()> {
        let bytes = block.to_vec().map_err(|error| io::Error::other(format!("{error:?}")))?;
        self.out.write_all(&bytes)
    }
}

fn bytes(code: OptionCode, value: Vec<u8>) -> PcapNGOption<'static> {
    PcapNGOption { code, len: value.len() as u16, value: Cow::Owned(value) }
}

/// Text that others may have chosen; an option holds 64 KiB.
fn text(code: OptionCode, text: &str) -> PcapNGOption<'static> {
    let mut shown = printable(text);
    shown.truncate(shown.floor_char_boundary(u16::MAX.into()));
    bytes(code, shown.into_bytes())
}

/// What the hop is, by which hooks it is served, and on which devices.
fn description(header: &Header, hop: Hop) -> String {
    let name = header.hop_name(hop);
    let planned = header.plan.iter().find(|planned| planned.hop == name);
    let hooks = planned.map(|planned| planned.hooks.join(", ")).filter(|hooks| !hooks.is_empty());
    let role = name.split('.').next().unwrap_or_default();
    let devices = header.devices.iter().filter(|entry| entry.role == role);
    let devices: Vec<&str> = devices.map(|entry| entry.device.name.as_str()).collect();
    let mut words = vec![hop.describe().to_owned()];
    words.extend(hooks.map(|hooks| format!("by {hooks}")));
    if !devices.is_empty() {
        words.push(format!("on {}", devices.join(", ")));
    }
    if bears_no_headers(hop) {
        words.push("no frame is looked at here: headers as at the hop before or behind".to_owned());
    }
    words.join("; ")
}

/// Hops of threads: which frame they are about was found by joining.
fn bears_no_headers(hop: Hop) -> bool {
    matches!(
        hop,
        Hop::VmmKick
            | Hop::VmmRunnable
            | Hop::VmmWake
            | Hop::TapWrite
            | Hop::NicIrq
            | Hop::VmmIrq
            | Hop::VcpuEnter
    )
}
