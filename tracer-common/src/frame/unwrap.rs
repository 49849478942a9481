//! From the outermost header to the innermost frame: VLAN tags are skipped, tunnels are opened.
//!
//! | wrapping | told by | source |
//! | --- | --- | --- |
//! | VLAN, QinQ | ethertype 0x8100, 0x88a8 | IEEE 802.1Q |
//! | IPIP, 6in4, 4in6, 6in6 | IP protocol 4, 41 | RFC 2003, RFC 4213, RFC 2473 |
//! | GRE, with checksum, key, sequence number | IP protocol 47, version 0; carries IP or Ethernet | RFC 2784, RFC 2890 |
//! | VXLAN | UDP port 4789, and Linux's first choice 8472 | RFC 7348; `vxlan_build_skb`, drivers/net/vxlan |
//! | Geneve, with options | UDP port 6081; carries IP or Ethernet | RFC 8926 |
//!
//! A tunnel whose own packet is a fragment, or has IPv4 options, is read as the outer frame. So is what lies deeper than
//! [`MAX_WRAPPINGS`].

use core::hint::black_box;

use super::{Bytes, ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Window};

/// Tags and tunnels that are opened; an Ethernet header in a tunnel counts as one.
pub const MAX_WRAPPINGS: u32 = 5;

const IPV4: u32 = ETHERTYPE_IPV4 as u32;
const IPV6: u32 = ETHERTYPE_IPV6 as u32;
const VLAN: u32 = 0x8100;
const QINQ: u32 = 0x88a8;
/// Transparent Ethernet bridging: a whole Ethernet frame follows.
const ETHERTYPE_ETHERNET: u16 = 0x6558;

const PROTOCOL_IPIP: u32 = 4;
const PROTOCOL_UDP: u32 = super::PROTOCOL_UDP as u32;
const PROTOCOL_IPV6: u32 = 41;
const PROTOCOL_GRE: u32 = 47;
const PROTOCOL_DESTINATION_OPTIONS: u32 = 60;

const PORTS_VXLAN: [u16; 2] = [4789, 8472];
const PORT_GENEVE: u16 = 6081;

const UDP_HEADER: u32 = 8;
const VXLAN_HEADER: u32 = 8;
const GENEVE_HEADER: u32 = 8;
/// VXLAN's first byte: the network identifier is valid, and perhaps a group policy (draft-smith-vxlan-group-policy).
const VXLAN_FLAGS: [u32; 2] = [0x08, 0x88];
/// Both MAC addresses but two bytes: behind that an Ethernet header looks like a VLAN tag, two bytes and an ethertype.
const MACS_BUT_TWO: u32 = 10;
/// What such a tag is in bytes.
const TAG: u32 = 4;

/// Where the innermost frame's layer 3 starts.
pub(super) struct Place {
    /// Bytes from the start of the outermost Ethernet header.
    pub(super) offset: u32,
    /// What starts there.
    pub(super) ethertype: u16,
    /// The window there.
    pub(super) window: Window,
    /// Whether it lies in a tunnel.
    pub(super) tunnelled: bool,
    /// How many wrappings were opened.
    opened: u32,
}

/// How many tags and tunnels around a frame, whose outermost ethertype is given, are opened: at most [`MAX_WRAPPINGS`].
pub fn wrappings(bytes: &impl Bytes, ethertype: u16) -> u32 {
    innermost(bytes, bytes.window(ETHERNET_HEADER), ethertype).opened
}

/// One wrapping: its length in bytes from bit [`LENGTH`] on, [`TUNNEL`], and what follows. 0: none. One word, so that the
/// verifier has one value to follow.
type Wrapping = u32;

const NONE: Wrapping = 0;
/// What follows: an ethertype as it stands in the frame, or this: an Ethernet header in a tunnel, all but its first
/// [`MACS_BUT_TWO`] bytes.
const ETHERNET: u32 = 1 << 16 | ETHERTYPE_ETHERNET as u32;
const FOLLOWING: u32 = 0x1_ffff;
/// It is a tunnel.
const TUNNEL: Wrapping = 1 << 17;
const LENGTH: u32 = 18;

#[inline(always)]
const fn wrapping(length: u32, following: u32, tunnel: Wrapping) -> Wrapping {
    (length << LENGTH) | tunnel | following
}

/// Finds the innermost frame of one whose outermost ethertype is given, and the window behind its Ethernet header.
#[inline(always)]
pub(super) fn innermost(bytes: &impl Bytes, window: Window, ethertype: u16) -> Place {
    let mut place = Place { offset: ETHERNET_HEADER, ethertype, window, tunnelled: false, opened: 0 };
    let mut following = u32::from(ethertype);
    // The compiler would unroll a loop of so few rounds, of which most frames take none.
    for _ in 0..black_box(MAX_WRAPPINGS) {
        let wrapping = bytes.forget(around(bytes, &place.window, following).into()) as Wrapping;
        if wrapping == NONE {
            break;
        }
        place.opened += 1;
        place.offset += wrapping >> LENGTH;
        following = wrapping & FOLLOWING;
        place.tunnelled |= wrapping & TUNNEL != 0;
        place.window = bytes.window(place.offset);
    }
    place.ethertype = bytes.forget(following.into()) as u16;
    place.offset = bytes.forget(place.offset.into()) as u32;
    place.tunnelled = bytes.forget(place.tunnelled.into()) != 0;
    place
}

#[inline(always)]
fn around(bytes: &impl Bytes, window: &Window, following: u32) -> Wrapping {
    let carried = match following {
        IPV4 => in_ipv4(window),
        IPV6 => in_ipv6(window),
        VLAN | QINQ | ETHERNET if window.available >= TAG => {
            return wrapping(TAG, window.be32(0) & 0xffff, 0);
        }
        _ => None,
    };
    carried.map_or(NONE, |carried| carried.forgotten(bytes).around())
}

/// What an IP packet carries, as far as a tunnel shows in it.
struct Carried {
    protocol: u32,
    /// Bytes of the packet before it.
    header: u32,
    /// Bytes of it that are real.
    available: u32,
    /// Its first and its third word, host byte order.
    first: u32,
    third: u32,
}

#[inline(always)]
fn in_ipv4(window: &Window) -> Option<Carried> {
    let is_fragment = window.be32(1) & 0x3fff != 0;
    if window.available < 24 || window.be32(0) >> 24 != 0x45 || is_fragment {
        return None;
    }
    Some(Carried::at::<5>(window, (window.be32(2) >> 16) & 0xff))
}

/// Linux sends its IPv6 tunnels' packets with one destination option (`ip6_tnl_xmit`, net/ipv6/ip6_tunnel.c: the
/// encapsulation limit of RFC 2473, 4.1.1).
#[inline(always)]
fn in_ipv6(window: &Window) -> Option<Carried> {
    if window.available < 48 || window.be32(0) >> 28 != 6 {
        return None;
    }
    let next = (window.be32(1) >> 8) & 0xff;
    if next != PROTOCOL_DESTINATION_OPTIONS {
        return Some(Carried::at::<10>(window, next));
    }
    let option = window.be32(10);
    let has_eight_bytes = (option >> 16) & 0xff == 0;
    has_eight_bytes.then(|| Carried::at::<12>(window, option >> 24))
}

impl Carried {
    /// What starts at the window's word `AT`.
    #[inline(always)]
    fn at<const AT: usize>(window: &Window, protocol: u32) -> Self {
        let header = AT as u32 * 4;
        let available = window.available - header;
        Self { protocol, header, available, first: window.be32(AT), third: window.be32(AT + 2) }
    }

    #[inline(always)]
    fn forgotten(self, bytes: &impl Bytes) -> Self {
        let forget = |value: u32| bytes.forget(value.into()) as u32;
        Self {
            protocol: forget(self.protocol),
            header: forget(self.header),
            available: forget(self.available),
            first: forget(self.first),
            third: forget(self.third),
        }
    }

    #[inline(always)]
    fn around(&self) -> Wrapping {
        match self.protocol {
            PROTOCOL_IPIP => wrapping(self.header, IPV4, TUNNEL),
            PROTOCOL_IPV6 => wrapping(self.header, IPV6, TUNNEL),
            PROTOCOL_GRE if self.available >= 4 => behind_gre(self.first, self.header),
            PROTOCOL_UDP if self.available >= UDP_HEADER + 4 => {
                behind_udp(self.first as u16, self.third, self.header + UDP_HEADER)
            }
            _ => NONE,
        }
    }
}

#[inline(always)]
fn behind_gre(first: u32, header: u32) -> Wrapping {
    let flags = first >> 16;
    let option = |bit: u32| (flags >> bit & 1) * 4;
    // Routing, of RFC 1701, is no more; version 1 is PPTP's.
    if flags & 0x4007 != 0 {
        return NONE;
    }
    carried(first as u16, header + 4 + option(15) + option(13) + option(12))
}

/// Whether what UDP carries to this port may be a tunnel.
#[inline(always)]
pub(super) fn may_be_tunnel(port: u16) -> bool {
    port == PORTS_VXLAN[0] || port == PORTS_VXLAN[1] || port == PORT_GENEVE
}

#[inline(always)]
fn behind_udp(port: u16, first: u32, header: u32) -> Wrapping {
    if port == PORTS_VXLAN[0] || port == PORTS_VXLAN[1] {
        let flags = first >> 24;
        let is_vxlan = flags == VXLAN_FLAGS[0] || flags == VXLAN_FLAGS[1];
        return if is_vxlan { carried(ETHERTYPE_ETHERNET, header + VXLAN_HEADER) } else { NONE };
    }
    let is_geneve = port == PORT_GENEVE && first >> 30 == 0;
    if !is_geneve {
        return NONE;
    }
    carried(first as u16, header + GENEVE_HEADER + ((first >> 24) & 0x3f) * 4)
}

#[inline(always)]
fn carried(ethertype: u16, length: u32) -> Wrapping {
    match ethertype {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => wrapping(length, u32::from(ethertype), TUNNEL),
        ETHERTYPE_ETHERNET => wrapping(length + MACS_BUT_TWO, ETHERNET, TUNNEL),
        _ => NONE,
    }
}
