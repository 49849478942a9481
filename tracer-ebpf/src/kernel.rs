//! Reading kernel structures: typed loads where the verifier knows the pointer, probe reads elsewhere.

#![allow(dead_code, reason = "each object uses its part of it")]

use core::{arch::asm, ffi::c_void, marker::PhantomData, mem::MaybeUninit};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_common::{
    event::pack_buffer,
    frame::{Bytes, ETHERNET_HEADER, Window},
};

use crate::globals;

/// Frames that a table by their addresses has room for at once.
pub const PLACES: u32 = 1 << 16;

/// A super-frame is longer: it holds at least two segments, and the least that a host must take in is 576 bytes (RFC 1122,
/// 3.3.2), so that no stack sends smaller ones. Saves small frames a read.
const LARGEST_LONE_FRAME: u32 = 576;

/// How members of kernel structures are read.
pub trait Access: Copy {
    /// Reads a member; what cannot be read is 0.
    ///
    /// # Safety
    /// `base` must be a pointer that this kind of access may follow.
    unsafe fn member<T: Copy>(base: *const c_void, offset: usize) -> T;
}

/// Loads, for arguments of BTF tracepoints and fentry: the verifier checks type and offset against BTF, and makes a
/// fault read as 0.
#[derive(Clone, Copy)]
pub struct Typed;

impl Access for Typed {
    #[inline(always)]
    unsafe fn member<T: Copy>(base: *const c_void, offset: usize) -> T {
        // SAFETY: by the trait's contract: a pointer that the verifier tracks.
        unsafe { *base.byte_add(offset).cast::<T>() }
    }
}

/// Probe reads, for pointers that came as mere numbers: from kprobes and raw tracepoints.
#[derive(Clone, Copy)]
pub struct Probed;

impl Access for Probed {
    #[inline(always)]
    unsafe fn member<T: Copy>(base: *const c_void, offset: usize) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        let from = (base as u64 + offset as u64) as *const c_void;
        // SAFETY: the helper writes all of `value`, zeros on a fault; T is an integer or pointer here.
        unsafe {
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
            value.assume_init()
        }
    }
}

/// A `struct sk_buff *`.
#[derive(Clone, Copy)]
pub struct Skb<A>(pub *const c_void, PhantomData<A>);

impl Skb<Typed> {
    /// One that came as an argument of a BTF tracepoint or of fentry.
    #[inline(always)]
    pub fn typed(pointer: *const c_void) -> Skb<Typed> {
        Skb(pointer, PhantomData)
    }
}

impl Skb<Probed> {
    /// One that came as a number.
    #[inline(always)]
    pub fn probed(pointer: *const c_void) -> Skb<Probed> {
        Skb(pointer, PhantomData)
    }

    /// One that a number points to.
    #[inline(always)]
    pub fn behind(pointer: *const c_void) -> Skb<Probed> {
        Skb(probe::<u64>(pointer as u64).unwrap_or(0) as *const c_void, PhantomData)
    }
}

impl<A: Access> Skb<A> {
    /// `skb->dev`; null or stale where the skb belongs to a socket, then its members read as 0.
    #[inline(always)]
    pub fn device(self) -> Device<A> {
        // SAFETY: `self` was made for this kind of access.
        Device(unsafe { A::member(self.0, globals::skb_dev()) }, PhantomData)
    }

    /// `skb->head`.
    #[inline(always)]
    pub fn head(self) -> u64 {
        // SAFETY: as above.
        unsafe { A::member(self.0, globals::skb_head()) }
    }

    /// The lower half of its address, as a mere number: with what it takes for a pointer the verifier allows next to no
    /// arithmetic, but a move of 32 bits makes a number of it (`check_alu_op`, kernel/bpf/verifier.c).
    #[inline(always)]
    fn low_bits(self) -> u32 {
        low_bits(self.0 as u64)
    }

    /// Where a table of [`PLACES`] by address has it.
    #[inline(always)]
    pub fn place(self) -> u32 {
        let low = self.low_bits();
        ((low >> 8) ^ (low >> 22)) % PLACES
    }

    /// Whether it came in by a device (`skb->skb_iif`): what the host itself sends did not.
    #[inline(always)]
    pub fn came_in(self) -> bool {
        // SAFETY: as above.
        let index: u32 = unsafe { A::member(self.0, globals::skb_iif()) };
        index != 0
    }

    /// Length in bytes from the Ethernet header on, which is pulled unless the frame is on its way out.
    #[inline(always)]
    pub fn bytes(self, out: bool) -> u32 {
        // SAFETY: as above.
        let len: u32 = unsafe { A::member(self.0, globals::skb_len()) };
        if out { len } else { len + ETHERNET_HEADER }
    }

    /// `skb_shared_info.gso_size`: of a super-frame the payload of one segment, bytes; else 0. On 64 bits `skb->end` is an
    /// offset (`NET_SKBUFF_DATA_USES_OFFSET`, include/linux/skbuff.h).
    #[inline(always)]
    fn gso_size(self, head: u64, len: u32) -> u16 {
        if len <= LARGEST_LONE_FRAME {
            return 0;
        }
        // SAFETY: as above.
        let end: u32 = unsafe { A::member(self.0, globals::skb_end()) };
        probe(head + end as u64 + globals::shinfo_gso_size() as u64).unwrap_or(0)
    }

    /// Where the frame is that the skb carries, from its Ethernet header on.
    #[inline(always)]
    pub fn outline(self) -> Outline {
        let head = self.head();
        // SAFETY: as above.
        let mac: u16 = unsafe { A::member(self.0, globals::skb_mac_header()) };
        self.outline_at(head, head + mac as u64, self.data())
    }

    /// The same where IP has the frame, whose Ethernet header is not built yet: what lies before the packet is taken for it,
    /// of which nothing is read.
    #[inline(always)]
    pub fn packet(self) -> Outline {
        let data = self.data();
        self.outline_at(self.head(), data - ETHERNET_HEADER as u64, data)
    }

    #[inline(always)]
    fn data(self) -> u64 {
        // SAFETY: as above.
        unsafe { A::member(self.0, globals::skb_data()) }
    }

    #[inline(always)]
    fn outline_at(self, head: u64, start: u64, data: u64) -> Outline {
        // SAFETY: as above.
        unsafe {
            let len: u32 = A::member(self.0, globals::skb_len());
            let protocol: u16 = A::member(self.0, globals::skb_protocol());
            // `data` is behind the Ethernet header on the way in and at its start on the way out.
            let pulled = data.wrapping_sub(start) as u32;
            Outline { head, start, len: len + pulled, pulled, ethertype: u16::from_be(protocol) }
        }
    }

    /// What is there.
    #[inline(always)]
    pub fn frame(self, outline: &Outline) -> SkbFrame {
        // SAFETY: as above.
        let paged: u32 = unsafe { A::member(self.0, globals::skb_data_len()) };
        SkbFrame {
            buffer: pack_buffer(outline.head, self.gso_size(outline.head, outline.len - outline.pulled)),
            memory: Memory::new(outline.start, outline.len.wrapping_sub(paged)),
        }
    }
}

/// Where an skb says that its frame is.
pub struct Outline {
    /// `skb->head`.
    pub head: u64,
    /// Address of the Ethernet header.
    pub start: u64,
    /// Bytes from there on.
    pub len: u32,
    /// Bytes between there and `skb->data`.
    pub pulled: u32,
    /// `skb->protocol`, host byte order.
    pub ethertype: u16,
}

impl Outline {
    /// Where the frame starts in its buffer.
    #[inline(always)]
    pub fn offset(&self) -> u32 {
        low_bits(self.start).wrapping_sub(low_bits(self.head))
    }

    /// Other than 0 if a [packed buffer](pack_buffer) is not the frame's.
    #[inline(always)]
    pub fn is_not_in(&self, buffer: u64) -> u64 {
        (self.head ^ buffer) << 16
    }
}

/// A frame that can be read.
pub struct SkbFrame {
    /// `HopEvent::buffer`.
    pub buffer: u64,
    pub memory: Memory,
}

/// A `struct net_device *`.
#[derive(Clone, Copy)]
pub struct Device<A>(pub *const c_void, PhantomData<A>);

impl Device<Typed> {
    /// One that came as an argument of a BTF tracepoint.
    #[inline(always)]
    pub fn typed(pointer: *const c_void) -> Device<Typed> {
        Device(pointer, PhantomData)
    }
}

impl Device<Probed> {
    /// One that came as a number.
    #[inline(always)]
    pub fn probed(pointer: *const c_void) -> Device<Probed> {
        Device(pointer, PhantomData)
    }
}

impl<A: Access> Device<A> {
    /// Key of the device map.
    #[inline(always)]
    pub fn key(self) -> u64 {
        // SAFETY: made for this kind of access.
        unsafe {
            let ifindex: u32 = A::member(self.0, globals::dev_ifindex());
            let net: *const c_void = A::member(self.0, globals::dev_net());
            let inum: u32 = A::member(net, globals::net_inum());
            tracer_common::config::device_key(inum, ifindex)
        }
    }
}

/// `task->pid`, the thread id.
#[inline(always)]
pub fn thread_id<A: Access>(task: *const c_void) -> u32 {
    // SAFETY: a tracepoint's argument, read as the caller says.
    unsafe { A::member(task, globals::task_pid()) }
}

/// Readable frame bytes in kernel memory.
pub struct Memory {
    /// Its address.
    start: u64,
    /// How many bytes from there on may be read.
    linear: u32,
    /// 0, of which the verifier knows nothing.
    zero: u64,
}

impl Memory {
    /// `linear` bytes from `start` on.
    #[inline(always)]
    pub fn new(start: u64, linear: u32) -> Self {
        let same = core::hint::black_box(linear);
        Self { start, linear, zero: (same ^ linear).into() }
    }

    /// 0 for what is less, without a branch.
    #[inline(always)]
    fn at_least_0(&self, value: i64) -> u64 {
        let sign = self.forget((value >> 63) as u64);
        value as u64 & !sign
    }
}

impl Bytes for Memory {
    /// One read of a constant size. It may run past the linear part, into what lies behind in the same
    /// allocation: those bytes do not count as available. A fault counts as none.
    #[inline(always)]
    fn window<const WORDS: usize>(&self, offset: u32) -> Window<WORDS> {
        let mut words = MaybeUninit::<[u32; WORDS]>::uninit();
        // No read starts behind the linear part.
        let left = self.at_least_0(self.linear as i64 - offset as i64);
        // In 32 bits: to a packet's address, as XDP programs have it, only what has bounds may be added.
        let skipped = self.linear.wrapping_sub(left as u32);
        let from = (self.start + skipped as u64) as *const c_void;
        // SAFETY: the helper writes all words, zeros on a fault.
        let (failed, words) = unsafe {
            let size = size_of::<[u32; WORDS]>() as u32;
            let failed = bpf_probe_read_kernel(words.as_mut_ptr().cast(), size, from);
            (failed, words.assume_init())
        };
        let available = self.at_least_0(left as i64 + (failed << 32));
        Window { words, available: available as u32 }
    }

    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value ^ self.zero
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

/// See [`Skb::low_bits`].
#[inline(always)]
fn low_bits(address: u64) -> u32 {
    let low: u64;
    // SAFETY: an instruction on registers.
    unsafe {
        asm!("w1 = w2", in("r2") address, lateout("r1") low, options(pure, nomem, nostack));
    }
    low as u32
}

/// Bytes from the end of the Ethernet header on matter; a frame shorter than it has none.
#[inline(always)]
pub fn ethertype_at(start: u64) -> u16 {
    u16::from_be(probe(start + ETHERNET_HEADER as u64 - 2).unwrap_or(0))
}
