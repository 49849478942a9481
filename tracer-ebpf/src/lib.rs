//! Empty on purpose: a library target lets `tracer` name this package as a build dependency, so that
//! cargo rebuilds the BPF object when it changes. The programs are in `main.rs`.
#![no_std]
