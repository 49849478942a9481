//! From the bytes of a ring buffer record to typed events. An unknown length, hop or hook is an error that names
//! it, never a guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracer_common::{
    event::{FlowRecord, HopEvent, NO_DEVICE, TUNNELLED, tells_thread, unpack_buffer},
    frame::Kind,
    hop::{Hook, Hop},
};

/// The latest time that `CLOCK_MONOTONIC` has: the kernel counts it with a sign (`ktime_t`). No event is later, so that
/// times can be added to without looking.
pub const LATEST_NS: u64 = i64::MAX as u64;

/// One frame, or one event of a thread, at one hop. The fields are those of [`HopEvent`], typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, ns; at most [`LATEST_NS`].
    pub time_ns: u64,
    /// Address of the `sk_buff`, 0 for none.
    pub skb: u64,
    /// Low bits of `skb->head`, 0 where not read.
    pub head: u64,
    /// Content digest; 0 where no header was read; for drops the code address.
    pub digest: u64,
    /// Flow hash, lowest bit the direction.
    pub flow: u64,
    /// Bytes from the Ethernet header on.
    pub len: u32,
    /// [`Frame::seq`](tracer_common::frame::Frame::seq); for drops the reason code.
    pub seq: u32,
    /// [`Frame::ack`](tracer_common::frame::Frame::ack).
    pub ack: u32,
    /// TCP's timestamps, [`Frame::stamps`](tracer_common::frame::Frame::stamps); 0 where not read.
    pub stamps: u32,
    /// Thread, 0 where it does not matter.
    pub tid: u32,
    /// CPU.
    pub cpu: u16,
    /// Slot in the recording's device table.
    pub device: Option<u8>,
    /// Where.
    pub hop: Hop,
    /// By which hook.
    pub hook: Hook,
    /// What the frame is; `None` where no header was read.
    pub kind: Option<Kind>,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Bytes of `len` that are not layer 4 payload.
    pub overhead: u8,
    /// Of a super-frame the payload of one segment, bytes; 0: it is none, or that was not read.
    pub gso_size: u16,
    /// Whether the headers are those of a frame in a tunnel.
    pub tunnelled: bool,
}

impl Event {
    /// An event of which nothing more is known, to be filled in.
    pub const fn at(time_ns: u64, hop: Hop, hook: Hook) -> Event {
        Event {
            time_ns,
            skb: 0,
            head: 0,
            digest: 0,
            flow: 0,
            len: 0,
            seq: 0,
            ack: 0,
            stamps: 0,
            tid: 0,
            cpu: 0,
            device: None,
            hop,
            hook,
            kind: None,
            tcp_flags: 0,
            overhead: 0,
            gso_size: 0,
            tunnelled: false,
        }
    }

    /// Frames on the wire that this one stands for.
    pub fn wire_frames(&self) -> u32 {
        match self.gso_size {
            0 => 1,
            size => self.payload().div_ceil(u32::from(size)).max(1),
        }
    }

    /// Bytes of layer 4 payload.
    pub fn payload(&self) -> u32 {
        self.len.saturating_sub(u32::from(self.overhead))
    }
}

/// The addresses behind a flow hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Flow hash.
    pub flow: u64,
    /// Source address; `None` where the flow is not IP.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Source port, echo identifier, or 0.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// One decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A hop event.
    Event(Event),
    /// A flow's addresses.
    Flow(Flow),
}

/// Why a record could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Neither record has this length.
    #[error("a record of {0} bytes is neither a hop event nor a flow")]
    Length(usize),
    /// The hop code is not known.
    #[error("hop code {0} is not known")]
    Hop(u8),
    /// The hook code is not known.
    #[error("hook code {0} is not known")]
    Hook(u8),
    /// The time is none.
    #[error("{0} ns is no time of CLOCK_MONOTONIC")]
    Time(u64),
}

/// Decodes one ring buffer record.
///
/// # Errors
/// A length, hop or hook that this version does not know, a time that no clock shows.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut fields = Fields(bytes);
    match bytes.len() {
        n if n == size_of::<HopEvent>() => typed(&fields.raw()).map(Record::Event),
        n if n == size_of::<FlowRecord>() => Ok(Record::Flow(fields.flow())),
        n => Err(DecodeError::Length(n)),
    }
}

/// A hop event with its fields unpacked.
///
/// # Errors
/// As [`decode`].
#[inline]
pub(crate) fn typed(raw: &HopEvent) -> Result<Event, DecodeError> {
    let HopEvent { time_ns, skb, buffer, digest, flow, len, seq, ack, tid, .. } = *raw;
    let HopEvent { cpu, device, hop, hook, kind, tcp_flags, overhead, .. } = *raw;
    let (head, gso_size) = unpack_buffer(buffer);
    let stamped = kind != 0 && !tells_thread(hop);
    Ok(Event {
        time_ns: checked_time(time_ns)?,
        skb,
        head,
        digest,
        flow,
        len,
        seq,
        ack,
        stamps: if stamped { tid } else { 0 },
        tid: if stamped { 0 } else { tid },
        cpu,
        device: Some(device).filter(|&slot| slot != NO_DEVICE),
        hop: Hop::from_code(hop).ok_or(DecodeError::Hop(hop))?,
        hook: Hook::from_code(hook).ok_or(DecodeError::Hook(hook))?,
        kind: Kind::from_code(kind & !TUNNELLED),
        tcp_flags,
        overhead,
        gso_size,
        tunnelled: kind & TUNNELLED != 0,
    })
}

/// Reads integers in host byte order from the front; the lengths have been checked before.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => [0; N],
        }
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn u8(&mut self) -> u8 {
        u8::from_ne_bytes(self.take())
    }

    /// Fields in the order of [`HopEvent`]: struct expressions evaluate in the order written.
    fn raw(&mut self) -> HopEvent {
        HopEvent {
            time_ns: self.u64(),
            skb: self.u64(),
            buffer: self.u64(),
            digest: self.u64(),
            flow: self.u64(),
            len: self.u32(),
            seq: self.u32(),
            ack: self.u32(),
            tid: self.u32(),
            cpu: self.u16(),
            device: self.u8(),
            hop: self.u8(),
            hook: self.u8(),
            kind: self.u8(),
            tcp_flags: self.u8(),
            overhead: self.u8(),
        }
    }

    /// Fields in the order of [`FlowRecord`].
    fn flow(&mut self) -> Flow {
        let flow = self.u64();
        let src: [u8; 16] = self.take();
        let dst: [u8; 16] = self.take();
        let (src_port, dst_port) = (self.u16(), self.u16());
        let (protocol, version) = (self.u8(), self.u8());
        Flow { flow, src: address(version, src), dst: address(version, dst), src_port, dst_port, protocol }
    }
}

/// The time, if it is one.
pub(crate) fn checked_time(time_ns: u64) -> Result<u64, DecodeError> {
    if time_ns <= LATEST_NS { Ok(time_ns) } else { Err(DecodeError::Time(time_ns)) }
}

fn address(version: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match version {
        4 => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_length_is_named() {
        assert_eq!(decode(&[0; 63]), Err(DecodeError::Length(63)));
    }

    #[test]
    fn an_unknown_hop_is_no_event() {
        assert_eq!(decode(&[0; 64]), Err(DecodeError::Hop(0)));
    }

    #[test]
    fn a_time_that_no_clock_shows_is_no_event() {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::Time(u64::MAX)));
    }

    #[test]
    fn fields_are_where_the_wire_format_has_them() {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&7u64.to_ne_bytes());
        bytes[40..44].copy_from_slice(&98u32.to_ne_bytes());
        bytes[56..64].copy_from_slice(&[
            3,
            0,
            255,
            Hop::NicXmit as u8,
            Hook::NetDevStartXmit as u8,
            1,
            0,
            42,
        ]);
        let Ok(Record::Event(event)) = decode(&bytes) else { panic!("not an event") };
        assert_eq!((event.time_ns, event.len, event.cpu, event.device), (7, 98, 3, None));
        assert_eq!((event.hop, event.kind, event.payload()), (Hop::NicXmit, Some(Kind::EchoRequest), 56));
    }

    #[test]
    fn a_flow_has_addresses_of_its_version() {
        let mut bytes = [0; 48];
        bytes[8..12].copy_from_slice(&[192, 0, 2, 2]);
        bytes[44] = 1;
        bytes[45] = 4;
        let Ok(Record::Flow(flow)) = decode(&bytes) else { panic!("not a flow") };
        assert_eq!(flow.src, Some(IpAddr::from([192, 0, 2, 2])));
        assert_eq!((flow.dst, flow.protocol), (Some(IpAddr::from([0, 0, 0, 0])), 1));
    }
}
