//! The wire format of the records that the BPF programs send through the ring buffer.
//!
//! Two records, told apart by their length. Integers only, host byte order, no implicit padding. A change
//! of any layout or meaning raises [`ABI_VERSION`], which the object carries and the loader checks.

/// Version of the record layouts and of the meaning of their fields.
pub const ABI_VERSION: u32 = 3;

/// One frame (or one event of a thread) at one hop.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopEvent {
    /// `CLOCK_MONOTONIC`, ns (`bpf_ktime_get_ns`).
    pub time_ns: u64,
    /// Address of the `sk_buff`; 0 where the hook has none.
    pub skb: u64,
    /// [`pack_buffer`]: `skb->head`, which clones share, and `skb_shared_info.gso_size`; 0 where not read.
    pub buffer: u64,
    /// Content digest ([`crate::frame`]); 0 where no header was read. For `skb.drop`: the code address
    /// that dropped it. For `vmm.kick`: the doorbell's guest address; for `vhost.notify` and `vhost.transmit` the
    /// queue.
    pub digest: u64,
    /// Flow hash; the reverse direction of a flow has the lowest bit flipped. 0 where no header was read.
    pub flow: u64,
    /// Length in bytes from the Ethernet header to the end, FCS not included; super-frames as a whole.
    pub len: u32,
    /// [`crate::frame::Frame::seq`]; for `skb.drop` the kernel's `skb_drop_reason`; for `vcpu.enter` the thread that
    /// signalled the interrupt, 0 where that is not known.
    pub seq: u32,
    /// [`crate::frame::Frame::ack`].
    pub ack: u32,
    /// Thread in whose context the hook ran, where it matters; else, with a header, [`crate::frame::Frame::stamps`]
    /// ([`tells_thread`]).
    pub tid: u32,
    /// CPU on which the hook ran.
    pub cpu: u16,
    /// Slot of the device in the recording's table; [`NO_DEVICE`] for events of threads.
    pub device: u8,
    /// [`crate::hop::Hop`] code.
    pub hop: u8,
    /// [`crate::hop::Hook`] code.
    pub hook: u8,
    /// [`crate::frame::Kind`] code, with [`TUNNELLED`]; 0 where no header was read.
    pub kind: u8,
    /// TCP flags (FIN = 1 … CWR = 128).
    pub tcp_flags: u8,
    /// Bytes of `len` that are not layer 4 payload: headers and padding; 255 stands for more.
    pub overhead: u8,
}

/// Set in [`HopEvent::kind`] where the headers are those of a frame inside a tunnel.
pub const TUNNELLED: u8 = 0x80;

/// Whether an event with headers has the thread in [`HopEvent::tid`]: who wrote a frame is known by it. Elsewhere there are
/// TCP's timestamps.
#[inline(always)]
pub const fn tells_thread(hop: u8) -> bool {
    hop == crate::hop::Hop::TapRx as u8
}

/// Bits of [`HopEvent::buffer`] that hold an address: kernel addresses of up to 47 bits and their sign, and with
/// 5-level page tables all that differs between two addresses of one machine's memory below 256 TiB.
const ADDRESS_BITS: u32 = 48;

/// `skb->head` and the size of a super-frame's segments, bytes (0: it is none), in one word.
#[inline(always)]
pub const fn pack_buffer(head: u64, gso_size: u16) -> u64 {
    (head & ((1 << ADDRESS_BITS) - 1)) | ((gso_size as u64) << ADDRESS_BITS)
}

/// What [`pack_buffer`] has packed: the low bits of the address, and the size of segments.
#[inline(always)]
pub const fn unpack_buffer(buffer: u64) -> (u64, u16) {
    (buffer & ((1 << ADDRESS_BITS) - 1), (buffer >> ADDRESS_BITS) as u16)
}

/// The device slot of an event that belongs to no device.
pub const NO_DEVICE: u8 = 255;

/// The addresses of a flow, sent once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowRecord {
    /// Flow hash, as in [`HopEvent::flow`].
    pub flow: u64,
    /// Source address in network byte order; IPv4 in the first word, the others 0.
    pub src: [u32; 4],
    /// Destination address, as `src`.
    pub dst: [u32; 4],
    /// Source port in host byte order; the identifier of ICMP echo; else 0.
    pub src_port: u16,
    /// Destination port, as `src_port`.
    pub dst_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4, 6, or 0 for no IP.
    pub version: u8,
    /// Zero.
    pub reserved: u16,
}

const _: () = assert!(size_of::<HopEvent>() == 64);
const _: () = assert!(size_of::<FlowRecord>() == 48);
