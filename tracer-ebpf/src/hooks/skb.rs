//! Hooks that see an skb. A device that is not traced ends each of them after one map look-up.

use core::ffi::c_void;

use tracer_common::{
    config::Role,
    hop::{Hook, Hop},
};

use crate::{
    emit,
    kernel::{Device, Skb},
    maps,
};

/// A traced device: its slot and its role's code.
struct Traced {
    slot: u8,
    role: u32,
}

impl Traced {
    #[inline(always)]
    fn find(device: Device) -> Option<Traced> {
        // SAFETY: values are written before the programs are attached and never change.
        let value = *unsafe { maps::DEVICES.get(&device.key()) }?;
        Some(Traced { slot: value as u8, role: value >> 8 })
    }

    #[inline(always)]
    fn is(&self, role: Role) -> bool {
        self.role == role as u32
    }
}

/// Sends an event that the pointer alone identifies.
#[inline(always)]
fn by_pointer(hop: Hop, hook: Hook, skb: Skb, slot: u8) {
    let mut event = emit::event(hop, hook, slot);
    event.skb = skb.0 as u64;
    emit::submit(&event);
}

/// Sends an event with the frame's identity.
#[inline(always)]
fn by_content(hop: Hop, hook: Hook, skb: Skb, slot: u8, birth: bool) {
    let mut event = emit::event(hop, hook, slot);
    let frame = skb.frame();
    event.skb = skb.0 as u64;
    event.head = frame.head;
    event.len = frame.len;
    if birth {
        event.tid = emit::current_thread();
    }
    emit::frame_event(event, &frame.memory, frame.ethertype, birth);
}

/// A frame enters the stack: `tap.rx`, `nic.stack`.
#[inline(always)]
pub fn received(skb: *const c_void) -> i32 {
    let skb = Skb(skb);
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Tap) {
        by_content(Hop::TapRx, Hook::NetifReceiveSkb, skb, device.slot, true);
    } else if device.is(Role::Nic) {
        by_content(Hop::NicStack, Hook::NetifReceiveSkb, skb, device.slot, true);
    }
    0
}

/// First sight of an arriving frame of a device without NAPI, veth among them.
#[inline(always)]
pub fn arrived_by_netif_rx(skb: *const c_void) -> i32 {
    arrived(Skb(skb), Hook::NetifRx)
}

/// First sight of an arriving frame of a device with NAPI.
#[inline(always)]
pub fn arrived_by_gro(skb: *const c_void) -> i32 {
    arrived(Skb(skb), Hook::NapiGroReceiveEntry)
}

#[inline(always)]
fn arrived(skb: Skb, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Nic) {
        by_content(Hop::NicRx, hook, skb, device.slot, false);
    } else if device.is(Role::FarEnd) {
        by_pointer(Hop::NicDone, hook, skb, device.slot);
    }
    0
}

/// A frame is handed to a device's qdisc: `nic.queue`, `tap.queue`.
#[inline(always)]
pub fn queued(skb: *const c_void) -> i32 {
    let skb = Skb(skb);
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Nic) {
        by_content(Hop::NicQueue, Hook::NetDevQueue, skb, device.slot, false);
    } else if device.is(Role::Tap) {
        by_content(Hop::TapQueue, Hook::NetDevQueue, skb, device.slot, false);
    }
    0
}

/// A frame is handed to a device's driver: `nic.xmit`, `tap.ring`.
#[inline(always)]
pub fn transmitted(skb: *const c_void, device: *const c_void) -> i32 {
    let skb = Skb(skb);
    let Some(device) = Traced::find(Device(device)) else { return 0 };
    if device.is(Role::Nic) {
        by_content(Hop::NicXmit, Hook::NetDevStartXmit, skb, device.slot, false);
    } else if device.is(Role::Tap) {
        by_content(Hop::TapRing, Hook::NetDevStartXmit, skb, device.slot, false);
    }
    0
}

/// The VMM copies a frame out of its tap: `vmm.read`.
#[inline(always)]
pub fn copied_out(skb: *const c_void) -> i32 {
    let skb = Skb(skb);
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Tap) {
        let mut event = emit::event(Hop::VmmRead, Hook::SkbCopyDatagramIovec, device.slot);
        event.skb = skb.0 as u64;
        event.tid = emit::current_thread();
        emit::submit(&event);
    }
    0
}

/// The kernel is done with an skb.
#[inline(always)]
pub fn freed(skb: *const c_void) -> i32 {
    let skb = Skb(skb);
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    by_pointer(Hop::SkbFree, Hook::ConsumeSkb, skb, device.slot);
    0
}

/// The kernel drops an skb; the record carries where in the code, and why.
#[inline(always)]
pub fn dropped(skb: *const c_void, location: u64, reason: u32) -> i32 {
    let skb = Skb(skb);
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    let mut event = emit::event(Hop::SkbDrop, Hook::KfreeSkb, device.slot);
    event.skb = skb.0 as u64;
    event.digest = location;
    event.seq = reason;
    emit::submit(&event);
    0
}
