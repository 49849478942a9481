//! The wire format of the records that the BPF programs send through the ring buffer.
//!
//! Two records, told apart by their length. Integers only, host byte order, no implicit padding. A change
//! of any layout or meaning raises [`ABI_VERSION`], which the object carries and the loader checks.

/// Version of the record layouts and of the meaning of their fields.
pub const ABI_VERSION: u32 = 2;

/// One frame (or one event of a thread) at one hop.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopEvent {
    /// `CLOCK_MONOTONIC`, ns (`bpf_ktime_get_ns`).
    pub time_ns: u64,
    /// Address of the `sk_buff`; 0 where the hook has none.
    pub skb: u64,
    /// `skb->head`; 0 where not read. Clones share it.
    pub head: u64,
    /// Content digest ([`crate::frame`]); 0 where no header was read. For `skb.drop`: the code address
    /// that dropped it. For `vmm.kick`: the doorbell's guest address; for `vhost.notify` and `vhost.transmit` the
    /// queue.
    pub digest: u64,
    /// Flow hash; the reverse direction of a flow has the lowest bit flipped. 0 where no header was read.
    pub flow: u64,
    /// Length in bytes from the Ethernet header to the end, FCS not included; super-frames as a whole.
    pub len: u32,
    /// TCP sequence number; ICMP echo sequence number; for `skb.drop` the kernel's `skb_drop_reason`; for
    /// `vcpu.enter` the thread that signalled the interrupt, 0 where that is not known.
    pub seq: u32,
    /// TCP acknowledgement number; ICMP echo identifier.
    pub ack: u32,
    /// Thread in whose context the hook ran, where it matters; else 0.
    pub tid: u32,
    /// CPU on which the hook ran.
    pub cpu: u16,
    /// Slot of the device in the recording's table; [`NO_DEVICE`] for events of threads.
    pub device: u8,
    /// [`crate::hop::Hop`] code.
    pub hop: u8,
    /// [`crate::hop::Hook`] code.
    pub hook: u8,
    /// [`crate::frame::Kind`] code; 0 where no header was read.
    pub kind: u8,
    /// TCP flags (FIN = 1 … CWR = 128).
    pub tcp_flags: u8,
    /// Bytes of `len` that are not layer 4 payload: headers and padding; 255 stands for more.
    pub overhead: u8,
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
