//! vmhop's BPF programs. The entry points, a few lines each, are in [`programs`], one file for each kind of hook;
//! what a hook does is in [`hooks`]; how a record gets out is in [`emit`], and by which way in [`buffer`], of which there are
//! two: `ring.rs` makes the same programs with the other; how kernel memory is read is in
//! [`kernel`]. On which kernels a hook is used, and with which prototype, is in the loader's catalog, where it is
//! checked against the running kernel's BTF.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "buffer/per_cpu.rs"]
mod buffer;
mod diagnose;
mod emit;
mod globals;
mod hooks;
mod kernel;
mod maps;
mod programs;
mod sample;
mod threads;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The helpers that read kernel memory are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
