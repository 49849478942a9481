//! Entry points: the only functions that the kernel calls. Each takes its arguments apart and hands them on.

mod fentry;
mod kprobe;
mod raw_tp;
mod tp_btf;
mod tracepoint;
mod user;
mod xdp;
