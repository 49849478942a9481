//! Which frames count: a disjunction of clauses, each a conjunction of tests, evaluated in the kernel on the
//! headers that [`crate::frame`] has read. The words that people type are parsed in `tracer`, not here.

use crate::frame::Frame;

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

/// Tests that must all pass.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// Ethertype, or 0 for any.
    pub ethertype: u32,
    /// 1: any ethertype but this one.
    pub ethertype_negate: u32,
    /// IP protocol, or [`ANY_PROTOCOL`].
    pub protocol: u32,
    /// 1: any protocol but this one.
    pub protocol_negate: u32,
    /// Address tests.
    pub addresses: [AddressTest; MAX_TESTS],
    /// Port tests.
    pub ports: [PortTest; MAX_TESTS],
}

/// The protocol field of a clause that tests none (0 is a real protocol number).
pub const ANY_PROTOCOL: u32 = 256;

impl Clause {
    /// A clause that passes everything.
    pub const PASS: Clause = Clause {
        ethertype: 0,
        ethertype_negate: 0,
        protocol: ANY_PROTOCOL,
        protocol_negate: 0,
        addresses: [AddressTest { address: [0; 4], mask: [0; 4], ends: 0, version: 0, negate: 0 }; MAX_TESTS],
        ports: [PortTest { port: 0, ends: 0, negate: 0 }; MAX_TESTS],
    };

    /// Whether all tests pass.
    #[inline(always)]
    pub fn passes(&self, frame: &Frame) -> bool {
        let ethertype =
            self.ethertype == 0 || (self.ethertype == frame.ethertype as u32) != (self.ethertype_negate != 0);
        let protocol = self.protocol == ANY_PROTOCOL
            || (frame.version != 0 && self.protocol == frame.protocol as u32) != (self.protocol_negate != 0);
        ethertype
            && protocol
            && self.addresses[0].passes(frame)
            && self.addresses[1].passes(frame)
            && self.ports[0].passes(frame)
            && self.ports[1].passes(frame)
    }
}

impl AddressTest {
    #[inline(always)]
    fn passes(&self, frame: &Frame) -> bool {
        if self.ends == 0 {
            return true;
        }
        let hit = frame.version as u32 == self.version
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

const _: () = assert!(size_of::<Clause>() == 16 + MAX_TESTS * (44 + 12));
