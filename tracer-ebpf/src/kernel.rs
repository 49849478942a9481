//! Reading kernel structures: typed loads where the verifier knows the pointer, probe reads elsewhere.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_common::frame::{Bytes, ETHERNET_HEADER, WINDOW_BYTES, WINDOW_WORDS, Window};

use crate::globals;

/// A `struct sk_buff *` that came as an argument of a BTF tracepoint.
#[derive(Clone, Copy)]
pub struct Skb(pub *const c_void);

/// Loads a member. The verifier checks type and offset against BTF, and makes a fault read as 0.
///
/// # Safety
/// `base` must be a pointer that the verifier tracks as a kernel structure.
#[inline(always)]
unsafe fn member<T: Copy>(base: *const c_void, offset: usize) -> T {
    // SAFETY: by the contract above.
    unsafe { *base.byte_add(offset).cast::<T>() }
}

impl Skb {
    /// `skb->dev`; null or stale where the skb belongs to a socket, then its members read as 0.
    #[inline(always)]
    pub fn device(self) -> Device {
        // SAFETY: `self` is a tracepoint's argument.
        Device(unsafe { member(self.0, globals::skb_dev()) })
    }

    /// `skb->head`.
    #[inline(always)]
    pub fn head(self) -> u64 {
        // SAFETY: as above.
        unsafe { member(self.0, globals::skb_head()) }
    }

    /// The frame that the skb carries, from its Ethernet header on.
    #[inline(always)]
    pub fn frame(self) -> SkbFrame {
        let head = self.head();
        // SAFETY: as above.
        unsafe {
            let mac: u16 = member(self.0, globals::skb_mac_header());
            let data: u64 = member(self.0, globals::skb_data());
            let len: u32 = member(self.0, globals::skb_len());
            let paged: u32 = member(self.0, globals::skb_data_len());
            let protocol: u16 = member(self.0, globals::skb_protocol());
            let start = head + mac as u64;
            // `data` is behind the Ethernet header on the way in and at its start on the way out.
            let pulled = data.wrapping_sub(start) as u32;
            SkbFrame {
                head,
                len: len + pulled,
                ethertype: u16::from_be(protocol),
                memory: Memory { start, linear: len.wrapping_sub(paged) + pulled },
            }
        }
    }
}

/// Where a frame is and what the skb says of it.
pub struct SkbFrame {
    pub head: u64,
    pub len: u32,
    pub ethertype: u16,
    pub memory: Memory,
}

/// A `struct net_device *` as the verifier knows it.
#[derive(Clone, Copy)]
pub struct Device(pub *const c_void);

impl Device {
    /// Key of the device map.
    #[inline(always)]
    pub fn key(self) -> u64 {
        // SAFETY: a tracepoint's argument, or a member of one.
        unsafe {
            let ifindex: u32 = member(self.0, globals::dev_ifindex());
            let net: *const c_void = member(self.0, globals::dev_net());
            let inum: u32 = member(net, globals::net_inum());
            tracer_common::config::device_key(inum, ifindex)
        }
    }
}

/// `task->pid`, the thread id.
#[inline(always)]
pub fn thread_id(task: *const c_void) -> u32 {
    // SAFETY: a tracepoint's argument.
    unsafe { member(task, globals::task_pid()) }
}

/// Readable frame bytes in kernel memory: `linear` of them from `start` on.
pub struct Memory {
    pub start: u64,
    pub linear: u32,
}

impl Bytes for Memory {
    /// One read of a constant size. It may run past the linear part, into what lies behind in the same
    /// allocation: those bytes do not count as available. A fault counts as none.
    #[inline(always)]
    fn window(&self, offset: u32) -> Window {
        let mut words = MaybeUninit::<[u32; WINDOW_WORDS]>::uninit();
        let from = (self.start + offset as u64) as *const c_void;
        // SAFETY: the helper writes all WINDOW_BYTES, zeros on a fault.
        let (failed, words) = unsafe {
            let failed = bpf_probe_read_kernel(words.as_mut_ptr().cast(), WINDOW_BYTES as u32, from);
            (failed, words.assume_init())
        };
        let available = self.linear.saturating_sub(offset).min(WINDOW_BYTES as u32);
        Window { words, available: if failed != 0 { 0 } else { available } }
    }
}

/// Reads one value from kernel memory; `None` on a fault.
#[inline(always)]
pub fn probe<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all of `value`, zeros on a fault.
    unsafe {
        let failed =
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const c_void);
        (failed == 0).then(|| value.assume_init())
    }
}

/// Bytes from the end of the Ethernet header on matter; a frame shorter than it has none.
#[inline(always)]
pub fn ethertype_at(start: u64) -> u16 {
    u16::from_be(probe(start + ETHERNET_HEADER as u64 - 2).unwrap_or(0))
}
