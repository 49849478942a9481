//! vmhop's BPF programs. The entry points, a few lines each, are in [`programs`], one file for each kind of hook;
//! what a hook does is in [`hooks`]; what becomes of an event is [`emit`]'s: here a record, which gets out by [`buffer`].
//! `ring.rs` makes the same programs with another buffer, and `histogram.rs` with histograms in the place of records. How
//! kernel memory is read is in [`kernel`]. On which kernels a hook is used, and with which prototype, is in the loader's catalog, where it is
//! checked against the running kernel's BTF.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "buffer/per_cpu.rs"]
mod buffer;
mod context;
mod diagnose;
mod emit;
mod filter;
mod globals;
mod hooks;
mod kernel;
mod maps;
#[path = "outcome/stream.rs"]
mod outcome;
mod programs;
#[path = "reading/remembered.rs"]
mod reading;
mod runtime;
mod said;
mod sample;
mod threads;
