//! Read-only globals that the loader sets: constants to the verifier, which drops the branches they rule out.

#![allow(dead_code, reason = "each object uses its part of it")]

use core::ptr::read_volatile;

use tracer_common::{
    account::ExitRecord,
    config::{Offsets, Settings},
    event::ABI_VERSION,
};

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets {
    skb_dev: 0,
    skb_len: 0,
    skb_data_len: 0,
    skb_head: 0,
    skb_end: 0,
    shinfo_gso_size: 0,
    skb_data: 0,
    skb_mac_header: 0,
    skb_protocol: 0,
    skb_iif: 0,
    dev_ifindex: 0,
    dev_net: 0,
    net_inum: 0,
    task_pid: 0,
    regs_arg0: 0,
};

#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    key: [0, 0],
    filter_clauses: 0,
    sys_write: 0,
    sys_writev: 0,
    drop_reasons: 0,
    sys_enter_writes: 0,
    irq_accept: 0,
    vhost_work_from_wait: 0,
    vcpu_id: 0,
    translates: 0,
    sampled: 0,
    sample_seed: 0,
    followed_threads: 0,
    device_buckets: 1,
    thread_buckets: 1,
};

#[unsafe(no_mangle)]
static EXIT_RECORD: ExitRecord = ExitRecord { reason: 0, isa: 0 };

/// The loader asks for this symbol by its name, which must end in the version: it refuses any other object.
#[used]
#[unsafe(no_mangle)]
static VMHOP_ABI_3: u32 = ABI_VERSION;

const _: () = assert!(ABI_VERSION == 3, "rename VMHOP_ABI_3 here and in the loader");

macro_rules! offset_of_member {
    ($($name:ident),*) => { $(
        #[inline(always)]
        pub fn $name() -> usize {
            // SAFETY: a valid static; volatile, since the loader changes what the compiler believes constant.
            unsafe { read_volatile(&raw const OFFSETS.$name) as usize }
        }
    )* };
}

offset_of_member!(
    skb_dev,
    skb_len,
    skb_data_len,
    skb_head,
    skb_end,
    shinfo_gso_size,
    skb_data,
    skb_mac_header,
    skb_protocol,
    skb_iif,
    dev_ifindex,
    dev_net,
    net_inum,
    task_pid,
    regs_arg0
);

macro_rules! setting {
    ($($name:ident),*) => { $(
        #[inline(always)]
        pub fn $name() -> u32 {
            // SAFETY: as above.
            unsafe { read_volatile(&raw const SETTINGS.$name) }
        }
    )* };
}

setting!(
    filter_clauses,
    sys_write,
    sys_writev,
    sys_enter_writes,
    irq_accept,
    vhost_work_from_wait,
    vcpu_id,
    translates,
    sampled,
    sample_seed,
    followed_threads,
    device_buckets,
    thread_buckets
);

/// Whether `kfree_skb` has a third argument here. Reading one that is not there is refused at load time;
/// behind this constant the read is dead code.
#[inline(always)]
pub fn drop_reasons() -> bool {
    // SAFETY: as above.
    unsafe { read_volatile(&raw const SETTINGS.drop_reasons) != 0 }
}

/// Key of digests and flow hashes.
#[inline(always)]
pub fn key() -> [u64; 2] {
    // SAFETY: as above.
    unsafe { [read_volatile(&raw const SETTINGS.key[0]), read_volatile(&raw const SETTINGS.key[1])] }
}

/// Where the record of `kvm:kvm_exit` has its reason and its instruction set.
#[inline(always)]
pub fn exit_record() -> (usize, usize) {
    // SAFETY: as above.
    unsafe {
        let (reason, isa) = (&raw const EXIT_RECORD.reason, &raw const EXIT_RECORD.isa);
        (read_volatile(reason) as usize, read_volatile(isa) as usize)
    }
}
