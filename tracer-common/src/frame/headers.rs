//! What the headers of a frame say, as data.

/// What a frame is, as far as matching questions with answers needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// ICMP or ICMPv6 echo request.
    EchoRequest = 1,
    /// ICMP or ICMPv6 echo reply.
    EchoReply = 2,
    /// A TCP segment, or a super-frame of several.
    Tcp = 3,
    /// A UDP datagram.
    Udp = 4,
    /// ARP.
    Arp = 5,
    /// ICMP other than echo, neighbour discovery included.
    Icmp = 6,
    /// An IP fragment.
    Fragment = 7,
    /// Anything else.
    Other = 8,
    /// Too short for what its headers announce.
    Truncated = 9,
}

impl Kind {
    /// The kind of a wire code; `None` for 0 (no header read) and for codes that this version does not know.
    #[inline]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Kind::EchoRequest,
            2 => Kind::EchoReply,
            3 => Kind::Tcp,
            4 => Kind::Udp,
            5 => Kind::Arp,
            6 => Kind::Icmp,
            7 => Kind::Fragment,
            8 => Kind::Other,
            9 => Kind::Truncated,
            _ => return None,
        })
    }
}

/// What the headers of one frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Content digest, never 0.
    pub digest: u64,
    /// Flow hash, lowest bit the direction.
    pub flow: u64,
    /// What it is.
    pub kind: Kind,
    /// Ethertype behind the VLAN tags; 0 where a length is in its place (IEEE 802.3).
    pub ethertype: u16,
    /// IP version, 0 for none.
    pub version: u8,
    /// IP protocol, 0 where there is no IP.
    pub protocol: u8,
    /// Source address, network byte order; IPv4 in the first word.
    pub src: [u32; 4],
    /// Destination address.
    pub dst: [u32; 4],
    /// Source port; ICMP echo identifier.
    pub src_port: u16,
    /// Destination port; ICMP echo identifier.
    pub dst_port: u16,
    /// TCP sequence number; ICMP echo sequence number; of UDP over IPv4 the IP identification
    /// and 0x10000, over IPv6 0.
    pub seq: u32,
    /// TCP acknowledgement number; ICMP echo identifier; of UDP, keyed hashes of the first 2 (upper half) and of the
    /// first 8 bytes of payload, by which many protocols' answers name their question; 0 with less than 8.
    pub ack: u32,
    /// TCP's timestamp option (RFC 7323): the low halves of its value (upper half) and of its echo reply; 0 for none.
    pub stamps: u32,
    /// Whether it lies in a tunnel.
    pub tunnelled: bool,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Bytes of the frame that are not layer 4 payload, at most 255.
    pub overhead: u8,
}

impl Frame {
    /// Whether the port fields are ports.
    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        matches!(self.kind, Kind::Tcp | Kind::Udp)
    }
}
