//! The same programs as in `main.rs`, whose records go through one ring buffer.
#![no_std]
#![no_main]

#[path = "buffer/ring.rs"]
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
