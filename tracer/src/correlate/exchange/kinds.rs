//! What an exchange is, and how those that came to none are counted.

use crate::correlate::{Side, Stamp};

/// What kind of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeKind {
    /// ICMP or ICMPv6 echo.
    Echo,
    /// TCP data and its acknowledgement.
    Tcp,
    /// UDP question and answer.
    Udp,
}

impl ExchangeKind {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ExchangeKind::Echo => "echo",
            ExchangeKind::Tcp => "tcp",
            ExchangeKind::Udp => "udp",
        }
    }
}

/// Who asked whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Initiator {
    /// A guest, to the wire.
    Guest,
    /// A peer on the wire, to a guest.
    Peer,
    /// A guest, to another guest on this host.
    GuestToGuest,
    /// The host itself, to a guest.
    Host,
    /// A guest, to the host itself.
    GuestToHost,
    /// The host itself, over a NIC to a peer on the wire.
    HostToPeer,
    /// A peer on the wire, to the host itself.
    PeerToHost,
}

impl Initiator {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Initiator::Guest => "guest",
            Initiator::Peer => "peer",
            Initiator::GuestToGuest => "guest to guest",
            Initiator::Host => "host",
            Initiator::GuestToHost => "guest to host",
            Initiator::HostToPeer => "host to peer",
            Initiator::PeerToHost => "peer to host",
        }
    }

    pub(super) fn of(question: Side, answer: Side) -> Option<Initiator> {
        match (question, answer) {
            (Side::Guest(asked), Side::Guest(answered)) if asked != answered => Some(Initiator::GuestToGuest),
            (Side::Guest(_), Side::Wire(_)) => Some(Initiator::Guest),
            (Side::Wire(_), Side::Guest(_)) => Some(Initiator::Peer),
            (Side::Host, Side::Guest(_)) => Some(Initiator::Host),
            (Side::Guest(_), Side::Host) => Some(Initiator::GuestToHost),
            (Side::Host, Side::Wire(_)) => Some(Initiator::HostToPeer),
            (Side::Wire(_), Side::Host) => Some(Initiator::PeerToHost),
            _ => None,
        }
    }
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What kind.
    pub kind: ExchangeKind,
    /// Who asked.
    pub initiator: Initiator,
    /// All hops of question and answer, in order.
    pub stamps: Vec<Stamp>,
    /// Index in `stamps` of the answer's first hop.
    pub turn: usize,
}

impl Exchange {
    /// From the first hop of the question to the last of the answer, ns.
    pub fn total_ns(&self) -> u64 {
        match (self.stamps.first(), self.stamps.last()) {
            (Some(first), Some(last)) => last.time_ns.saturating_sub(first.time_ns),
            _ => 0,
        }
    }
}

/// Counts of questions by kind and by who asked, as far as the question alone tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// No answer came.
    pub unanswered: u64,
    /// The answer could belong to more than one question.
    pub ambiguous: u64,
    /// The question's last hops came after the answer's first and were left out.
    pub overtaken: u64,
}
