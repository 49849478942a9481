//! Hooks that see an skb. A device that is not traced ends each of them after one map look-up. Reading a frame is most of
//! a program, so each has it in one place, and chooses the hop before.

use tracer_common::{
    config::{Bucket, Role},
    hop::{Hook, Hop},
};

use crate::{
    emit::{self, Stage},
    globals,
    kernel::{Access, Device, Skb},
    maps,
};

/// A traced device: its slot and its role's code.
pub struct Traced {
    pub slot: u8,
    role: u32,
}

impl Traced {
    #[inline(always)]
    pub fn find<A: Access>(device: Device<A>) -> Option<Traced> {
        let key = device.key();
        let value = maps::DEVICES.get(Bucket::of(key, globals::device_buckets()))?.value(key);
        (value != 0).then_some(Traced { slot: value as u8, role: value >> 8 })
    }

    /// The code of the hop of its role among `hops`; 0 for none. Reckoned: of branches the compiler would make copies of
    /// all that follows.
    #[inline(always)]
    fn hop<const N: usize>(&self, hops: &[(Role, Hop); N]) -> u8 {
        let mut code = 0;
        for (role, hop) in hops {
            code |= u8::from(self.is(*role)).wrapping_neg() & *hop as u8;
        }
        code
    }

    #[inline(always)]
    fn is(&self, role: Role) -> bool {
        self.role == role as u32
    }
}

/// A frame enters the stack: `tap.rx`, `nic.stack`.
#[inline(always)]
pub fn received<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    let hop = device.hop(&[(Role::Tap, Hop::TapRx), (Role::Nic, Hop::NicStack)]);
    if hop != 0 {
        let stage = if device.is(Role::Nic) { Stage::Entry } else { Stage::Birth };
        emit::by_content(hop, hook, skb, device.slot, stage);
    }
    0
}

/// First sight of an arriving frame: by netif_rx of a device without NAPI, veth among them, or at GRO's entry.
#[inline(always)]
pub fn arrived<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Nic) {
        emit::by_content(Hop::NicRx as u8, hook, skb, device.slot, Stage::Arrival);
    } else if device.is(Role::FarEnd) {
        emit::by_pointer(Hop::NicDone, hook, skb, device.slot);
    }
    0
}

/// A frame is handed to a device's qdisc: `nic.queue`, `tap.queue`. A macvtap sends what its guest has written
/// (`tap_get_user`), so there it is the frame's entry into the stack, `tap.rx`.
#[inline(always)]
pub fn queued<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    let hop =
        device.hop(&[(Role::Nic, Hop::NicQueue), (Role::Tap, Hop::TapQueue), (Role::Macvtap, Hop::TapRx)]);
    if hop != 0 {
        emit::by_content(hop, hook, skb, device.slot, Stage::Exit);
    }
    0
}

/// A frame is handed to a device's driver: `nic.xmit`, `tap.ring`.
#[inline(always)]
pub fn transmitted<A: Access>(skb: Skb<A>, device: Device<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(device) else { return 0 };
    let hop = device.hop(&[(Role::Nic, Hop::NicXmit), (Role::Tap, Hop::TapRing)]);
    if hop != 0 {
        emit::by_content(hop, hook, skb, device.slot, Stage::Handover);
    }
    0
}

/// The VMM copies a frame out of its tap: `vmm.read`.
#[inline(always)]
pub fn copied_out<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Tap) || device.is(Role::Macvtap) {
        emit::read(skb, hook, device.slot);
    }
    0
}

/// The kernel is done with an skb.
#[inline(always)]
pub fn freed<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    emit::freed(skb, hook, device.slot);
    0
}

/// The kernel drops an skb, at `location` in the code.
#[inline(always)]
pub fn dropped<A: Access>(skb: Skb<A>, location: u64, reason: u32, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    emit::dropped(skb, location, reason, hook, device.slot);
    0
}

/// A frame enters or leaves a switch, or enters IP to be forwarded. The host's own frames leave switches as well, at
/// addresses and buffers of frames that it took in microseconds before: the content tells them apart.
#[inline(always)]
pub fn switched<A: Access>(hop: Hop, skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    emit::by_content(hop as u8, hook, skb, device.slot, Stage::Between);
    0
}

/// IP hands a frame on, perhaps in a buffer of its own by now (`skb_cow`, `ip_forward`).
#[inline(always)]
pub fn routed<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    // What the peer sends by the other end of our NIC's veth.
    if device.is(Role::FarEnd) {
        return 0;
    }
    emit::by_packet(Hop::IpOut, hook, skb, device.slot, Stage::Exit);
    0
}

/// A macvtap takes a frame for its ring: `tap.ring`.
#[inline(always)]
pub fn taken_by_macvtap<A: Access>(skb: Skb<A>, hook: Hook) -> i32 {
    let Some(device) = Traced::find(skb.device()) else { return 0 };
    if device.is(Role::Macvtap) {
        emit::by_content(Hop::TapRing as u8, hook, skb, device.slot, Stage::Between);
    }
    0
}
