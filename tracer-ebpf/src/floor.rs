//! The floor of what observing costs: programs at the tracepoints that a forwarded frame passes, which only read the
//! clock. `cargo xtask bench overhead` measures vmhop's programs against them; vmhop itself never loads these.
#![no_std]
#![no_main]

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};

mod runtime;

macro_rules! floor {
    ($($name:ident = $tracepoint:tt),*) => { $(
        #[btf_tracepoint(function = $tracepoint)]
        fn $name(_context: BtfTracePointContext) -> i32 {
            // SAFETY: a helper without arguments.
            let _ = unsafe { bpf_ktime_get_ns() };
            0
        }
    )* };
}

floor!(
    netif_receive_skb = "netif_receive_skb",
    net_dev_queue = "net_dev_queue",
    net_dev_start_xmit = "net_dev_start_xmit",
    net_dev_xmit = "net_dev_xmit"
);
