//! What the host program tells the BPF programs before they run: structure offsets, keys, device roles.

/// Offsets in bytes of kernel structure members, resolved from the running kernel's BTF.
///
/// aya has no CO-RE for programs written in Rust, so these are read-only globals; the verifier sees them as
/// constants and checks each typed load against BTF itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `sk_buff.dev`
    pub skb_dev: u32,
    /// `sk_buff.len`
    pub skb_len: u32,
    /// `sk_buff.data_len`
    pub skb_data_len: u32,
    /// `sk_buff.head`
    pub skb_head: u32,
    /// `sk_buff.end`
    pub skb_end: u32,
    /// `skb_shared_info.gso_size`
    pub shinfo_gso_size: u32,
    /// `sk_buff.data`
    pub skb_data: u32,
    /// `sk_buff.mac_header`
    pub skb_mac_header: u32,
    /// `sk_buff.protocol`
    pub skb_protocol: u32,
    /// `sk_buff.skb_iif`
    pub skb_iif: u32,
    /// `net_device.ifindex`
    pub dev_ifindex: u32,
    /// `net_device.nd_net.net`
    pub dev_net: u32,
    /// `net.ns.inum`
    pub net_inum: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// First system call argument in `pt_regs` (`di` on x86-64, `regs[0]` on arm64).
    pub regs_arg0: u32,
}

/// Numbers that select what the programs do.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Random key of this recording, mixed into digests and flow hashes.
    pub key: [u64; 2],
    /// How many clauses of the filter are in use; 0 passes every frame.
    pub filter_clauses: u32,
    /// System call numbers on this architecture.
    pub sys_write: u32,
    /// As `sys_write`.
    pub sys_writev: u32,
    /// Not 0: `kfree_skb` reports a reason (v5.17 and later).
    pub drop_reasons: u32,
    /// Not 0: `sys_enter` serves `tap.write`; else another hook does.
    pub sys_enter_writes: u32,
    /// Not 0: another hook tells which vCPU accepts an interrupt; else the first vCPU to be entered has it.
    pub irq_accept: u32,
    /// Bytes from `vhost_poll.wait` to `vhost_poll.work`.
    pub vhost_work_from_wait: u32,
    /// Offset of `kvm_vcpu.vcpu_id`; 0: not known, the thread's name tells.
    pub vcpu_id: u32,
    /// Not 0: the host may translate addresses, so that a frame's flow can be new at a later hop than its first.
    pub translates: u32,
    /// Not 0: only chosen frames are recorded ([`crate::sample`]).
    pub sampled: u32,
    /// Random number of the choice.
    pub sample_seed: u32,
    /// Not 0: threads that write to taps are followed, in histogram mode.
    pub followed_threads: u32,
    /// Buckets of the table of devices, a power of two.
    pub device_buckets: u32,
    /// Buckets of the table of threads, a power of two.
    pub thread_buckets: u32,
}

/// What a device is to the path of a traced VM: the upper half of a device map value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A VM's tap.
    Tap = 1,
    /// The host's NIC towards the wire.
    Nic = 2,
    /// The other end of a NIC that is a veth: seeing a frame there says that the NIC is done with it.
    FarEnd = 3,
    /// A VM's macvtap: what is queued there comes from the guest.
    Macvtap = 4,
    /// A device between tap and NIC, such as the bridge on which a routed frame enters IP.
    Transit = 5,
}

/// What a thread is to a traced VM: the value of the thread map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ThreadRole {
    /// Moves frames: a VMM's main or I/O thread, a vhost worker.
    Io = 1,
    /// Runs the guest by KVM, whose tracepoints tell when.
    Vcpu = 2,
    /// Runs the guest by emulation: the scheduler and its system calls are all there is to see.
    EmulatedVcpu = 3,
}

/// Key of the device map: a device is named by its network namespace and its index there.
pub const fn device_key(netns_inum: u32, ifindex: u32) -> u64 {
    ((netns_inum as u64) << 32) | ifindex as u64
}

/// Most buckets of a table of what is traced, a power of two.
pub const MOST_BUCKETS: u32 = 4096;
/// Least: as many as a page holds.
const LEAST_BUCKETS: u32 = 64;
/// Keys that a bucket has room for.
const BUCKET_PLACES: usize = 4;

/// A bucket of a table of traced devices or threads: an array, since the kernel looks a slot of an array up in a few instructions,
/// and a hash map's in a call, which all devices and threads pay that are not traced. A value of 0 is a free place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    keys: [u64; BUCKET_PLACES],
    values: [u32; BUCKET_PLACES],
}

impl Bucket {
    /// The bucket of a key among so many, a power of two. Namespaces have numbers from one range, and devices small ones;
    /// threads have numbers alone.
    #[inline(always)]
    pub const fn of(key: u64, buckets: u32) -> u32 {
        ((key >> 32) as u32).wrapping_mul(0x9e5).wrapping_add(key as u32) & buckets.wrapping_sub(1)
    }

    /// Buckets for these keys: the fewest in which each is half empty. A small table is in memory that the kernel has mapped in
    /// large pages (`__bpf_map_area_alloc`, kernel/bpf/syscall.c: up to 32 KiB), of which a processor remembers where they are.
    pub fn wanted(keys: impl Iterator<Item = u64> + Clone) -> u32 {
        let mut buckets = LEAST_BUCKETS;
        while buckets < MOST_BUCKETS && !Self::have_room(keys.clone(), buckets) {
            buckets *= 2;
        }
        buckets
    }

    fn have_room(keys: impl Iterator<Item = u64>, buckets: u32) -> bool {
        let mut taken = [0u8; MOST_BUCKETS as usize];
        for key in keys {
            let taken = &mut taken[Self::of(key, buckets) as usize];
            *taken = taken.saturating_add(1);
        }
        taken.iter().all(|taken| *taken as usize <= BUCKET_PLACES / 2)
    }

    /// The value of a key; 0 for none.
    #[inline(always)]
    pub fn value(&self, key: u64) -> u32 {
        for place in 0..BUCKET_PLACES {
            if self.keys[place] == key {
                return self.values[place];
            }
        }
        0
    }

    /// Sets the value of a key; 0 takes the key out. Whether there was room.
    pub fn set(&mut self, key: u64, value: u32) -> bool {
        let known = |keys: &[u64]| keys.iter().position(|other| *other == key);
        let Some(place) = known(&self.keys).or_else(|| self.values.iter().position(|value| *value == 0))
        else {
            return value == 0;
        };
        self.keys[place] = if value == 0 { 0 } else { key };
        self.values[place] = value;
        true
    }
}

/// Places of the table of flows whose addresses have been sent.
pub const FLOW_PLACES: u32 = 1 << 16;

/// Where a flow is in that table; of two in one place it holds the later one.
#[inline(always)]
pub const fn flow_place(flow: u64) -> u32 {
    (flow ^ (flow >> 32)) as u32 % FLOW_PLACES
}

/// Value of the device map.
pub const fn device_value(slot: u8, role: Role) -> u32 {
    slot as u32 | ((role as u32) << 8)
}

/// Value of the thread map: what it is, for which VM, and of a vCPU its number.
pub const fn thread_value(role: ThreadRole, vm: u8, vcpu: u16) -> u32 {
    role as u32 | ((vm as u32) << 8) | ((vcpu as u32) << 16)
}

/// Key of what is known of a VM's vCPU.
pub const fn vcpu_key(vm: u8, vcpu: u16) -> u32 {
    ((vm as u32) << 16) | vcpu as u32
}

/// In the place of a vCPU's number: any of the VM's.
pub const ANY_VCPU: u16 = u16::MAX;

/// One hop of the user's: where its program finds the skb.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserHop {
    /// Offset in `pt_regs` of the register that holds the argument, bytes, and 1 more: 0 is a hop that is not defined.
    pub register_after: u32,
    /// Not 0: the argument points to a pointer to the skb.
    pub indirect: u32,
}

/// Key of the map of tap descriptors.
pub const fn fd_key(tgid: u32, fd: u32) -> u64 {
    ((tgid as u64) << 32) | fd as u64
}

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C) structs of integers without padding; every bit pattern is valid.
    unsafe impl aya::Pod for super::Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Settings {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::UserHop {}
    // SAFETY: as above; padded at its end by nothing, since its size is a multiple of 8.
    unsafe impl aya::Pod for super::Bucket {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::filter::Clause {}
}

const _: () = assert!(size_of::<Bucket>() == 48);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_was_set_until_it_is_full() {
        let mut bucket = Bucket::default();
        for key in 1..=4 {
            assert!(bucket.set(key, 10 + key as u32));
        }
        assert!(!bucket.set(5, 15));
        assert_eq!((bucket.value(3), bucket.value(5)), (13, 0));
        assert!(bucket.set(3, 99) && bucket.set(1, 0) && bucket.set(5, 15));
        assert_eq!((bucket.value(3), bucket.value(1), bucket.value(5)), (99, 0, 15));
    }

    #[test]
    fn devices_of_many_namespaces_spread_over_the_buckets() {
        let mut devices = [0u8; MOST_BUCKETS as usize];
        for namespace in 0xf000_0000..0xf000_0030 {
            let place = |index| Bucket::of(device_key(namespace, index), MOST_BUCKETS);
            (1..6).for_each(|index| devices[place(index) as usize] += 1);
        }
        assert!(devices.iter().all(|devices| *devices <= 2));
    }

    #[test]
    fn a_table_is_as_large_as_its_keys_need() {
        assert_eq!(Bucket::wanted([].into_iter()), 64);
        assert_eq!(Bucket::wanted(1000..1100), 64);
        assert_eq!(Bucket::wanted(1000..1200), 128);
        // Of one remainder whatever the number of buckets: there are no more than these.
        assert_eq!(Bucket::wanted((0..5).map(|number| number << 12)), 4096);
    }
}
