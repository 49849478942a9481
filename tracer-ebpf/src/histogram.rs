//! The same programs as in `main.rs`, of which no record leaves the kernel: they form segments of a frame's events at once, and
//! count these in histograms.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod context;
mod emit;
mod filter;
mod globals;
mod hooks;
mod kernel;
mod maps;
#[path = "outcome/histogram/mod.rs"]
mod outcome;
mod programs;
mod runtime;
mod threads;
