//! The same programs as in `main.rs`, whose records go through one ring buffer.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "buffer/ring.rs"]
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
#[path = "reading/plain.rs"]
mod reading;
mod runtime;
mod said;
mod sample;
mod threads;
