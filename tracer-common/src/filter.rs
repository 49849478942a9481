//! Which frames count: a disjunction of clauses, each a conjunction of tests, evaluated in the kernel on the
//! headers that [`crate::frame`] has read. The words that people type are parsed in `tracer`, not here.

use crate::frame::{Frame, Kind};

/// Clauses that a filter may have.
pub const MAX_CLAUSES: usize = 8;
/// Address tests, and port tests, that one clause may have.
pub const MAX_TESTS: usize = 2;

/// Which end of a frame a test looks at: bits of [`AddressTest::ends`] and [`PortTest::ends`].
pub const SOURCE: u32 = 1;
/// See [`SOURCE`].
pub const DESTINATION: u32 = 2;

/// A test of an address; passes always where `ends` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressTest {
    /// Address in network byte order; IPv4 in the first word.
    pub address: [u32; 4],
    /// Bits that must agree, in network byte order.
    pub mask: [u32; 4],
    /// [`SOURCE`], [`DESTINATION`], both (either end passes), or 0.
    pub ends: u32,
    /// 4 or 6.
    pub version: u32,
    /// 1: the test passes where it would fail.
    pub negate: u32,
}

/// A test of a port; passes always where `ends` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortTest {
    /// Port in host byte order.
    pub port: u32,
    /// As [`AddressTest::ends`].
    pub ends: u32,
    /// 1: the test passes where it would fail.
    pub negate: u32,
}

/// Bits of [`Clause::ethertypes`]: which ethertypes, behind the VLAN tags, a clause lets pass.
pub const ETHERTYPE_IP: u32 = 1;
/// See [`ETHERTYPE_IP`].
pub const ETHERTYPE_IP6: u32 = 2;
/// See [`ETHERTYPE_IP`].
pub const ETHERTYPE_ARP: u32 = 4;
/// Any other ethertype. See [`ETHERTYPE_IP`].
pub const ETHERTYPE_OTHER: u32 = 8;
/// All of them. See [`ETHERTYPE_IP`].
pub const ETHERTYPE_ANY: u32 = 15;

/// Tests that must all pass.
///
/// Ethertypes and protocols are sets, not single values: so `not arp and not ip6`, `tcp or udp` and
/// `not tcp and not udp` are one clause each, and the kernel tests a bit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// Ethertypes that pass, bits [`ETHERTYPE_IP`] to [`ETHERTYPE_OTHER`].
    pub ethertypes: u32,
    /// 1: frames without a readable IP header pass the test of the protocol.
    pub without_ip: u32,
    /// IP protocols that pass: bit `protocol % 32` of word `protocol / 32`.
    pub protocols: [u32; 8],
    /// Address tests.
    pub addresses: [AddressTest; MAX_TESTS],
    /// Port tests.
    pub ports: [PortTest; MAX_TESTS],
}

impl Clause {
    /// A clause that passes everything.
    pub const PASS: Clause = Clause {
        ethertypes: ETHERTYPE_ANY,
        without_ip: 1,
        protocols: [u32::MAX; 8],
        addresses: [AddressTest { address: [0; 4], mask: [0; 4], ends: 0, version: 0, negate: 0 }; MAX_TESTS],
        ports: [PortTest { port: 0, ends: 0, negate: 0 }; MAX_TESTS],
    };

    /// Whether all tests pass.
    #[inline(always)]
    pub fn passes(&self, frame: &Frame) -> bool {
        let protocol = if frame.version == 0 {
            self.without_ip != 0
        } else {
            self.protocols[(frame.protocol >> 5) as usize] & (1 << (frame.protocol & 31)) != 0
        };
        self.ethertypes & ethertype_bit(frame.ethertype) != 0
            && protocol
            && self.addresses[0].passes(frame)
            && self.addresses[1].passes(frame)
            && self.ports[0].passes(frame)
            && self.ports[1].passes(frame)
    }
}

/// The bit of an ethertype in [`Clause::ethertypes`].
#[inline(always)]
pub const fn ethertype_bit(ethertype: u16) -> u32 {
    match ethertype {
        0x0800 => ETHERTYPE_IP,
        0x86dd => ETHERTYPE_IP6,
        0x0806 => ETHERTYPE_ARP,
        _ => ETHERTYPE_OTHER,
    }
}

impl AddressTest {
    #[inline(always)]
    fn passes(&self, frame: &Frame) -> bool {
        if self.ends == 0 {
            return true;
        }
        // ARP's sender and target count as IPv4 addresses, as they do for tcpdump.
        let version = if matches!(frame.kind, Kind::Arp) { 4 } else { frame.version as u32 };
        let hit = version == self.version
            && ((self.ends & SOURCE != 0 && self.matches(&frame.src))
                || (self.ends & DESTINATION != 0 && self.matches(&frame.dst)));
        hit != (self.negate != 0)
    }

    #[inline(always)]
    fn matches(&self, address: &[u32; 4]) -> bool {
        let differs = |word: usize| (address[word] ^ self.address[word]) & self.mask[word];
        differs(0) | differs(1) | differs(2) | differs(3) == 0
    }
}

impl PortTest {
    #[inline(always)]
    fn passes(&self, frame: &Frame) -> bool {
        if self.ends == 0 {
            return true;
        }
        let hit = frame.has_ports()
            && ((self.ends & SOURCE != 0 && self.port == frame.src_port as u32)
                || (self.ends & DESTINATION != 0 && self.port == frame.dst_port as u32));
        hit != (self.negate != 0)
    }
}

const _: () = assert!(size_of::<Clause>() == 40 + MAX_TESTS * (44 + 12));
